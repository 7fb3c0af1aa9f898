"""Amazon's own runtime, DLR 1.6.0, runs our native artifacts: convnets, a transformer, trees, as they come out of a job."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from compiling import compile_here
from models.builders import BUILDERS
from models.fetch import folder
from models.small import SMALL
from neo_cli.runtime import archive

NETWORKS = {
    "mobilenetv2": lambda: BUILDERS["mobilenetv2"](False),
    "resnet50": lambda: BUILDERS["resnet50"](True),
    "yolo": lambda: BUILDERS["yolo"](True),
    "bert": lambda: BUILDERS["bert"](True),
    **SMALL,
}
# DLR reports each load and run to Amazon unless its own switch is off; the module it would do so with is a stub besides.
SCRIPT = """
import json, sys, types
sys.modules["requests"] = types.ModuleType("requests")
import numpy as np
sys.path.insert(0, sys.argv[1])
import dlr
from dlr.counter.phone_home import PhoneHome
PhoneHome.disable_feature()
model = dlr.DLRModel(sys.argv[2], "cpu")
feed = dict(np.load(sys.argv[3]))
assert sorted(model.get_input_names()) == sorted(feed), model.get_input_names()
found = [model.run(feed) for _ in range(2)][1]
np.savez(sys.argv[4], **{f"y{i}": value for i, value in enumerate(found)})
"""


@pytest.fixture(scope="module")
def package() -> Path:
    """The unpacked wheel, its library where its Python code looks for it."""
    wheel = folder() / "dlr"
    if not (wheel / "done").is_file():
        pytest.skip("DLR's wheel is not there; run python tests/models/fetch.py dlr")
    library = wheel / "dlr" / "libdlr.so"
    if not library.is_file():
        library.write_bytes(next(wheel.glob("*.data/data/dlr/libdlr.so")).read_bytes())
    (wheel / "dlr" / "counter" / "ccm_config.json").write_text(json.dumps({"enable_phone_home": False}))
    return wheel


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.parametrize("name", NETWORKS)
def test_dlr_runs_it_and_gets_the_sources_numbers(
    name: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO_HOME", str(tmp_path / "home"))
    graph = NETWORKS[name]()
    made = compile_here(graph, tmp_path / "job", options='{"backend": "native"}')
    archive.unpack(made.artifact, tmp_path / "model")
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    feed = {
        i.name: random.standard_normal(i.shape).astype(np.float32) if i.type == "tensor(float)" else random.integers(0, 2, i.shape)
        for i in session.get_inputs()
    }  # fmt: skip
    np.savez(tmp_path / "feed.npz", **feed)
    line = [
        sys.executable,
        "-c",
        SCRIPT,
        str(package),
        str(tmp_path / "model"),
        str(tmp_path / "feed.npz"),
        str(tmp_path / "out.npz"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "http_proxy": "http://127.0.0.1:9"})
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "out.npz") as found:
        for index, wanted in enumerate(session.run(None, feed)):
            answer = found[f"y{index}"].reshape(wanted.shape)
            assert np.abs(answer - wanted).max() <= 1e-4 * np.abs(wanted).max()
