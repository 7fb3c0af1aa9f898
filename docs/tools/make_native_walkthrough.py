"""Writes docs/native_walkthrough.md: MobileNetV2's first block from ONNX to machine code, and each layer's share of the limit.

usage: python docs/tools/make_native_walkthrough.py [--measure]

Without --measure the tables of times stay as they are: they are of the machine that they name. The listings are of the
compiler that they name; another version keeps them too.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import onnx

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "docs" / "tools")]

import machine_code  # noqa: E402

from backends.graphs import as_model  # noqa: E402
from bench import native_layers, native_limits  # noqa: E402
from models.builders import BUILDERS  # noqa: E402
from neo_cli.backends.native import compiler  # noqa: E402
from neo_cli.backends.native.cpus import cpu_of  # noqa: E402
from neo_cli.backends.native.emit import Program  # noqa: E402
from neo_cli.runtime import cpu as here  # noqa: E402
from neo_cli.targets.devices import targets  # noqa: E402

PAGE = ROOT / "docs" / "native_walkthrough.md"
NETWORK = "mobilenetv2"
LISTED = ("ml_c5", "ml_m4", "ml_m6g")  # AVX-512, AVX2, NEON of 64 bits
NODES = 8  # ONNX nodes of the first block
RUNS = 300


def page(old: str) -> str:
    """The page, its measured parts and those of another compiler taken from `old`."""
    with tempfile.TemporaryDirectory() as folder:
        parts = [_head(), *_stages(Path(folder) / "stages")]
        compiler_now = f"ziglang {version('ziglang')}"
        kept = _kept(old, "code")
        if kept and compiler_now not in kept:
            parts.append(kept)
        else:
            parts.append(_marked("code", _machine_code(compiler_now, Path(folder))))
    parts.append(_kept(old, "measured") or _marked("measured", "Not measured yet: run this tool with `--measure`."))
    return "\n".join(parts)


def _marked(name: str, text: str) -> str:
    return f"<!-- {name} -->\n{text.rstrip()}\n<!-- end of {name} -->\n"


def _kept(old: str, name: str) -> str:
    found = re.search(rf"<!-- {name} -->.*?<!-- end of {name} -->\n", old, re.DOTALL)
    return found[0] if found else ""


def _head() -> str:
    return f"""\
# From ONNX to machine code: MobileNetV2's first block

