"""Latency of packed models beside ONNX Runtime and OpenVINO, and what a job costs. Run: python tests/bench/latency.py

One line a network: the packed model's milliseconds and its ratio to the better engine, both measured in turn in one
process. `--precision auto` compares with OpenVINO's own default; `--job` reports seconds and memory of a ResNet-50 job,
create to COMPLETED, in a NEO_HOME of its own. `--json FILE` keeps the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

NETWORKS = ("mobilenetv2", "resnet50", "bert", "yolo")
LIMIT = 1.05
TARGET = "ml_c5"


def main() -> int:
    """Measure what the line asks for; exit code 1 when a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", choices=("float32", "auto"), default="float32")
    parser.add_argument("--seconds", type=float, default=12.0, help="for each network")
    parser.add_argument("--job", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["NEO_THREADS"] = str(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.job:
            rows = [job(Path(scratch))]
        else:
            rows = [latency(name, Path(scratch), arguments) for name in arguments.networks]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0 if all(row["kept"] for row in rows) else 1


def latency(name: str, scratch: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compile one network as a job does, then time the artifact beside the engines."""
    from compiling import compile_here
    from models.builders import save
    from neo_cli.runtime import load
    from neo_cli.runtime.timing import interleave

    source = save(name, scratch)
    options = json.dumps({"precision": arguments.precision})
    made = compile_here(source.read_bytes(), scratch / name, target=TARGET, options=options)
    report = json.loads(made.report.read_text())
    with load(made.artifact, arguments.threads) as model:
        feed = inputs(model.inputs)
        calls = {"packed": lambda: model.run(feed), **engines(source, feed, arguments)}
        for call in calls.values():
            call()
        found = interleave(calls, arguments.seconds, rounds=12)
    best = min((n for n in found if n != "packed"), key=lambda n: found[n].steady)
    ratio = found["packed"].steady / found[best].steady
    times = "  ".join(f"{n} {t.steady * 1e3:8.3f}" for n, t in found.items())
    print(
        f"{name:12} {arguments.threads} threads  ms: {times}  packed is {report['chosen']}, {ratio:.3f} x {best}",
        flush=True,
    )
    return {
        "network": name, "threads": arguments.threads, "precision": arguments.precision, "chosen": report["chosen"],
        "ms": {n: t.steady * 1e3 for n, t in found.items()}, "ratio": ratio, "kept": ratio <= LIMIT,
    }  # fmt: skip


def inputs(wanted: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        t["name"]: random.random(t["shape"]).astype(np.float32)
        if t["dtype"] == "float32"
        else np.ones(t["shape"], t["dtype"])
        for t in wanted
    }


def engines(source: Path, feed: dict[str, np.ndarray], arguments: argparse.Namespace) -> dict[str, Any]:
    """The engines by themselves, as their own documentation says to run them for latency."""
    import onnxruntime
    import openvino

    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": arguments.threads}
    if arguments.precision == "float32":
        config["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(str(source), "CPU", config)
    request = compiled.create_infer_request()
    by_port = {port: feed[port.any_name] for port in compiled.inputs}
    calls = {"openvino": lambda: request.infer(by_port, share_inputs=True)}
    if arguments.precision == "float32":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        session = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        calls["onnxruntime"] = lambda: session.run(None, feed)
    return calls


def job(scratch: Path) -> dict[str, Any]:
    """A ResNet-50 job through the command line, three times: seconds to COMPLETED, peak memory of one compiler child."""
    from compiling import archive
    from models.builders import save

    packed = archive(scratch / "resnet50.tar.gz", {"resnet50.onnx": save("resnet50", scratch).read_bytes()})
    seconds = []
    for turn in range(3):
        env = os.environ | {"NEO_HOME": str(scratch / f"home{turn}")}
        line = [sys.executable, "-m", "neo_cli"]
        named = ["--compilation-job-name", "resnet50"]
        start = time.monotonic()
        subprocess.run(
            [
                *line, "create-compilation-job", *named, "--role-arn", "arn:aws:iam::123456789012:role/Neo",
                "--input-config", f"S3Uri=file://{packed},Framework=ONNX",
                "--output-config", f"S3OutputLocation=file://{scratch}/out{turn},TargetDevice={TARGET}",
                "--stopping-condition", "MaxRuntimeInSeconds=900",
            ],
            env=env, check=True, capture_output=True,
        )  # fmt: skip
        subprocess.run([*line, "wait", "compilation-job-completed-or-stopped", *named], env=env, check=True)
        seconds.append(time.monotonic() - start)
    memory = alone(packed, scratch)
    kept = statistics.median(seconds) < 20 and memory < 1.5e9
    print(
        f"resnet50 job: {', '.join(f'{s:.1f}' for s in seconds)} s to COMPLETED; the compiler took {memory / 1e9:.2f} GB"
    )
    return {"seconds": seconds, "bytes": memory, "kept": kept}


def alone(packed: Path, scratch: Path) -> float:
    """Peak memory of the same job, compiled in a process of its own."""
    code = (
        "import sys, json, resource; from pathlib import Path; from neo_cli.pipeline import compile_job\n"
        "compile_job(json.loads(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), lambda _: None, environ={'NEO_HOME': sys.argv[3]})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    from compiling import request

    words = [json.dumps(request(TARGET)), str(packed), str(scratch / "alone")]
    run = subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, text=True)
    own = int(run.stdout.split()[-1]) * 1024
    return float(max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))


if __name__ == "__main__":
    raise SystemExit(main())
