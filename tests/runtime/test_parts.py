"""The CPU part and the GPU part of an artifact: which one runs, and what is said about it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compiling import compile_here
from models.builders import BUILDERS
from neo_cli.runtime import ArtifactError, archive, load, parts

X = np.linspace(-1, 1, 32, dtype=np.float32)[None]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = '{"backend": "onnxruntime"}'
    return compile_here(BUILDERS["mlp"](True), tmp_path_factory.mktemp("job"), options=options).artifact


def beside(packed: Path, folder: Path, shift: float = 0.0, **changes: Any) -> Path:
    """The artifact with a second part: the same network, its last bias moved, under the name of another back end."""
    archive.unpack(packed, folder)
    graph = onnx.load(folder / "compiled.onnx")
    bias = next(i for i in graph.graph.initializer if list(i.dims) == [10])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([shift] + [0] * 9), bias.name))
    (folder / "accelerated.onnx").write_bytes(graph.SerializeToString())
    record = json.loads((folder / "meta/artifact.json").read_text())
    part = {"engine": "onnxruntime", "backend": "gpu", "settings": {**record["settings"], "file": "accelerated.onnx"}}
    record["accelerator"] = part | {"precision": "float32", "verified": "compiled only"} | changes
    (folder / "meta/artifact.json").write_text(json.dumps(record))
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != "manifest"]
    hashes = [{"name": n, "hash": archive.hash_of(folder / n)} for n in sorted(names)]
    (folder / "manifest").write_text(json.dumps({"algorithm": "blake2s", "files": hashes}))
    return folder


def test_a_gpu_part_that_is_right_runs_by_itself(packed: Path, tmp_path: Path) -> None:
    folder = beside(packed, tmp_path / "model")
    for device, backend in (("auto", "gpu"), ("gpu", "gpu"), ("cpu", "onnxruntime")):
        with load(folder, device=device) as model:
            assert (model.record["backend"], model.warnings) == (backend, ())
            assert model.run({"x": X})["probabilities"].shape == (1, 10)


def test_a_gpu_part_that_is_wrong_here_never_runs_by_itself(packed: Path, tmp_path: Path) -> None:
    folder = beside(packed, tmp_path / "model", shift=0.5)
    with load(folder) as model, load(folder, device="cpu") as plain, load(folder, device="gpu") as wrong:
        assert model.record["backend"] == "onnxruntime"
        assert len(model.warnings) == 1
        assert model.warnings[0].startswith(
            "The CPU part is used: the GPU part is wrong on this machine ('probabilities'"
        )
        np.testing.assert_array_equal(model.run({"x": X})["probabilities"], plain.run({"x": X})["probabilities"])
        assert np.abs(wrong.run({"x": X})["probabilities"] - plain.run({"x": X})["probabilities"]).max() > 1e-2


@pytest.mark.parametrize(
    "change, words",
    [
        ({"engine": "onnxruntime", "settings": {"file": "none.onnx"}}, "The CPU part is used: "),
        ({"engine": "unheard"}, "The CPU part is used: The artifact needs the engine 'unheard'; known are native,"),
    ],
)
def test_a_gpu_part_that_does_not_start_leaves_the_cpu_part(
    change: dict, words: str, packed: Path, tmp_path: Path
) -> None:
    with load(beside(packed, tmp_path / "model", **change)) as model:
        assert model.record["backend"] == "onnxruntime" and model.warnings[0].startswith(words)


def test_a_machine_without_a_gpu_uses_the_cpu_part(packed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ncnn", reason="needs the extra ncnn")
    from neo_cli.runtime.engines.ncnn import Engine

    if Engine.missing({"vulkan": True}) is None:
        pytest.skip("this machine has a GPU")
    settings = {"param": "a.param", "bin": "a.bin", "vulkan": True}
    with load(beside(packed, tmp_path / "model", engine="ncnn", settings=settings)) as model:
        assert model.warnings == ("The CPU part is used: this machine has no GPU with a Vulkan driver.",)


def test_an_engine_that_is_absent_is_named(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = beside(packed, tmp_path / "model", engine="iree")
    monkeypatch.setitem(parts.ENGINES, "iree", "not_installed_anywhere:Engine")
    with load(folder) as model:
        assert "runs on iree, which is not installed here" in model.warnings[0]
    with pytest.raises(ArtifactError, match="runs on iree, which is not installed here"):
        load(folder, device="gpu")


def test_an_artifact_without_a_gpu_part_says_so(packed: Path) -> None:
    with load(packed) as model:
        assert model.warnings == ()
    with pytest.raises(ArtifactError, match="has no GPU part"):
        load(packed, device="gpu")
    with pytest.raises(ArtifactError, match="There is no device 'tpu'; known are auto, cpu, gpu"):
        load(packed, device="tpu")
