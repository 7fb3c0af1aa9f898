"""The time of each step of a natively compiled network: milliseconds (minimum of many runs), GFLOP/s of convolutions.

python tests/bench/native_layers.py NAME [--target ml_c5] [--runs 60] [--all]
"""

from __future__ import annotations

import argparse
import ctypes
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))

from backends.graphs import as_model, feeds
from models.builders import BUILDERS
from models.wider import WIDER
from neo_cli.backends.native import build, compiler
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.backends.native.ir import Node
from neo_cli.runtime.engines.native import Engine, _pointers
from neo_cli.targets.devices import targets


def ticks_per_ms() -> float:
    """The time stamp counter's rate."""
    line = next(li for li in Path("/proc/cpuinfo").read_text().splitlines() if li.startswith("cpu MHz"))
    return float(line.split(":")[1]) * 1e3


def flops(node: Node) -> float:
    if node.op not in ("fast.Conv", "fast.Winograd"):
        return 0.0
    w, y = node.inputs[1], node.outputs[0]
    return 2.0 * y.size * math.prod(w.shape[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("--target", default="ml_c5")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--all", action="store_true", help="every step, not only sums of equal ones")
    asked = parser.parse_args()
    graph = (BUILDERS | WIDER)[asked.name](False) if asked.name in BUILDERS | WIDER else onnx.load(asked.name)
    with tempfile.TemporaryDirectory() as folder:
        work, target = Path(folder), targets()[asked.target]
        model = as_model(graph, work)
        program = compiler.lower(model, cpu_of(target), target, {}, compiler.Stages(work))
        library = build.library(program.text, target, cpu_of(target), work)
        offset = program.weights.write(work / "compiled.params")
        settings = {"library": library.name, "weights": "compiled.params", "weights_offset": offset}
        record = {
            "settings": settings,
            "inputs": [t.record() for t in model.inputs],
            "outputs": [t.record() for t in model.outputs],
        }
        engine = Engine(work, record, 1)
        feed = [np.ascontiguousarray(feeds(model)[t.name]) for t in model.inputs]
        outs = [np.empty(t.shape, t.dtype) for t in model.outputs]
        ticks = np.zeros(len(program.steps), np.uint64)
        call = engine.library.neo_profile
        call.argtypes = [ctypes.c_void_p] * 5
        best = np.full(len(ticks), np.inf)
        for _ in range(asked.runs):
            call(_pointers(feed), _pointers(outs), engine._weights, engine._scratch.ctypes.data, ticks.ctypes.data)
            best = np.minimum(best, ticks)
            time.sleep(0.001)
        engine.close()
    _show([program.graph.nodes[step] for step in program.steps], best / ticks_per_ms(), asked.all)


def _show(nodes: list[Node], best: np.ndarray, every: bool) -> None:
    rows: dict[str, list[float]] = {}
    for index, (node, ms) in enumerate(zip(nodes, best)):
        x, y = next(v for v in node.inputs if v is not None), node.outputs[0]
        weights = node.inputs[1].shape if flops(node) else ""
        key = f"{node.op:14} {x.shape!s:20} {weights!s:20} -> {y.shape!s:20} {node.attrs.get('m', '')}"
        rows.setdefault(f"{index:4} {key}" if every else key, []).append(ms)
        rows[f"{index:4} {key}" if every else key].append(flops(node))
    for key, found in sorted(rows.items(), key=lambda r: -sum(r[1][::2])) if not every else rows.items():
        ms, work = sum(found[::2]), sum(found[1::2])
        print(f"{ms:8.3f} ms {len(found) // 2:3}x {work / ms / 1e6:7.1f} GF/s  {key}")
    print(f"{best.sum():8.3f} ms in all")


if __name__ == "__main__":
    main()
