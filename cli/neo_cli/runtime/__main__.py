"""`python -m neo_cli.runtime run|benchmark`: a compiled model on files of arrays, and how fast it is here."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from neo_cli.runtime import ArtifactError, RunError, load
from neo_cli.runtime.files import read_inputs, write_outputs
from neo_cli.runtime.inputs import drawn
from neo_cli.runtime.model import Model
from neo_cli.runtime.parts import DEVICES
from neo_cli.runtime.rows import compare, run_rows
from neo_cli.runtime.timing import interleave

USAGE, GENERAL = 252, 255  # as the AWS CLI: not understood; anything else


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code; a fault is one line on standard error."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.function(arguments)
    except RunError as error:
        return _fault(str(error), USAGE)
    except (ArtifactError, OSError, RuntimeError, MemoryError) as error:
        return _fault(" ".join(str(error).split()), GENERAL)
    return 0


def _fault(text: str, code: int) -> int:
    print(f"\nneo-cli: [ERROR]: {text}", file=sys.stderr)
    return code


def _warn(model: Model) -> None:
    for sentence in model.warnings:
        print(f"neo-cli: {sentence}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise SystemExit(_fault(message, USAGE))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m neo_cli.runtime", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)
    run = commands.add_parser("run", help="run a compiled model on .npy or .npz files")
    run.add_argument("--output-dir", required=True, type=Path)
    run.add_argument("--expect", action="append", default=[])
    run.set_defaults(function=_run)
    benchmark = commands.add_parser("benchmark", help="measure a compiled model's latency on this machine")
    benchmark.add_argument("--seconds", type=float, default=3.0)
    benchmark.add_argument("--beside", type=Path, help="an ONNX file that ONNX Runtime runs in turn")
    benchmark.add_argument("--json", action="store_true")
    benchmark.set_defaults(function=_benchmark)
    for command in (run, benchmark):
        command.add_argument("--model", required=True, type=Path)
        command.add_argument("--input", action="append", default=[])
        command.add_argument("--threads", type=int)
        command.add_argument("--device", choices=DEVICES, default="auto")
    return parser


def _run(arguments: argparse.Namespace) -> None:
    with load(arguments.model, arguments.threads, arguments.device) as model:
        _warn(model)
        inputs = read_inputs(arguments.input, model.inputs)
        start = time.perf_counter()
        outputs, rows = run_rows(model, inputs)
        seconds = time.perf_counter() - start
        verdicts = compare(outputs, read_inputs(arguments.expect, model.outputs))
    files = write_outputs(outputs, arguments.output_dir)
    told = [
        {
            "Name": n,
            "Dtype": a.dtype.name if a.dtype.kind not in "OU" else "str",
            "Shape": list(a.shape),
            "File": str(files[n]),
        }
        | verdicts.get(n, {})
        for n, a in outputs.items()
    ]
    print(json.dumps({"Outputs": told, "Rows": rows, "Seconds": round(seconds, 6)}, indent=4))


def _benchmark(arguments: argparse.Namespace) -> None:
    with load(arguments.model, arguments.threads, arguments.device) as model:
        _warn(model)
        inputs = read_inputs(arguments.input, model.inputs) if arguments.input else drawn(model.inputs)
        label = f"{model.record['target']} ({model.record['backend']}, {model.record['precision']})"
        calls: dict[str, Any] = {label: lambda: model.run(inputs)}
        if arguments.beside:
            other = _beside(arguments.beside, model.threads)
            calls["ONNX Runtime"] = lambda: other.run(None, inputs)
        timings = interleave(calls, arguments.seconds)
        threads = model.threads
    rows = [
        {
            "Model": name,
            "Threads": threads,
            "MedianMs": t.median * 1e3,
            "MinMs": t.min * 1e3,
            "P90Ms": t.p90 * 1e3,
            "Runs": t.runs,
        }
        for name, t in timings.items()
    ]
    if arguments.json:
        print(json.dumps({"Benchmark": rows}, indent=4))
        return
    width = max(len(str(row["Model"])) for row in rows)
    print(f"{'':{width}}  {'median':>10}  {'min':>10}  {'p90':>10}  {'runs':>6}  threads")
    for row in rows:
        times = "  ".join(f"{row[key]:7.3f} ms" for key in ("MedianMs", "MinMs", "P90Ms"))
        print(f"{row['Model']:{width}}  {times}  {row['Runs']:6}  {threads}")


def _beside(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ArtifactError("--beside needs ONNX Runtime: pip install onnxruntime.") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common parent of their own
        raise ArtifactError(f"ONNX Runtime cannot load {path}: {' '.join(str(error).split())[:200]}") from error


if __name__ == "__main__":
    sys.exit(main())
