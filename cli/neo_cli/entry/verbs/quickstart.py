"""`neo-cli quickstart`: a small trained model compiled for this machine, run, measured, and what to try next."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from neo_cli.base.errors import NeoError

if TYPE_CHECKING:
    from neo_cli.entry.context import Context
    from neo_cli.targets.devices import Target

MODEL = Path(__file__).resolve().parents[2] / "quickstart"
LIMIT = 300  # seconds
ENDED = ("COMPLETED", "FAILED", "STOPPED")


@click.command("quickstart")
@click.option(
    "--output-dir",
    default="neo-quickstart",
    show_default=True,
    metavar="DIR",
    help="where the model and the artifact are put",
)
@click.pass_obj
def command(context: Context, output_dir: str) -> None:
    """Compile a small trained model for this machine, run it, and show what to try next (ours, not AWS's).

    The model reads handwritten digits of 8 x 8 pixels; everything stays on this machine.
    """
    from neo_cli.base.table import lookup
    from neo_cli.clients import CLIENTS

    folder = Path(output_dir).absolute()
    archive = _unpack(folder)
    client = lookup(CLIENTS, "local")(context)
    target = _target()
    name = f"quickstart-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(context.now()))}"
    context.say(
        f"1. Compiling {_shown(archive)} for {target.name}, the device record nearest to this machine, as job {name}"
    )
    client.call("CreateCompilationJob", _request(name, archive, folder, target))
    job = _wait(context, client, name)
    context.say("\n2. The job, as `neo-cli describe-compilation-job` shows it")
    shown = ("CompilationJobName", "CompilationJobStatus", "ModelArtifacts", "ModelDigests", "DerivedInformation")
    context.stdout.write(json.dumps({k: job[k] for k in shown if k in job}, indent=4) + "\n")
    artifact = Path(job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("file://"))
    _use(context, folder, artifact)
    _next(context, artifact, name)


def _unpack(folder: Path) -> Path:
    """The shipped files in `folder`, the model and samples packed as an input archive too."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("digits.onnx", "samples.npz", "labels.npz"):
        (folder / name).write_bytes((MODEL / name).read_bytes())
    archive = folder / "digits.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("digits.onnx", "samples.npz"):
            tar.add(folder / name, name)
    return archive


def _target() -> Target:
    """Of the Linux devices whose CPU features this machine has, the one with the most."""
    import platform

    from neo_cli.targets.devices import targets

    arch = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    have = _features()
    fitting = [
        t for t in targets().values()
        if (t.os, t.arch, t.accelerator, t.refuse) == ("linux", arch, None, None) and set(t.features) <= have
    ]  # fmt: skip
    if not fitting:
        raise NeoError(f"There is no Linux device record for this machine ({arch}); see `neo-cli targets`.")
    return max(fitting, key=lambda t: (len(t.features), t.cloud))


def _features() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return {
        word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split(":")[1].split()
    }


def _request(name: str, archive: Path, folder: Path, target: Target) -> dict[str, Any]:
    output: dict[str, Any] = {"S3OutputLocation": f"file://{folder}"}
    if target.name.isupper():
        output["TargetPlatform"] = {"Os": target.os.upper(), "Arch": target.arch.upper()}
    else:
        output["TargetDevice"] = target.name
    request: dict[str, Any] = json.loads((MODEL / "request.json").read_text(encoding="utf-8"))
    request["InputConfig"]["S3Uri"] = f"file://{archive}"
    return {"CompilationJobName": name, **request, "OutputConfig": output}


def _wait(context: Context, client: Any, name: str) -> dict[str, Any]:
    """The described job when it has ended well; a spinner meanwhile on a terminal, one line a status elsewhere."""
    from rich.console import Console

    console = Console(file=context.stderr, no_color=not context.colors(context.stderr), highlight=False)
    start, last = time.monotonic(), ""
    with console.status("waiting …") as status:
        while True:
            job: dict[str, Any] = client.call("DescribeCompilationJob", {"CompilationJobName": name})
            state = job["CompilationJobStatus"]
            status.update(f"{state} ({time.monotonic() - start:.0f} s)")
            if state != last:
                console.print(f"   {state}")
                last = state
            if state in ENDED:
                break
            if time.monotonic() - start > LIMIT:
                raise NeoError(
                    f"The job {name} has not ended after {LIMIT} s; see `neo-cli logs --compilation-job-name {name}`."
                )
            time.sleep(0.1)
    if state != "COMPLETED":
        raise NeoError(f"The job {name} ended {state}: {job.get('FailureReason', 'no reason given')}")
    return job


def _runtime(*words: str) -> Any:
    """What `python -m neo_cli.runtime …` prints, as data."""
    run = subprocess.run([sys.executable, "-m", "neo_cli.runtime", *words], capture_output=True, text=True)
    if run.returncode:
        raise NeoError(run.stderr.strip().removeprefix("neo-cli: [ERROR]: ") or "the runtime ended without a word")
    return json.loads(run.stdout)


def _use(context: Context, folder: Path, artifact: Path) -> None:
    """Run the artifact on the samples and say how right, how near to its source, and how fast it is."""
    done = _runtime(
        "run", "--model", str(artifact), "--input", f"image={folder / 'samples.npz'}", "--output-dir", str(folder / "results"),
        "--expect", f"probabilities={folder / 'labels.npz'}",
    )  # fmt: skip
    report = json.loads(
        artifact.with_name(artifact.name.removesuffix(".tar.gz") + ".report.json").read_text(encoding="utf-8")
    )
    packed = next(c for c in report["candidates"] if c["outcome"] == "packed")
    errors = [
        figures["error"]
        for output in packed["accuracy"]["outputs"].values()
        for figures in output.values()
        if "error" in figures
    ]
    speed = _runtime(
        "benchmark", "--model", str(artifact), "--beside", str(folder / "digits.onnx"), "--seconds", "2", "--json"
    )
    own, other = speed["Benchmark"]
    answer = done["Outputs"][0]
    context.say("\n3. The artifact, used")
    context.say(f"   accuracy        {answer['Accuracy']:.2%} on {done['Rows']} images it was not trained on")
    context.say(f"   error           {max(errors):.1e} of the largest value, against ONNX Runtime on the source model")
    context.say(
        f"   latency         {own['MedianMs'] * 1e3:.1f} µs a run ({packed['backend']}), ONNX Runtime {other['MedianMs'] * 1e3:.1f} µs"
    )
    context.say(f"   artifact        {_shown(artifact)} ({artifact.stat().st_size / 1e3:.0f} kB)")


def _next(context: Context, artifact: Path, name: str) -> None:
    shown = _shown(artifact)
    context.say("\nNext, try")
    context.say(f"   neo-cli logs --compilation-job-name {name}")
    context.say(f"   neo-cli benchmark --model {shown}")
    context.say("   neo-cli create-compilation-job help")


def _shown(path: Path) -> str:
    """A path as short as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
