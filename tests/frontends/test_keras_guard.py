"""Keras files that carry code or point elsewhere are refused by name before Keras is imported."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.frontends.keras_files import configuration
from neo_cli.frontends.keras_guard import refuse_code

h5py = pytest.importorskip("h5py")
np = pytest.importorskip("numpy")
HONEST = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": []}, "registered_name": None}


def layer(kind: str, config: Any = None, module: Any = "keras.layers") -> dict[str, Any]:
    made = {"module": module, "class_name": kind, "config": {"name": "bad"} if config is None else config}
    return {**HONEST, "config": {"name": "s", "layers": [made]}}


ATTACKS = {
    "CVE-2024-3660, a Lambda": (layer("Lambda"), "is a Lambda"),
    "a Lambda in a wrapper": (layer("TimeDistributed", {"layer": layer("Lambda")["config"]["layers"][0]}), "is a Lambda"),
    "a Lambda of Keras 2": ({"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}}, "is a Lambda"),
    "CVE-2025-1550, a function of a module": (layer("function", "system", "os"), r"'os'\.'function'"),
    "CVE-2025-1550, a class of a module": (layer("Popen", {"args": "id"}, "subprocess"), r"'subprocess'\.'Popen'"),
    "CVE-2025-8747, a download": (layer("function", "get_file", "keras.utils"), r"'keras\.utils'\.'get_file'"),
    "CVE-2025-9906, safe mode off": (layer("function", "enable_unsafe_deserialization", "keras.config"), "enable_unsafe"),
    "a model loaded by a model": (layer("function", "load_model", "keras.models"), r"'keras\.models'\.'load_model'"),
    "CVE-2025-49655, torch": (layer("TorchModuleWrapper", {"module": "AAAA"}), "TorchModuleWrapper"),
    "CVE-2026-1462, a SavedModel": (layer("TFSMLayer", {"filepath": "/tmp/evil"}), "TFSMLayer"),
    "JAX": (layer("JaxLayer"), "JaxLayer"),
    "CVE-2025-12058, a vocabulary": (layer("StringLookup", {"name": "l", "vocabulary": "/etc/passwd"}), "'/etc/passwd'"),
    "a lambda among arguments": (layer("Dense", {"activation": {"class_name": "__lambda__", "config": {"value": "4wA"}}}), "Lambda"),
    "a type of a module": (layer("__typespec__", ["x"], "os"), "__typespec__"),
    "a module that is no text": (layer("Dense", None, {"a": 1}), "no part of Keras"),
    "a package of the same beginning": (layer("Dense", None, "keras_evil.layers"), "no part of Keras"),
    "in a compile configuration": ({**HONEST, "compile_config": {"loss": layer("function", "system", "posix")}}, "'posix'"),
}  # fmt: skip


def keras_file(folder: Path, config: Any, weights: bytes | None = None, name: str = "model.keras") -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        if weights is not None:
            archive.writestr("model.weights.h5", weights)
    return folder / name


def h5_file(path: Path, fill: Callable[[Any], Any], config: Any = HONEST) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        fill(file)
    return path


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("form", ["model.keras", "model.h5"])
def test_code_in_a_configuration_is_refused(attack: str, form: str, tmp_path: Path) -> None:
    config, words = ATTACKS[attack]
    keras = sys.modules.get("keras")
    path = (
        keras_file(tmp_path, config)
        if form == "model.keras"
        else h5_file(tmp_path / form, lambda file: file.create_group("model_weights"), config)
    )
    with pytest.raises(InputError, match=words):
        configuration(path)
    assert sys.modules.get("keras") is keras


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
    file.create_virtual_dataset("w", layout)


def filtered(file: Any) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((4,))
    made.set_filter(32008, h5py.h5z.FLAG_OPTIONAL, (0,))  # bitshuffle, a plug-in
    h5py.h5d.create(file.id, b"w", h5py.h5t.NATIVE_INT8, h5py.h5s.create_simple((4,)), made)


def circle(file: Any) -> None:
    file.create_group("a")
    file["a/b"] = file["a"]
    file["a/c"] = file["/"]


ELSEWHERE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a link to another file": (lambda f: f.__setitem__("w", h5py.ExternalLink("/etc/passwd", "/")), "by a link, 'w'"),
    "a soft link": (lambda f: f.__setitem__("w", h5py.SoftLink("/etc")), "by a link, 'w'"),
    "data of another file": (lambda f: f.create_dataset("w", (4,), "u1", external=[("/etc/passwd", 0, 4)]), "in another file"),
    "a virtual dataset": (virtual, "in another file"),
    "a filter that is a plug-in": (filtered, "filter 32008"),
    "a declared size": (lambda f: f.create_dataset("w", (2**40,), "f4"), "declares 4398046511104 bytes"),
    "a declared size in a group": (lambda f: f.create_group("a/b").create_dataset("w", (2**30,), "f4", chunks=(1024,)), "declares"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ELSEWHERE)
@pytest.mark.parametrize("form", ["model.keras", "model.h5"])
def test_data_that_lie_elsewhere_are_refused(kind: str, form: str, tmp_path: Path) -> None:
    fill, words = ELSEWHERE[kind]
    path = h5_file(tmp_path / "model.h5", fill)
    if form == "model.keras":
        path = keras_file(tmp_path, HONEST, path.read_bytes())
    with pytest.raises(InputError, match=words):
        configuration(path)


def test_circles_end_and_honest_files_pass(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        circle(file)
        file.create_dataset("w", data=np.arange(1000.0), compression="gzip", shuffle=True, fletcher32=True)
        file.create_dataset("empty", data=h5py.Empty("f4"))

    path = h5_file(tmp_path / "model.h5", fill)
    assert configuration(path) == (HONEST, "unknown")
    assert configuration(keras_file(tmp_path, HONEST, path.read_bytes())) == (HONEST, "3.9.0")


def test_a_file_is_read_as_keras_reads_it(tmp_path: Path) -> None:
    """An HDF5 file with an honest zip archive behind it is an HDF5 file when it is called .h5."""
    bad = h5_file(tmp_path / "model.h5", lambda file: None, ATTACKS["CVE-2024-3660, a Lambda"][0])
    honest = keras_file(tmp_path, HONEST).read_bytes()
    bad.write_bytes(bad.read_bytes() + honest)
    assert zipfile.is_zipfile(bad)
    with pytest.raises(InputError, match="is a Lambda"):
        configuration(bad)


@pytest.mark.parametrize(
    "config",
    ["[" * 50_000 + "]" * 50_000, "[]", "null", '{"class_name": 3, "config": []}', "{", '{"class_name": "Lambda"}'],
)
def test_odd_configurations_end_in_a_sentence(config: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("metadata.json", "[]" if config == "[]" else "{}")
    try:
        configuration(tmp_path / "model.keras")
    except InputError as error:
        assert error.message.startswith("Unable to load provided Keras model. Error:")


texts = st.sampled_from(
    ["class_name", "config", "module", "Lambda", "Dense", "keras", "os", "function", "name", "vocabulary", "x"]
)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
)


@given(values)
def test_no_lambda_is_overlooked(config: Any) -> None:
    def holds(value: Any) -> bool:
        if isinstance(value, dict):
            return value.get("class_name") == "Lambda" or any(map(holds, value.values()))
        return isinstance(value, list) and any(map(holds, value))

    try:
        refuse_code(config)
    except InputError:
        return
    assert not holds(config)


def test_deflated_weights_are_looked_at_too(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["w"] = h5py.ExternalLink("/etc/passwd", "/")
    with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps(HONEST))
        archive.writestr("metadata.json", "{}")
        archive.writestr("assets/Weights.H5", stream.getvalue())
    with pytest.raises(InputError, match="by a link"):
        configuration(tmp_path / "model.keras")


def test_what_keras_writes_for_honest_models_passes() -> None:
    """Functions by their name alone, layers of every module that Keras 3 names, policies, tensors among arguments."""
    kinds = [("keras", "DTypePolicy"), ("keras.layers", "Dense"), ("keras.src.models.functional", "Functional"), ("keras.src.ops.numpy", "Mean"),
             ("keras.optimizers.schedules", "CosineDecay"), ("keras.regularizers", "L2"), (None, "__keras_tensor__"), ("keras_core.layers", "Dense")]  # fmt: skip
    loss = {
        "module": "builtins",
        "class_name": "function",
        "config": "mean_squared_error",
        "registered_name": "function",
    }
    relu = {"module": "keras.activations", "class_name": "function", "config": "relu"}
    inner = [
        {"module": module, "class_name": kind, "config": {"activation": relu, "vocabulary": ["a"]}}
        for module, kind in kinds
    ]
    refuse_code({**HONEST, "config": {"layers": inner}, "compile_config": {"loss": loss, "optimizer": inner[4]}})
    refuse_code(
        {
            "class_name": "Sequential",
            "config": {"layers": [{"class_name": "Dense", "config": {"name": "d", "activation": "relu"}}]},
        }
    )
