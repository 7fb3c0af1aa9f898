"""`neo-cli benchmark`: how fast a compiled model is on this machine, in a process of its own."""

from __future__ import annotations

import click


@click.command("benchmark")
@click.option("--model", required=True, metavar="PATH", help="the artifact: the .tar.gz or the folder it unpacks to")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=FILE", help="measure on this input; drawn at random if left out"
)
@click.option("--beside", metavar="FILE", help="an ONNX file that ONNX Runtime runs in turn, for comparison")
@click.option(
    "--seconds", type=click.FloatRange(min=0.1, max=600), default=3.0, show_default=True, help="how long to measure"
)
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True, help="the part to run"
)
@click.option("--threads", type=click.IntRange(min=1), help="threads of the engine (NEO_THREADS, else all cores)")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    model: str,
    inputs: tuple[str, ...],
    beside: str | None,
    seconds: float,
    device: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure a compiled model's latency: median, best and 90th percentile (ours, not AWS's).

    \b
    Examples:
      neo-cli benchmark --model out/det-ml_c5.tar.gz
      neo-cli benchmark --model out/det-ml_c5.tar.gz --beside det.onnx --threads 1
    """
    import subprocess
    import sys

    line = [sys.executable, "-m", "neo_cli.runtime", "benchmark", "--model", model, "--seconds", str(seconds)]
    line += [word for name in inputs for word in ("--input", name)]
    line += ["--beside", beside] if beside else []
    line += ["--device", device]
    line += ["--threads", str(threads)] if threads else []
    line += ["--json"] if as_json else []
    raise SystemExit(subprocess.run(line).returncode)
