"""Whole jobs for ml_c4 on models of every framework: compiled, run here, and equal to the framework's own numbers.

What is found must equal the frameworks of docs/support.json, which NEO_RECORD=1 writes.
"""

import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiling import archive, request
from models.builders import BUILDERS
from models.small import SMALL
from neo_cli.frontends import FRONTENDS
from neo_cli.pipeline import compile_job
from neo_cli.report import contest
from neo_cli.runtime import cpu
from neo_cli.targets.devices import targets

RECORD = Path(__file__).parents[2] / "docs" / "support.json"
TARGET = targets()["ml_c4"]
# A choice of each zoo that has every kind of file and layer; the frameworks' own tests have the rest.
CHOSEN = {
    "TENSORFLOW": ("convnet", "function", "frozen", "saved-v1", "while"),
    "KERAS": ("convnet", "convnet-h5", "rnn", "transformer", "keras2-convnet"),
    "MXNET": ("resnet_v1", "segmenter", "detector_tail", "lstm", "transformer", "old_format"),
    "PYTORCH": ("resnet", "mobile", "attention", "bert", "lstm", "scripted-resnet", "exported-vit"),
    "XGBOOST": ("breast_cancer", "iris", "diabetes", "ranking", "dart", "gblinear", "forest", "categorical"),
    "TFLITE": ("convnet", "convnet-int8", "convnet-uint8", "transformer"),
    "DARKNET": ("yolov3_tiny", "darknet19", "resnet"),
    "SKLEARN": ("logistic", "random_forest", "gradient_boosting", "hist_boosting", "svc", "knn", "mlp", "column_transformer", "stacking"),
}  # fmt: skip
ONNX = {name: (lambda make=make: make(True)) for name, make in BUILDERS.items()} | SMALL
JOBS = [(framework, name) for framework, names in CHOSEN.items() for name in names] + [("ONNX", name) for name in ONNX]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """What the tests recorded before; what they find goes there under NEO_RECORD=1."""
    whole = json.loads(RECORD.read_text()) if RECORD.is_file() else {"targets": {}, "frameworks": {}}
    before = whole["frameworks"]
    if os.environ.get("NEO_RECORD"):
        whole["frameworks"] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEO_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setattr(contest, "SECONDS", 0.05)  # who is fastest is not asked here
        yield whole["frameworks"] if os.environ.get("NEO_RECORD") else before
    if os.environ.get("NEO_RECORD"):
        RECORD.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def made(framework: str, name: str, folder: Path) -> tuple[dict[str, bytes], str | None]:
    """The archive's members, and the DataInputConfig."""
    if framework == "ONNX":
        return {"net.onnx": ONNX[name]().SerializeToString()}, None
    config = importlib.import_module(f"models.{framework.lower()}_zoo").MODELS[name](folder)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    return files, config


@pytest.mark.parametrize("framework, name", JOBS)
@pytest.mark.filterwarnings("ignore")  # of the frameworks, while they write their models
def test_a_job_completes(framework: str, name: str, record: dict[str, dict[str, str]], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    files, config = made(framework, name, tmp_path / "model")
    packed = archive(tmp_path / "net.tar.gz", files)
    log: list[str] = []
    asked = request(TARGET.name, config, framework=framework)
    result = compile_job(asked, packed, tmp_path / "work", log.append, trusted=True)
    if os.environ.get("NEO_RECORD"):
        record.setdefault(framework, {})[name] = result.verified
    elif result.verified != "ran" and not cpu.runs(TARGET.os, TARGET.arch, TARGET.features):
        pytest.skip(f"this CPU cannot run code for {TARGET.name}")
    assert record[framework][name] == result.verified == "ran"


def test_the_record_has_every_framework_and_no_other() -> None:
    found = json.loads(RECORD.read_text())["frameworks"]
    assert set(found) == set(FRONTENDS)
    assert {(framework, name) for framework, names in found.items() for name in names} == set(JOBS)