Written by `docs/tools/make_native_walkthrough.py`; do not edit. [The native compiler](native.md) names the stages; this page
shows what each makes of the first {NODES} nodes of MobileNetV2 (`tests/models/builders.py`): a convolution of 3x3 with stride
2, a depthwise one of 3x3, and a projection to 16 channels. Stages and C are those of AVX-512 (`{LISTED[0]}`).
"""


def _lowered(name: str, work: Path) -> Program:
    work.mkdir(parents=True)
    target = targets()[name]
    return compiler.lower(as_model(_graph(NETWORK), work), cpu_of(target), target, {}, compiler.Stages(work))


def _graph(name: str) -> onnx.ModelProto:
    return BUILDERS[name](False)


def _stages(work: Path) -> list[str]:
    """From the nodes to the C of the one step that they become."""
    program = _lowered(LISTED[0], work)
    nodes = _graph(NETWORK).graph.node[:NODES]
    step = next(i for i, n in enumerate(program.graph.nodes) if n.op == "fast.Band")
    band = program.graph.nodes[step]
    names = {v.name for v in (*band.inputs, *band.outputs) if v is not None}
    text = {name: (work / name).read_text(encoding="utf-8").splitlines() for name in
            ("1-import.txt", "2-fusion.txt", "3-layout.txt", "4-memory.txt")}  # fmt: skip
    plan = [line for line in text["4-memory.txt"] if set(line.split()) & names]
    return [
        "## The ONNX nodes\n",
        _table(("node", "operator", "inputs", "output", "attributes"), map(_onnx_node, nodes)),
        "## Import: shapes are numbers (`1-import.txt`)\n",
        _block(text["1-import.txt"][: NODES + 1]),
        "## Fusion: norm and clipping go into the convolutions (`2-fusion.txt`)\n",
        _block(text["2-fusion.txt"][1:4]),
        "## Layout and bands: one step (`3-layout.txt`)\n",
        f"`c{program.contexts[0].cpu.lanes}` is channels in blocks of one vector, `+(top, left, bottom, right)` a border of zeros. The input of three channels\n"
        "keeps them one by one. Bands of output rows go through all three parts while they are in the second-level cache.\n",
        _block(text["3-layout.txt"][1 : 2 + step + len(band.attrs["parts"])]),
        "## Schedule: block sizes of each convolution\n",
        "A tile of pixels times vectors of output channels stays in registers; a panel of input blocks' weights stays in the\n"
        "first-level cache.\n",
        _table(("CPU", "convolution", "tile: rows x pixels x vectors", "panel: input blocks", "taps x run", "rows of a band"),
               [row for name in LISTED for row in _schedule(name, work.parent / f"schedule-{name}")]),
        "## Memory: offset and size in the scratch, from which step to which (`4-memory.txt`)\n",
        _block(plan),
        "## C\n",
        _block(_functions(program, step), "c"),
    ]  # fmt: skip


def _onnx_node(node: onnx.NodeProto) -> tuple[str, ...]:
    attrs = " ".join(f"{a.name}={onnx.helper.get_attribute_value(a)}" for a in node.attribute)
    return node.name, node.op_type, ", ".join(node.input), node.output[0], attrs


def _schedule(name: str, work: Path) -> Iterable[tuple[str, ...]]:
    """The sizes as they stand in the C of the first band's parts."""
    program = _lowered(name, work)
    step = next(i for i, n in enumerate(program.graph.nodes) if n.op == "fast.Band")
    for part in program.contexts[step].parts:
        size = {k: int(v) for k, v in re.findall(r"\.(\w+) = (\d+)", part.body)}
        kernel = "x".join(map(str, part.node.inputs[1].shape))
        rows = str(program.graph.nodes[step].attrs["band"])
        if "vectors" in size:
            tile = f"{size['rows']} x {size['columns']} x {size['vectors']}"
            yield (
                cpu_of(targets()[name]).name,
                kernel,
                tile,
                str(size["panel"]),
                f"{size['taps']} x {size['run']}",
                rows,
            )
        else:
            count = re.search(r"depthwise_\w+?_d\d+_(\d+)_", part.body)
            yield (
                cpu_of(targets()[name]).name,
                f"{kernel} depthwise",
                f"1 x {count[1] if count else '?'} x 1",
                "",
                "",
                rows,
            )


def _functions(program: Program, step: int) -> list[str]:
    """The step's functions with their comments."""
    lines = program.text.splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(rf"static void n{step}_\w+\(", line)]
    last = starts[-1] + next(i for i, line in enumerate(lines[starts[-1] :]) if line == "}")
    return lines[starts[0] - 1 : last + 1]


def _machine_code(made_by: str, folder: Path) -> str:
    text = [
        "## Machine code\n",
        f"The compiler's listing of the library's text, made with the library's flags by {made_by}. Of each kernel the loop with\n"
        "the most products: one turn of it. On x86 most products read an operand from memory themselves, so that loads count\n"
        "instructions twice; a spill is a vector that goes to the stack or comes back from it.\n",
    ]
    listings = []
    rows: list[tuple[object, ...]] = []
    for name in LISTED:
        target = targets()[name]
        cpu, work = cpu_of(target), folder / f"code-{name}"
        program = _lowered(name, work)
        found = machine_code.functions(machine_code.listing(program.text, target, cpu, work))
        for kernel in (k for k in found if k.startswith(("conv_1x", "conv_2x", "depthwise_"))):
            loop = machine_code.mix(machine_code.hot_loop(found[kernel]))
            if loop.fma:
                rate = f"{loop.instructions / loop.fma:.2f}"
                rows.append((cpu.name, f"`{kernel}`", loop.fma, rate, loop.loads, loop.stores, loop.spills))
        best = f"conv_1x{cpu.pixels}x{cpu.vectors}_"
        kernel = next(k for k in found if k.startswith(best) and "p2_" not in k)
        loop_lines = machine_code.readable(machine_code.hot_loop(found[kernel]))
        listings += [f"### {cpu.name}: `{kernel}`, the tile of most layers\n", _block(_cut(loop_lines), "asm")]
    heads = ("CPU", "kernel", "FMA", "instructions an FMA", "loads", "stores", "vector spills")
    return "\n".join([*text, _table(heads, [tuple(map(str, r)) for r in rows]), *listings])


