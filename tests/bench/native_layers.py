"""Each step of a natively compiled network: its work, its time, and the share of this machine's limit that it reaches.

    python tests/bench/native_layers.py NAME [--target ml_c5] [--mcpu cascadelake] [--int8] [--runs 60] [--all]

A step cannot be faster than its multiply-adds at the rate of registers, nor than reading its weights and moving its
tensors at the rate of the cache that holds so many bytes; the longer of the two is its limit. Both rates are measured
in the same run (native_limits.py), before and after. One thread; milliseconds, the shortest of all runs. Instructions
that add four products of 8 bits are taken to be issued as often as those that add one of 32.
"""

from __future__ import annotations

import argparse
import ctypes
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))

from backends.graphs import as_model, feeds
from bench.native_limits import Limits, Meter, machine
from models.builders import BUILDERS
from models.quantised import quantised
from models.wider import WIDER
from neo_cli.backends.native import build, compiler, tuning
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.backends.native.emit import Program
from neo_cli.backends.native.ir import Node
from neo_cli.model.model import Model
from neo_cli.runtime.engines.native import Engine, _pointers
from neo_cli.targets.devices import Target, targets

CONVOLUTIONS = ("fast.Conv", "fast.Winograd", "fast.QConv")


@dataclass
class Row:
    """A step's work and time; `limit` is the shortest time in ms that the machine allows, set by `bound`."""

    node: Node
    macs: float
    weights: int  # bytes
    moved: int  # bytes of the tensors that come in and go out
    median: float  # ms
    best: float
    limit: float
    bound: str  # "FMA" or "bytes"

    @property
    def share(self) -> float:
        """The part of the limit that the fastest run reached."""
        return self.limit / self.best


