"""A loaded artifact: its inputs and outputs, and `run`."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.runtime import archive, cpu, parts
from neo_cli.runtime.errors import ArtifactError
from neo_cli.runtime.inputs import check


class Model:
    """A compiled model that runs; `inputs` and `outputs` are lists of {"name", "dtype", "shape"}, -1 is a free size.

    `record` is meta/artifact.json, with the entries of the part that runs; `warnings` are sentences about the choice.
    """

    def __init__(
        self, folder: Path, record: dict[str, Any], engine: Any, threads: int, warnings: tuple[str, ...] = ()
    ) -> None:
        self.folder, self.record, self.threads, self.warnings = folder, record, threads, warnings
        self.inputs: list[dict[str, Any]] = record["inputs"]
        self.outputs: list[dict[str, Any]] = record["outputs"]
        self._engine = engine
        self._run = engine.run
        self._names = [t["name"] for t in self.outputs]
        self._exact = [(t["name"], *_exact(t)) for t in self.inputs]

    def run(self, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The outputs by name, in the model's order; RunError when an input does not fit."""
        if not self._fits(inputs):
            inputs = check(inputs, self.inputs)
        found = self._run(inputs)
        return {name: found[name] for name in self._names}

    def _fits(self, inputs: Mapping[str, Any]) -> bool:
        """The quick way to see that inputs are what the model wants; `check` has the sentences."""
        if len(inputs) != len(self._exact):
            return False
        for name, dtype, shape in self._exact:
            array = inputs.get(name)
            if type(array) is not np.ndarray or array.dtype != dtype or array.shape != shape:
                return False
        return True

    def close(self) -> None:
        """Give back the engine's memory."""
        self._engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_model(path: str | Path, threads: int | None = None, device: str = "auto") -> Model:
    """Unpack when needed, verify, check the machine, start the engine of the part for `device`."""
    path = Path(path)
    if path.is_dir():
        return _start(path, threads, device)
    if not path.is_file():
        raise ArtifactError(f"There is no compiled model at {path}.")
    folder = Path(tempfile.mkdtemp(prefix="neo-model-"))
    try:
        archive.unpack(path, folder)
        model = _start(folder, threads, device)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def _exact(tensor: Mapping[str, Any]) -> tuple[np.dtype, tuple[int, ...]]:
    """The dtype and shape that need no second look; no array has a size of -1."""
    try:
        return np.dtype(tensor["dtype"]), tuple(tensor["shape"])
    except TypeError:  # bfloat16 and its like, known to ml_dtypes only
        return np.dtype(object), (-1,)


def thread_count(threads: int | None, useful: int | None = None) -> int:
    """`threads`, else NEO_THREADS, else the cores this process may use, of which the artifact may want fewer."""
    if threads is None:
        text = os.environ.get("NEO_THREADS") or str(min(cpu.cores(), useful or cpu.cores()))
        if not text.isdigit():
            raise ArtifactError(f"NEO_THREADS is '{text}'; it must be a whole number of threads.")
        threads = int(text)
    if threads < 1:
        raise ArtifactError(f"{threads} threads cannot run a model; give at least 1.")
    return threads


def _start(folder: Path, threads: int | None, device: str) -> Model:
    archive.verify(folder)
    whole = archive.read_record(folder)
    count = thread_count(threads, whole.get("threads"))
    record, engine, warnings = parts.start(folder, whole, count, device)
    return Model(folder, record, engine, count, warnings)
