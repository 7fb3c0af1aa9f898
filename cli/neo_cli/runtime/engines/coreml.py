"""The engine of Core ML packages: coremltools on macOS; elsewhere a sentence, because Core ML runs nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


class Engine:
    """A loaded .mlpackage; raises RuntimeError away from macOS."""

    _names: dict[str, str]
    _labels: list[str] | None
    _outputs: list[dict[str, Any]]
    _model: Any
    _free: bool

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None = None) -> None:
        if sys.platform != "darwin":
            raise RuntimeError(
                "Core ML models run on macOS and iOS only; this artifact holds a package for Xcode or coremltools there"
            )
        import coremltools as ct

        self._names = record["settings"]["names"]
        self._labels = record["settings"].get("labels")
        self._outputs = record["outputs"]
        self._free = any(-1 in t["shape"] for t in record["inputs"])
        self._model = ct.models.MLModel(str(folder / record["settings"]["package"]))

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return by_rows(self._once, inputs, self._free)

    def _once(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._model.predict(
            {self._names[k]: v.astype(np.int32) if v.dtype == np.int64 else v for k, v in inputs.items()}
        )
        if self._labels:  # a classifier's scores come by label, under a name of Core ML's
            scores = found["classLabel_probs"]
            found = {self._names[self._outputs[0]["name"]]: [[scores[label] for label in self._labels]]}
        return {t["name"]: np.asarray(found[self._names[t["name"]]]).astype(t["dtype"]) for t in self._outputs}

    def close(self) -> None:
        self._model = None


def by_rows(run: Run, inputs: Mapping[str, np.ndarray], free: bool) -> dict[str, np.ndarray]:
    """`run`, or where the batch is free one `run` a row with the answers put together."""
    if not free:
        return run(inputs)
    rows = len(next(iter(inputs.values())))
    found = [run({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(rows)]
    return {name: np.concatenate([answers[name] for answers in found]) for name in found[0]}
