"""What a Keras file must not hold, refused before Keras reads it: code in its configuration, data in other files.

Keras guards itself since 3.9 (`safe_mode`), and each release closed a door that the one before had left open: functions
named in the configuration (CVE-2025-1550, 2025-8747, 2025-9906), Lambda layers of .h5 files (2024-3660, 2025-9905),
layers that load another framework's file (2025-49655, 2026-1462), vocabularies read from a path (2025-12058), and HDF5
data that lie in another file (2026-1669). None of them depends on the installed version here.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError

LOAD = "Unable to load provided Keras model. Error:"
CODE = {"Lambda", "__lambda__"}
FOREIGN = {"TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__typespec__"}
FUNCTIONS = ("builtins", "keras.activations", "keras.initializers", "keras.regularizers", "keras.constraints")
FILTERS = {1, 2, 3, 4, 5, 6, 32000}  # HDF5's own and h5py's lzf; any other is a library looked for by its number
RATIO, RATIO_FROM = 200, 64 * 2**20  # declared to stored bytes, as for archives
OBJECTS = 200_000  # groups and datasets of one file


def refuse_code(config: Any) -> None:
    """Raise InputError for what a configuration may not name: code, files, other frameworks, other modules."""
    for record in _records(config):
        kind, inner, module = record["class_name"], record.get("config"), record.get("module")
        name = inner.get("name", "") if isinstance(inner, dict) else inner if isinstance(inner, str) else ""
        if kind in CODE:
            raise InputError(
                f"{LOAD} the layer '{name}' is a Lambda, which holds Python code and is not loaded; replace it with layers of Keras."
            )
        if kind in ("TFOpLambda", "SlicingOpLambda"):
            raise InputError(
                f"{LOAD} the layer '{name}' is a TensorFlow function called on a Keras 2 tensor ({kind}), which Keras 3 cannot load; export the model as a SavedModel and give Framework TENSORFLOW."
            )
        if kind in FOREIGN:
            raise InputError(f"{LOAD} the layer '{name}' is a {kind}, which loads another framework's objects.")
        if module is not None and str(module).split(".")[0] not in ("builtins", "keras", "keras_core"):
            raise InputError(
                f"{LOAD} its configuration names {module!a}.{kind!a}, which is no part of Keras and is not loaded."
            )
        if kind == "function" and module is not None and module not in FUNCTIONS:
            raise InputError(f"{LOAD} its configuration names the function {module!a}.{name!a}, which no layer needs.")
        if isinstance(inner, dict) and isinstance(inner.get("vocabulary"), str):
            raise InputError(f"{LOAD} the layer '{name}' reads its vocabulary from the file {inner['vocabulary']!a}.")


def _records(config: Any) -> Iterator[dict[str, Any]]:
    """Everything in a configuration that names a class, however deep."""
    left = [config]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if isinstance(value.get("class_name"), str):
                yield value
            left += value.values()
        elif isinstance(value, list):
            left += value


def refuse_elsewhere(path: Path) -> None:
    """Raise InputError when HDF5 data of the file lie outside it, need a plug-in, or are larger than any honest ones."""
    import h5py

    if path.suffix != ".keras":
        with h5py.File(path, "r") as file:
            _inspect(file, path.name, path.stat().st_size)
        return
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.lower().endswith((".h5", ".hdf5")):
                continue
            with archive.open(info) as packed:
                stream: Any = packed if info.compress_type == zipfile.ZIP_STORED else io.BytesIO(packed.read())
                with h5py.File(stream, "r") as file:
                    _inspect(file, f"{os.path.basename(info.filename)} in {path.name}", info.file_size)


def _inspect(file: Any, name: str, size: int) -> None:
    import h5py

    left, seen = [file], set()
    while left:
        group = left.pop()
        for key in group:
            if type(group.get(key, getlink=True)) is not h5py.HardLink:
                raise InputError(f"{LOAD} {name} refers to another place by a link, {key!a}.")
            held = group[key]
            place = h5py.h5o.get_info(held.id).addr
            if place in seen:  # two names of one object, or a circle
                continue
            seen.add(place)
            if len(seen) > OBJECTS:
                raise InputError(f"{LOAD} {name} holds more than {OBJECTS} objects.")
            if isinstance(held, h5py.Group):
                left.append(held)
            elif isinstance(held, h5py.Dataset):
                _dataset(held, name, size)


def _dataset(data: Any, name: str, size: int) -> None:
    made = data.id.get_create_plist()
    filters = {made.get_filter(n)[0] for n in range(made.get_nfilters())}
    if data.external or data.is_virtual:
        raise InputError(f"{LOAD} {name} keeps the data of {data.name!a} in another file.")
    if filters - FILTERS:
        raise InputError(
            f"{LOAD} {name} needs the HDF5 filter {min(filters - FILTERS)}, which is a library of its own."
        )
    declared = data.size * data.dtype.itemsize if data.size is not None else 0
    if declared > RATIO_FROM and declared > RATIO * size:
        raise InputError(f"{LOAD} {name} declares {declared} bytes for {data.name!a} and is {size} bytes long.")
