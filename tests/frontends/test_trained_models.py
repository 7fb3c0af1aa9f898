"""Really trained public models of other frameworks than ONNX, through whole jobs; one net in three formats agrees with itself."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from models.fetch import folder
from neo_cli.pipeline import Result, compile_job
from neo_cli.runtime import load

PITCH = "basic-pitch/basic_pitch/saved_models/icassp_2022"
MEDIAPIPE = "mediapipe/mediapipe/modules"
ROLE = "arn:aws:iam::123456789012:role/Neo"


def compiled(source: Path, framework: str, work: Path) -> Result:
    """The file or folder `source` as a whole job for ml_c5."""
    if not source.exists():
        pytest.skip(f"{source} is not there; run python tests/models/fetch.py")
    work.mkdir()
    with tarfile.open(work / "model.tar.gz", "w:gz") as tar:
        tar.add(source, source.name)
    request = {
        "CompilationJobName": "trained", "RoleArn": ROLE, "StoppingCondition": {},
        "InputConfig": {"S3Uri": "file:///model.tar.gz", "Framework": framework},
        "OutputConfig": {"S3OutputLocation": "file:///out", "TargetDevice": "ml_c5", "CompilerOptions": '{"backend": "onnxruntime"}'},
    }  # fmt: skip
    return compile_job(
        request, work / "model.tar.gz", work / "job", lambda text: None, environ={"NEO_HOME": str(work)}, trusted=True
    )


@pytest.mark.slow
@pytest.mark.real_model
def test_one_net_in_three_formats_gives_one_answer(tmp_path: Path) -> None:
    """basic-pitch 0.4.0 ships the same net as SavedModel, TensorFlow Lite and ONNX."""
    found = {}
    audio = np.sin(np.arange(43844) * 440 * 2 * np.pi / 22050).astype(np.float32).reshape(1, -1, 1)
    for framework, name in (("TENSORFLOW", "nmp"), ("TFLITE", "nmp.tflite"), ("ONNX", "nmp.onnx")):
        made = compiled(folder() / PITCH / name, framework, tmp_path / framework)
        assert made.verified == "ran"
        with load(made.artifact) as model:
            outputs = model.run({model.inputs[0]["name"]: audio})
        found[framework] = sorted(outputs.values(), key=lambda a: (a.shape, float(a.sum())))
        shutil.rmtree(tmp_path / framework)
    for others in (found["TFLITE"], found["ONNX"]):
        for one, other in zip(found["TENSORFLOW"], others, strict=True):
            assert one.shape == other.shape and float(np.abs(one - other).max()) < 2e-3


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize(
    "path",
    [
        "pose_landmark/pose_landmark_full.tflite",  # float16 weights
        "pose_detection/pose_detection.tflite",  # sparse weights
        "hand_landmark/hand_landmark_lite.tflite",
        "face_detection/face_detection_short_range.tflite",
    ],
)
def test_mediapipes_nets_compile_and_are_right(path: str, tmp_path: Path) -> None:
    made = compiled(folder() / MEDIAPIPE / path, "TFLITE", tmp_path / "job")
    assert made.verified == "ran" and made.artifact.stat().st_size > 100_000
