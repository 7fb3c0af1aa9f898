"""Latency of quantised networks: the native back end beside ONNX Runtime and OpenVINO, and beside its own float32 code.

    python tests/bench/int8_latency.py [--mcpu cascadelake] [--threads 1 2] [--rounds 12] [--cpu] NAME...

All engines have the same QDQ model (ONNX Runtime's static quantiser, synthetic calibration), and turns in one process.
Prints medians and minima in milliseconds, and the ratios of native's int8 to the better peer's and to native's float32.
"""

from __future__ import annotations

import logging
import statistics
import sys
import tempfile
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

from native_latency import arguments, clock_of, measure, native, onnxruntime, openvino

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from models.quantised import quantised


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--target", default="ml_c5")
    parser.add_argument("--mcpu", default="cascadelake")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    clock = clock_of(asked)
    for name in asked.names:
        graph: onnx.ModelProto = BUILDERS[name](False)
        with tempfile.TemporaryDirectory() as folder:
            works = [Path(folder) / part for part in ("int8", "float32")]
            for work in works:
                work.mkdir()
            model, plain = as_model(quantised(graph), works[0]), as_model(graph, works[1])
            for threads in asked.threads:
                run, engine, _ = native(model, asked.target, works[0], threads, mcpu=asked.mcpu)
                whole, other, _ = native(plain, asked.target, works[1], threads, mcpu=asked.mcpu)
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
