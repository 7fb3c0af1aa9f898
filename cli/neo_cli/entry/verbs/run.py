"""`neo-cli run`: a compiled model on .npy and .npz files, in a process of its own."""

from __future__ import annotations

import click


@click.command("run")
@click.option("--model", required=True, metavar="PATH", help="the artifact: the .tar.gz or the folder it unpacks to")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=FILE", help="an input as .npy or .npz; repeat for several"
)
@click.option("--output-dir", required=True, metavar="DIR", help="where each output is written as NAME.npy")
@click.option("--expect", multiple=True, metavar="NAME=FILE", help="compare an output with this array, or with labels")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "gpu"]), default="auto", show_default=True, help="the part to run"
)
@click.option("--threads", type=click.IntRange(min=1), help="threads of the engine (NEO_THREADS, else all cores)")
def command(
    model: str, inputs: tuple[str, ...], output_dir: str, expect: tuple[str, ...], device: str, threads: int | None
) -> None:
    """Run a compiled model on this machine (ours, not AWS's).

    An input of the model's own shape is one run; with k times its first size, the model runs k times.

    \b
    Examples:
      neo-cli run --model out/det-ml_c5.tar.gz --input x=image.npy --output-dir results/
      neo-cli run --model out/bert-ml_c5.tar.gz --input batch.npz --output-dir results/
    """
    import subprocess
    import sys

    line = [sys.executable, "-m", "neo_cli.runtime", "run", "--model", model, "--output-dir", output_dir]
    line += [word for name in inputs for word in ("--input", name)]
    line += [word for name in expect for word in ("--expect", name)]
    line += ["--device", device]
    line += ["--threads", str(threads)] if threads else []
    raise SystemExit(subprocess.run(line).returncode)
