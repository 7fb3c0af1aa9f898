"""Runs an optimised ONNX model with ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class Engine:
    """A session on `settings["file"]`; the settings say whether layouts of this CPU are already in the file."""

    portable = True  # ONNX Runtime exists for every processor; what the file needs stands in cpu_features

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None) -> None:
        settings = record["settings"]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        if threads:
            options.intra_op_num_threads = threads
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = levels.ORT_DISABLE_ALL if settings.get("final") else levels.ORT_ENABLE_ALL
        for key, value in settings.get("session", {}).items():
            options.add_session_config_entry(key, value)
        try:
            self.session = onnxruntime.InferenceSession(
                str(folder / settings["file"]), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions are no RuntimeErrors
            raise RuntimeError(f"ONNX Runtime cannot load the model: {error}") from error
        self.names = [o["name"] for o in record["outputs"]]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return dict(zip(self.names, self.session.run(self.names, inputs)))
        except Exception as error:
            raise RuntimeError(f"ONNX Runtime cannot run the model: {error}") from error

    def close(self) -> None:
        del self.session
