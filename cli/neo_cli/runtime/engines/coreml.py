"""The engine of Core ML packages: coremltools on macOS; elsewhere a sentence, because Core ML runs nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np


class Engine:
    """A loaded .mlpackage; raises RuntimeError away from macOS."""

    _names: dict[str, str]
    _outputs: list[dict[str, Any]]
    _model: Any

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None = None) -> None:
        if sys.platform != "darwin":
            raise RuntimeError(
                "Core ML models run on macOS and iOS only; this artifact holds a package for Xcode or coremltools there"
            )
        import coremltools as ct

        self._names = record["settings"]["names"]
        self._outputs = record["outputs"]
        self._model = ct.models.MLModel(str(folder / record["settings"]["package"]))

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._model.predict(
            {self._names[k]: v.astype(np.int32) if v.dtype == np.int64 else v for k, v in inputs.items()}
        )
        return {t["name"]: np.asarray(found[self._names[t["name"]]]).astype(t["dtype"]) for t in self._outputs}

    def close(self) -> None:
        self._model = None
