"""Really trained public models (tests/models/fetch.py) compile, pass the check, and answer as their source does."""

import json
from pathlib import Path

import numpy as np
import pytest

from compiling import compile_here
from models.fetch import folder
from neo_cli.runtime import load

OCR = "rapidocr/rapidocr_onnxruntime/models"
MODELS = {
    "detector": (f"{OCR}/ch_PP-OCRv4_det_infer.onnx", '{"x":[1,3,320,320]}'),
    "recogniser": (f"{OCR}/ch_PP-OCRv4_rec_infer.onnx", "{'x': [1,3,48,320]}"),
    "classifier": (f"{OCR}/ch_ppocr_mobile_v2.0_cls_infer.onnx", "x=1x3x48x192"),
    "pitch": ("basic-pitch/basic_pitch/saved_models/icassp_2022/nmp.onnx", None),
}


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "native"])
@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_compiles_and_is_right(name: str, backend: str, tmp_path: Path) -> None:
    path, config = MODELS[name]
    source = folder() / path
    if not source.is_file():
        pytest.skip(f"{source} is not there; run python tests/models/fetch.py")
    asked = {"config": config} if config else {}
    made = compile_here(
        source.read_bytes(), tmp_path, target="ml_c5", options=json.dumps({"backend": backend}), **asked
    )
    report = json.loads(made.report.read_text())
    assert report["verified"] == "ran"
    slim = next(s for s in report["passes"] if s["stage"] == "slim")
    assert slim["nodes"] <= report["passes"][0]["nodes"]
    for figures in report["candidates"][0]["accuracy"]["outputs"].values():
        assert any(f["judged"] and f["error"] < 1e-3 for f in figures.values())
    with load(made.artifact) as model:
        feed = {t["name"]: np.zeros(t["shape"], t["dtype"]) for t in model.inputs}
        assert all(np.isfinite(a).all() for a in model.run(feed).values())
