"""Latency of quantised networks: the native back end beside ONNX Runtime and OpenVINO, and beside its own float32 code.

    python tests/bench/int8_latency.py [--mcpu cascadelake] [--threads 1 2] [--rounds 12] [--cpu] NAME...

All engines have the same QDQ model (ONNX Runtime's static quantiser, synthetic calibration), and turns in one process.
Prints medians and minima in milliseconds, and the ratios of native's int8 to the better peer's and to native's float32.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from native_latency import Run, measure, onnxruntime, openvino

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from models.quantised import quantised
from neo_cli.backends.native import compile
from neo_cli.model.model import Model
from neo_cli.runtime.engines.native import Engine
from neo_cli.targets.devices import targets


def native(model: Model, target: str, mcpu: str, work: Path, threads: int) -> tuple[Run, Engine]:
    """A run of the model, and the engine that does it."""
    build = compile(model, targets()[target], {"mcpu": mcpu}, work)
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    engine = Engine(work, {"settings": build.settings, **tensors}, threads)
    feed = feeds(model)
    return lambda: engine.run(feed), engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--target", default="ml_c5")
    parser.add_argument("--mcpu", default="cascadelake")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.25)
    parser.add_argument("--cpu", action="store_true", help="processor time in place of the clock's, on a busy machine")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    clock = time.process_time if asked.cpu else time.perf_counter
    for name in asked.names:
        graph: onnx.ModelProto = BUILDERS[name](False)
        with tempfile.TemporaryDirectory() as folder:
            works = [Path(folder) / part for part in ("int8", "float32")]
            for work in works:
                work.mkdir()
            model, plain = as_model(quantised(graph), works[0]), as_model(graph, works[1])
            for threads in asked.threads:
                run, engine = native(model, asked.target, asked.mcpu, works[0], threads)
                whole, other = native(plain, asked.target, asked.mcpu, works[1], threads)
                off = error(engine.run(feeds(model)), model.oracle(feeds(model)))
                peers = {"ort": onnxruntime(model, threads), "openvino": openvino(model, threads)}
                found = measure({"native": run, **peers, "float32": whole}, asked.rounds, asked.seconds, clock)
                told = {k: (statistics.median(v), min(v)) for k, v in found.items()}
                mine = told["native"]
                ratios = [mine[i] / min(told[peer][i] for peer in peers) for i in (0, 1)]
                row = "  ".join(f"{k} {m:.2f} ({low:.2f})" for k, (m, low) in told.items())
                print(f"{name} {threads} thread(s): {row}")
                print(
                    f"    ratio of medians {ratios[0]:.2f}, of minima {ratios[1]:.2f}; to float32's minimum "
                    f"{mine[1] / told['float32'][1]:.2f}; difference from ONNX Runtime {off:.1e}",
                    flush=True,
                )
                engine.close()
                other.close()


if __name__ == "__main__":
    main()
