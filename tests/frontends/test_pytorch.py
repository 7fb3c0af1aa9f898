"""PYTORCH: the zoo equals torch's own numbers, files are told apart, refusals say what to do."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from neo_cli.base.errors import InputError
from neo_cli.frontends.pytorch import load
from neo_cli.frontends.pytorch_file import traced_inputs
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source
from neo_cli.model.verify import verify

if importlib.util.find_spec("torch") is None:
    pytest.skip("the pytorch extra is not installed", allow_module_level=True)

import torch

from models.pytorch_zoo import MODELS, Named, Resnet, Two


def loaded(folder: Path, config: str | None, log: list[str] | None = None, **options: Any) -> Model:
    said = log if log is not None else []
    return load(Source("PYTORCH", folder, options=options, trusted=True, log=said.append), parse(config))


def refused(folder: Path, config: str | None = None, trusted: bool = True, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        load(Source("PYTORCH", folder, options=options, trusted=trusted), parse(config))
    return caught.value.message


def difference(model: Model) -> float:
    random = np.random.default_rng(1)
    feeds = {
        t.name: random.standard_normal(t.shape).astype(t.dtype)
        if t.dtype.startswith("float")
        else random.integers(0, 10, t.shape).astype(t.dtype)
        for t in model.inputs
    }
    onnx.checker.check_model(model.graph)
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [t.name for t in model.outputs]
    found, wanted = dict(zip(names, session.run(names, feeds), strict=True)), model.oracle(feeds)
    assert list(wanted) == names
    for tensor in model.outputs:
        assert (
            wanted[tensor.name].shape == found[tensor.name].shape == tensor.shape
            and wanted[tensor.name].dtype == tensor.dtype
        )
    return max(float(np.abs(found[k] - wanted[k]).max() / (np.abs(wanted[k]).max() or 1)) for k in names)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_zoo_equals_torch(name: str, tmp_path: Path) -> None:
    model = verify(loaded(tmp_path, MODELS[name](tmp_path)))
    assert difference(model) < 1e-5


def test_names_shapes_and_types_come_from_the_file(tmp_path: Path) -> None:
    MODELS["two-inputs"](tmp_path)
    model = loaded(tmp_path, None)
    assert [(t.name, t.shape, t.dtype) for t in model.inputs] == [
        ("input0", (2, 16), "float32"),
        ("input1", (2, 4), "float32"),
    ]
    assert model.derived == '{"input0":[2,16],"input1":[2,4]}' and [t.name for t in model.outputs] == [
        "output_0",
        "output_1",
    ]
    assert isinstance(model.source.handle, torch.jit.ScriptModule)


def test_integer_inputs_are_found_without_being_told(tmp_path: Path) -> None:
    log: list[str] = []
    model = loaded(tmp_path, MODELS["scripted-embedding"](tmp_path), log)
    assert model.inputs[0].dtype == "int64" and "inputs are taken as int64: the model does not run on float32" in log


def test_the_dtype_option_is_followed(tmp_path: Path) -> None:
    assert loaded(tmp_path, MODELS["scripted-embedding"](tmp_path), dtype="long").inputs[0].dtype == "int64"


def test_outputs_of_a_dictionary_keep_their_keys(tmp_path: Path) -> None:
    MODELS["named-outputs"](tmp_path)
    assert [t.name for t in loaded(tmp_path, None).outputs] == ["logits", "probabilities"]


def test_inputs_are_passed_in_lexical_order(tmp_path: Path) -> None:
    MODELS["two-inputs"](tmp_path)
    log: list[str] = []
    model = loaded(tmp_path, '{"b":[2,4],"a":[2,16]}', log)
    assert [t.name for t in model.inputs] == ["a", "b"]
    assert "warning: inputs are passed in the lexical order of their names, a, b, not in the order written" in log
    assert "was traced with [2, 16]" in refused(tmp_path, '{"a":[2,16,1],"b":[2,4]}')
    assert "DataInputConfig gives 1 inputs, x; the model takes 2." in refused(tmp_path, '{"x":[2,16]}')


def test_traced_examples_are_read_without_torch(tmp_path: Path) -> None:
    MODELS["bert"](tmp_path)
    found = traced_inputs(tmp_path / "model.pth")
    assert found is not None and [(t.shape, t.dtype) for t in found] == [((1, 12), "int64")]


def test_files_are_counted(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    assert (
        refused(tmp_path)
        == "No pth file found for PyTorch model. Please make sure the framework you select is correct."
    )
    for name in ("a.pth", "b.pt"):
        (tmp_path / name).touch()
    assert refused(tmp_path) == "Exactly one .pth file is allowed for PyTorch models."


@pytest.mark.parametrize(
    ("save", "words"),
    [
        (
            lambda p: torch.save(Resnet().state_dict(), p),
            "holds a state dict: weights only, no graph. Save the model with torch.jit.trace",
        ),
        (lambda p: torch.save({"model": Two().state_dict(), "epoch": 3}, p), "holds a state dict"),
        (lambda p: torch.save(Named(), p), "is a pickled torch.nn.Module, which needs the Python code of its classes."),
        (
            lambda p: torch.save(Two().state_dict(), p, _use_new_zipfile_serialization=False),
            "is a pickle of an old torch.save.",
        ),
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "is a Git LFS pointer"),
        (lambda p: p.write_bytes(b"<html>"), "is no TorchScript archive."),
        (lambda p: zipfile.ZipFile(p, "w").close(), "is a zip archive without a PyTorch model."),
    ],
)
def test_other_files_are_told_apart(tmp_path: Path, save: Any, words: str) -> None:
    save(tmp_path / "model.pth")
    assert words in refused(tmp_path) and refused(tmp_path).startswith(
        "Framework cannot load PyTorch model. model.pth "
    )


def test_a_truncated_file(tmp_path: Path) -> None:
    MODELS["two-inputs"](tmp_path)
    path = tmp_path / "model.pth"
    path.write_bytes(path.read_bytes()[:-300])
    assert "is no TorchScript archive" in refused(tmp_path)


def test_a_scripted_module_needs_its_shapes(tmp_path: Path) -> None:
    MODELS["scripted-loop"](tmp_path)
    assert refused(tmp_path).startswith(
        "We are unable to extract DataInputConfig from the model due to input_config_derivation_error."
    )
    assert refused(tmp_path, '{"x":[2,5]}').startswith(
        "TVM cannot convert the PyTorch model. Invalid model or input-shape mismatch."
    )
    assert "leaves a size of 'x' open" in refused(tmp_path, '{"x":[-1,4]}')


def test_untrusted_files_are_not_loaded(tmp_path: Path) -> None:
    MODELS["two-inputs"](tmp_path)
    assert (
        refused(tmp_path, trusted=False)
        == "model.pth may hold code, and no sandbox works on this machine: give --trust-model to load it all the same."
    )


def test_a_missing_extra_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MODELS["two-inputs"](tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused(tmp_path) == "PyTorch models need torch: pip install 'neo-cli[pytorch]'."
