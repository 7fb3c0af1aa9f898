"""Arrays in and out of .npy and .npz files; pickles are never read."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.runtime.errors import RunError
from neo_cli.runtime.inputs import describe


def read_inputs(words: Sequence[str], wanted: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The arrays that `name=file.npy`, `name=file.npz` or `file.npz` (an array for each name) stand for."""
    names = [t["name"] for t in wanted]
    found: dict[str, np.ndarray] = {}
    for word in words:
        name, path = _split(word, names)
        arrays = _read(Path(path))
        if name is None and list(arrays) == [""] and len(names) == 1:
            name = names[0]
        if name is None and "" in arrays:
            raise RunError(
                f"'{word}' does not say which input it is: write NAME=FILE. The inputs are {describe(wanted)}."
            )
        if name is not None:
            if len(arrays) != 1 and name not in arrays:
                raise RunError(f"{path} holds {', '.join(arrays)}; none of them is '{name}'.")
            arrays = {name: arrays.get(name, next(iter(arrays.values())))}
        twice = [n for n in arrays if n in found]
        if twice:
            raise RunError(f"The input '{twice[0]}' is given twice.")
        found |= arrays
    return found


def _split(word: str, names: list[str]) -> tuple[str | None, str]:
    """(input, path); a name may hold '=' itself, and a path without a name may too."""
    for name in sorted(names, key=len, reverse=True):
        if word.startswith(name + "="):
            return name, word[len(name) + 1 :]
    if Path(word).exists() or "=" not in word:
        return None, word
    name, _, path = word.partition("=")
    return name, path


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {"": found}
        with found:
            return {name: found[name] for name in found.files}
    except FileNotFoundError:
        raise RunError(f"There is no file {path}.") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        text = str(error).split(". ")[0]
        raise RunError(f"{path} is not an array file (.npy or .npz) that can be read: {text}.") from error


def write_outputs(outputs: Mapping[str, np.ndarray], folder: Path) -> dict[str, Path]:
    """Write each output as `<name>.npy`; characters that do not belong into a file name become '_'."""
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[str, Path] = {}
    for name, array in outputs.items():
        stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name).lstrip(".") or "output"
        path = folder / f"{stem}.npy"
        number = 1
        while path in written.values():
            number += 1
            path = folder / f"{stem}-{number}.npy"
        np.save(path, array.astype(str) if array.dtype.kind == "O" else array, allow_pickle=False)
        written[name] = path
    return written
