"""The first thing a person runs, and the two verbs it leads to: from a line of the shell to numbers."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


def neo(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_"))} | {"NEO_HOME": str(home / "home")}
    return subprocess.run(
        [sys.executable, "-m", "neo_cli", *words], cwd=home, env=env, capture_output=True, text=True, timeout=240
    )


@pytest.mark.slow
def test_quickstart_compiles_runs_and_says_what_is_next(tmp_path: Path) -> None:
    run = neo("quickstart", home=tmp_path)
    assert run.returncode == 0, run.stderr
    job = json.loads(run.stdout)
    assert job["CompilationJobStatus"] == "COMPLETED"
    artifact = Path(job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("file://"))
    assert artifact.is_file() and artifact.parent == tmp_path / "neo-quickstart"
    accuracy = re.search(r"accuracy +([\d.]+)% on 359 images", run.stderr)
    assert accuracy and float(accuracy[1]) > 98
    error = re.search(r"error +([\d.e-]+) of the largest value", run.stderr)
    assert error and float(error[1]) < 1e-3
    assert "ONNX Runtime" in run.stderr and "Traceback" not in run.stderr
    following = [line.strip() for line in run.stderr.split("Next, try")[1].splitlines() if line.strip()]
    assert len(following) == 3
    for line in following[:2]:
        assert line.startswith("neo-cli ")
        done = neo(*line.split()[1:], home=tmp_path)
        assert done.returncode == 0 and done.stdout, done.stderr
    shown = neo(
        "run", "--model", str(artifact), "--input", "image=neo-quickstart/samples.npz", "--output-dir", "results",
        "--expect", "neo-quickstart/labels.npz", home=tmp_path,
    )  # fmt: skip
    answer = json.loads(shown.stdout)
    assert answer["Rows"] == 359 and answer["Outputs"][0]["Accuracy"] > 0.98


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run"], 252, "--model"),
        (
            ["run", "--model", "nowhere.tar.gz", "--output-dir", "out"],
            255,
            "There is no compiled model at nowhere.tar.gz.",
        ),
        (["benchmark", "--model", "nowhere.tar.gz"], 255, "There is no compiled model at nowhere.tar.gz."),
        (["benchmark", "--model", "nowhere.tar.gz", "--seconds", "0"], 252, "--seconds"),
    ],
)
def test_a_fault_of_run_or_benchmark_is_told_once(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    run = neo(*words, home=tmp_path)
    assert (run.returncode, run.stdout) == (code, "")
    assert told in run.stderr and "Traceback" not in run.stderr
    assert run.stderr.count("[ERROR]") == 1
    assert not (tmp_path / "out").exists()
