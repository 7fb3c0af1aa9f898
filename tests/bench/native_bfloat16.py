"""Latency of the native back end in bfloat16 beside its own float32 and OpenVINO in bfloat16, interleaved in one process.

    python tests/bench/native_bfloat16.py [--mcpu znver4] [--threads 1 2] [--rounds 12] [--cpu] NAME...

Prints medians and minima in milliseconds, and bfloat16's ratio to each of the others. The processor must have what
`--mcpu` says. `--cpu` counts the process's own time, which other work here disturbs less; it says something about
one thread only. NAME is one of tests/models/builders.py, or a path of an ONNX file.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))

from backends.graphs import as_model, error, feeds
from bench.native_latency import arguments, clock_of, measure, native, openvino
from models.builders import BUILDERS


def compare(graph: onnx.ModelProto, asked: argparse.Namespace, threads: int) -> str:
    """The line of one network on so many threads."""
    with tempfile.TemporaryDirectory() as folder:
        model = as_model(graph, Path(folder))
        calls, engines = {}, []
        for precision in ("bfloat16", "float32"):
            work = Path(folder) / precision
            work.mkdir()
            calls[precision], engine, _ = native(
                model, "LINUX_X86_64", work, threads, mcpu=asked.mcpu, precision=precision
            )
            engines.append(engine)
        calls["openvino"] = openvino(model, threads, "bf16")
        wanted, found = model.oracle(feeds(model)), engines[0].run(feeds(model))
        measured = measure(calls, asked.rounds, asked.seconds, clock_of(asked))
        times = {k: (statistics.median(v), min(v)) for k, v in measured.items()}
        for engine in engines:
            engine.close()
    mine = times["bfloat16"]
    told = "  ".join(f"{k} {median:.2f} ({least:.2f})" for k, (median, least) in times.items())
    ratios = ", ".join(
        f"to {k} {mine[0] / times[k][0]:.2f} ({mine[1] / times[k][1]:.2f})" for k in ("float32", "openvino")
    )
    return f"{threads} thread(s): {told}\n    ratio {ratios}; error {error(found, wanted):.1e}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--mcpu", default="znver4")
    asked = parser.parse_args()
    for name in asked.names:
        graph = BUILDERS[name](False) if name in BUILDERS else onnx.load(name)
        for threads in asked.threads:
            print(f"{Path(name).stem} {compare(graph, asked, threads)}", flush=True)


if __name__ == "__main__":
    main()