def _cut(lines: Sequence[str], most: int = 48) -> list[str]:
    """The beginning and the end of a long loop."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 8], f"    ... {len(lines) - most} lines more of the same kind ...", *lines[-8:]]


def measured() -> str:
    """The tables of times, by running both networks here."""
    target = next(targets()[name] for name in LISTED if here.runs("linux", "x86_64", targets()[name].features))
    text = ["## The share of the limit that each layer reaches\n"]
    for name, runs in ((NETWORK, RUNS), ("resnet50", RUNS // 5)):
        with tempfile.TemporaryDirectory() as folder:
            found, limits = native_layers.measure(as_model(_graph(name), Path(folder)), target, Path(folder), runs)
        if name == NETWORK:
            reads = ", ".join(f"{size >> 10} kB {rate / 1e9:.0f}" for size, rate in limits.reads.items())
            text.append(
                f"Measured on {native_limits.machine()} with {cpu_of(target).name} code, one thread, {runs} runs "
                f"(`python tests/bench/native_layers.py {name} --target {target.name}`).\n"
                f"In registers it makes {limits.macs / 1e9:.1f} GMAC/s; a set of so many bytes is read at so many GB/s: {reads}.\n"
                "The limit of a step is its multiply-adds at the one rate, or its weights and tensors at the other, whichever takes\n"
                "longer; weights are read at the rate of a set as large as all of the network's, so that a step is above 100 % when\n"
                "a part of them was still in a nearer cache. Share is the limit over the shortest time. Times are milliseconds.\n"
            )
        groups = (
            [(native_layers.shapes(r.node), [r]) for r in found] if name == NETWORK else native_layers.together(found)
        )
        best, least = sum(r.best for r in found), sum(r.limit for r in found)
        text += [f"### {name}: {best:.2f} ms, the limit {least:.2f} ms: {least / best:.0%}\n", _layers(groups)]
    return _marked("measured", "\n".join(text))


def _layers(groups: Sequence[tuple[str, list[native_layers.Row]]]) -> str:
    def row(key: str, group: list[native_layers.Row]) -> tuple[str, ...]:
        best, median, least, work = (sum(getattr(r, n) for r in group) for n in ("best", "median", "limit", "macs"))
        size = sum(r.weights + r.moved for r in group)
        bound = "/".join(dict.fromkeys(r.bound for r in group))
        return (str(len(group)), key, f"{work / 1e6:.2f}", f"{size / 1e3:.0f}", f"{median:.3f}", f"{best:.3f}", f"{least / best:.0%}", bound)  # fmt: skip

    heads = ("n", "step", "million MACs", "kB", "median", "shortest", "share", "limit set by")
    return _table(heads, [row(key, group) for key, group in groups])


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *(f"| {' | '.join(r)} |" for r in rows), ""])


def _block(lines: Iterable[str], language: str = "text") -> str:
    return "\n".join([f"```{language}", *lines, "```", ""])


def main() -> None:
    old = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if "--measure" in sys.argv:
        old = (old.replace(_kept(old, "measured"), "") if old else "") + measured()
    PAGE.write_text(page(old), encoding="utf-8")


if __name__ == "__main__":
    main()