def macs(node: Node) -> float:
    """Multiply-adds of a step: of convolutions and products; those that Winograd's algorithm leaves over."""
    if node.op == "fast.Band":
        return sum(macs(part) for part in node.attrs["parts"])
    if node.op == "fast.Attention":
        return 2.0 * math.prod(node.attrs[key] for key in ("batch", "heads", "queries", "keys", "width"))
    if node.op not in CONVOLUTIONS:
        return 0.0
    x, w, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and w is not None
    if node.op == "fast.Winograd":
        m, (n, _, height, width) = node.attrs["m"], y.image
        return float(n * -(-height // m) * -(-width // m) * (m + 2) ** 2 * w.shape[0] * w.shape[1])
    if node.attrs.get("up"):  # transposed: each input pixel meets all taps
        return float(x.size * w.shape[0] // node.attrs["group"] * math.prod(w.shape[2:]))
    return float(y.size * math.prod(w.shape[1:]))


def moved(node: Node) -> int:
    """Bytes read and written once; what stays within a band is not counted."""
    outputs = node.outputs[:1] if node.op == "fast.Band" else node.outputs
    return sum(v.size * v.itemsize for v in (*node.inputs, *outputs) if v is not None and v.const is None)


def limit(work: float, weights: int, tensors: int, all_weights: int, found: Limits) -> tuple[float, str]:
    """The shortest time in ms, and what sets it. Weights come from where those of the whole network stay."""
    arithmetic = work / found.macs
    reading = weights / found.read(all_weights) + tensors / found.read(tensors + weights)
    return max(arithmetic, reading) * 1e3, "FMA" if arithmetic >= reading else "bytes"


def rows(program: Program, ticks: np.ndarray, found: Limits) -> list[Row]:
    """The steps with their times; `ticks` has a row for each run and a column for each step or part of one."""
    weights = {step: sum(a.nbytes for c in (ctx, *(p.context for p in ctx.parts)) for a in c.constants.values())
               for step, ctx in enumerate(program.contexts)}  # fmt: skip
    made = []
    for step in dict.fromkeys(program.steps):
        columns = [i for i, other in enumerate(program.steps) if other == step]
        times = ticks[:, columns].sum(axis=1) / found.ticks * 1e3
        node = program.graph.nodes[step]
        work, bytes_ = macs(node), moved(node)
        four = node.op == "fast.QConv" and program.contexts[step].cpu.int8.kind in ("vnni", "dot")
        least, bound = limit(work / 4 if four else work, weights[step], bytes_, program.weights.size, found)
        made.append(Row(node, work, weights[step], bytes_, statistics.median(times), float(times.min()), least, bound))
    return made


def measure(model: Model, target: Target, work: Path, runs: int) -> tuple[list[Row], Limits]:
    """Compile for this machine's kind of `target`, run on one thread, and measure the limits before and after."""
    cpu = cpu_of(target)
    program = compiler.lower(model, cpu, target, {}, compiler.Stages(work))
    library = build.library(program.text, target, cpu, work)
    offset = program.weights.write(work / "compiled.params")
    settings = {"library": library.name, "weights": "compiled.params", "weights_offset": offset}
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    engine, meter = Engine(work, {"settings": settings, **tensors}, 1), Meter(target, cpu, work / "limits")
    feed = [np.ascontiguousarray(feeds(model)[t.name]) for t in model.inputs]
    outs = [np.empty(t.shape, t.dtype) for t in model.outputs]
    ticks = np.zeros((runs, len(program.steps)), np.uint64)
    call = engine.library.neo_profile
    call.argtypes = [ctypes.c_void_p] * 5
    found = meter.measure()
    for run in ticks:
        call(_pointers(feed), _pointers(outs), engine._weights, engine._scratch.ctypes.data, run.ctypes.data)
        time.sleep(0.001)
    found = found.better(meter.measure())
    engine.close()
    return rows(program, ticks, found), found


def together(found: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Steps of equal shapes as one, those first that are furthest behind their limits."""
    alike: dict[str, list[Row]] = {}
    for row in found:
        alike.setdefault(shapes(row.node), []).append(row)
    return sorted(alike.items(), key=lambda item: -sum(r.best - r.limit for r in item[1]))


def shapes(node: Node) -> str:
    """What a step does, in one line."""
    x, y = next(v for v in node.inputs if v is not None), node.outputs[0]
    parts = node.attrs["parts"] if node.op == "fast.Band" else [node]
    kernels = [p.inputs[1].shape for p in parts if p.op in CONVOLUTIONS]
    tiles = f" F({node.attrs['m']}x{node.attrs['m']})" if "m" in node.attrs else ""
    told = " ".join("x".join(map(str, k)) for k in kernels)
    return (
        f"{node.op.removeprefix('fast.')}{tiles} {'x'.join(map(str, x.shape))} {told} -> {'x'.join(map(str, y.shape))}"
    )


def show(groups: Sequence[tuple[str, list[Row]]]) -> None:
    print("   n       ms   median   GMAC/s   limit ms  share  set by  step")
    for key, group in groups:
        best, least, work = (sum(getattr(r, name) for r in group) for name in ("best", "limit", "macs"))
        median, bound = sum(r.median for r in group), "/".join(dict.fromkeys(r.bound for r in group))
        print(
            f"{len(group):4} {best:8.3f} {median:8.3f} {work / best / 1e6:8.1f} {least:10.3f} {least / best:6.0%}  {bound:6}  {key}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--target", default="ml_c5")
    parser.add_argument("--mcpu", default="", help="a processor's name, as CompilerOptions have it")
    parser.add_argument("--int8", action="store_true", help="the network quantised, as QDQ")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--all", action="store_true", help="every step, not only sums of equal ones")
    asked = parser.parse_args()
    graph = (BUILDERS | WIDER)[asked.name](False) if asked.name in BUILDERS | WIDER else onnx.load(asked.name)
    graph = quantised(graph) if asked.int8 else graph
    (target,) = tuning.levels(targets()[asked.target], {"mcpu": asked.mcpu} if asked.mcpu else {})
    with tempfile.TemporaryDirectory() as folder:
        found, limits = measure(as_model(graph, Path(folder)), target, Path(folder), asked.runs)
    show([(shapes(r.node), [r]) for r in found] if asked.all else together(found))
    best, least = sum(r.best for r in found), sum(r.limit for r in found)
    print(f"{best:.3f} ms in all, limit {least:.3f} ms: {least / best:.0%}")
    reads = ", ".join(f"{size >> 10} kB {rate / 1e9:.0f}" for size, rate in limits.reads.items())
    print(f"{machine()}: {limits.macs / 1e9:.1f} GMAC/s in registers; GB/s read from sets of {reads}")


if __name__ == "__main__":
    main()
