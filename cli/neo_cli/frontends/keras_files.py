"""Which Keras model an archive holds, its configuration read without Keras, and Keras 2's rewritten for Keras 3."""

from __future__ import annotations

import json
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError
from neo_cli.frontends import keras_guard
from neo_cli.frontends.keras_guard import LOAD

# what zipfile, json and HDF5's library raise for bytes that are none of theirs
UNREADABLE = (
    OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Arguments that Keras 2 wrote and Keras 3 does not take, by layer class; "" for all classes.
DROPPED = {
    "DepthwiseConv2D": ("groups",), "LSTM": ("time_major",), "GRU": ("time_major",), "SimpleRNN": ("time_major",),
    "SeparableConv2D": ("groups",), "Conv2DTranspose": ("groups",), "RNN": ("time_major",), "": ("batch_input_shape_",),
}  # fmt: skip


def find(root: Path) -> Path:
    """The archive's one .h5 or .keras file; InputError in Neo's words otherwise."""
    files = sorted(p for p in root.rglob("*") if p.is_file())
    found = [p for p in files if p.suffix in (".h5", ".keras", ".hdf5")]
    if not found:
        raise InputError(f"No h5 file provided in {[p.relative_to(root).as_posix() for p in files]}.")
    if len(found) > 1:
        raise InputError(
            f"Multiple h5 files provided, {[p.relative_to(root).as_posix() for p in found]}, when only one is allowed."
        )
    return found[0]


def configuration(path: Path) -> tuple[dict[str, Any], str]:
    """The model's configuration and the version of Keras that wrote it; InputError where there is none, or it has code."""
    with path.open("rb") as stream:
        head = stream.read(12)
    if head == b"version http":
        raise InputError(
            f"{LOAD} {path.name} is a Git LFS pointer and not the model itself; run 'git lfs pull' and make the archive again."
        )
    try:
        keras_guard.refuse_elsewhere(path)
        # by its name, as Keras does: an HDF5 file may have a zip archive behind it
        config, version = _zipped(path) if path.suffix == ".keras" else _h5(path)
        keras_guard.refuse_code(config)
        return config, str(version)
    except UNREADABLE as error:
        raise InputError(f"{LOAD} {path.name} is no Keras file: {' '.join(str(error).split())[:200]}") from error


def _zipped(path: Path) -> tuple[dict[str, Any], str]:
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        version = json.loads(archive.read("metadata.json")).get("keras_version", "unknown")
    return config, version


def _h5(path: Path) -> tuple[dict[str, Any], str]:
    import h5py

    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
        version = file.attrs.get("keras_version", "unknown")
    if text is None:
        raise InputError(
            f"{LOAD} {path.name} holds weights only, no model configuration. Save the whole model with model.save('model.h5') or model.save('model.keras')."
        )
    decode = lambda value: value.decode() if isinstance(value, bytes) else str(value)  # noqa: E731
    return json.loads(decode(text)), decode(version)


def layers(config: Any) -> list[dict[str, Any]]:
    """Every layer record in a configuration, nested models' and wrappers' too."""
    found = []
    if isinstance(config, dict):
        if "class_name" in config and isinstance(config.get("config"), dict):
            found.append(config)
        for value in config.values():
            found += layers(value)
    elif isinstance(config, list):
        for value in config:
            found += layers(value)
    return found


def for_keras_3(path: Path, config: dict[str, Any], folder: Path) -> Path:
    """A copy of a Keras 2 .h5 whose configuration Keras 3 takes; `path` itself when nothing must change."""
    changed = False
    for layer in layers(config):
        for key in (*DROPPED.get(layer["class_name"], ()), *DROPPED[""]):
            changed |= layer["config"].pop(key, None) is not None
    if not changed:
        return path
    import h5py

    copy = folder / f"keras3-{path.name}"
    shutil.copyfile(path, copy)
    with h5py.File(copy, "r+") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
    return copy
