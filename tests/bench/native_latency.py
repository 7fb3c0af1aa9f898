"""Latency of the native back end beside ONNX Runtime and OpenVINO (float32), interleaved in one process.

    python tests/bench/native_latency.py [--target ml_c5] [--threads 1 2] [--rounds 12] [--model FILE.onnx] NAME...

Prints medians and minima in milliseconds, and native's ratio to the better of the two peers. NAME is one of
tests/models/builders.py or wider.py, or a path of an ONNX file. The peers' workers sleep before the next engine's turn.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from models.wider import WIDER
from neo_cli.backends.native import compile
from neo_cli.model.model import Model
from neo_cli.runtime.engines.native import Engine
from neo_cli.targets.devices import targets

Run = Callable[[], object]


def native(model: Model, target: str, work: Path, threads: int, **options: object) -> tuple[Run, Engine, str]:
    start = time.perf_counter()
    build = compile(model, targets()[target], options, work)
    took = time.perf_counter() - start
    record = {
        "settings": build.settings,
        "inputs": [t.record() for t in model.inputs],
        "outputs": [t.record() for t in model.outputs],
    }
    engine = Engine(work, record, threads)
    feed = feeds(model)
    return lambda: engine.run(feed), engine, f"build {took:.1f} s; {build.notes[0]}"


def onnxruntime(model: Model, threads: int) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    session = ort.InferenceSession(model.graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = feeds(model)
    return lambda: session.run(None, feed)


def openvino(model: Model, threads: int, hint: str = "f32") -> Run:
    import openvino as ov

    core = ov.Core()
    config = {
        "INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
    }  # fmt: skip
    compiled = core.compile_model(core.read_model(model.graph.SerializeToString()), "CPU", config)
    request = compiled.create_infer_request()
    feed = [np.ascontiguousarray(feeds(model)[t.name]) for t in model.inputs]
    return lambda: request.infer(feed, share_inputs=True)


def measure(
    calls: dict[str, Run], rounds: int, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Each engine has a turn in every round; a short rest lets the last one's workers fall asleep."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(0.02)
            call()
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                start = clock()
                call()
                found[name].append((clock() - start) * 1e3)
    return found


def arguments(about: str | None) -> argparse.ArgumentParser:
    """What every benchmark of latency is asked; `about` is its docstring."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--cpu", action="store_true", help="processor time in place of the clock's, on a busy machine")
    return parser


def clock_of(asked: argparse.Namespace) -> Callable[[], float]:
    return time.process_time if asked.cpu else time.perf_counter


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--target", default="ml_c5")
    asked = parser.parse_args()
    clock = clock_of(asked)
    for name in asked.names:
        graph = (BUILDERS | WIDER)[name](False) if name in BUILDERS | WIDER else onnx.load(name)
        with tempfile.TemporaryDirectory() as folder:
            model = as_model(graph, Path(folder))
            for threads in asked.threads:
                run, engine, note = native(model, asked.target, Path(folder), threads)
                off = error(engine.run(feeds(model)), model.oracle(feeds(model)))
                calls = {"native": run, "ort": onnxruntime(model, threads), "openvino": openvino(model, threads)}
                found = measure(calls, asked.rounds, asked.seconds, clock)
                told = {k: (statistics.median(v), min(v)) for k, v in found.items()}
                mine = told.pop("native")
                ratios = [mine[i] / min(t[i] for t in told.values()) for i in (0, 1)]
                row = "  ".join(f"{k} {m:.2f} ({low:.2f})" for k, (m, low) in told.items())
                print(f"{Path(name).stem} {threads} thread(s): native {mine[0]:.2f} ({mine[1]:.2f})  {row}")
                print(
                    f"    ratio of medians {ratios[0]:.2f}, of minima {ratios[1]:.2f}; error {off:.1e}; {note}",
                    flush=True,
                )
                engine.close()
                del calls


if __name__ == "__main__":
    main()
