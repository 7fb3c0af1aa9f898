"""Runs an OpenVINO IR on the CPU, one stream, made for latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino


class Engine:
    """A compiled IR and one request; `settings["precision"]` is the inference precision, absent for OpenVINO's own choice."""

    portable = True  # the IR is compiled for this CPU when it is loaded

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None) -> None:
        settings = record["settings"]
        config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        if settings.get("precision"):
            config["INFERENCE_PRECISION_HINT"] = settings["precision"]
        core = openvino.Core()
        self.compiled = core.compile_model(core.read_model(str(folder / settings["file"])), "CPU", config)
        self.request = self.compiled.create_infer_request()
        self.inputs = [t["name"] for t in record["inputs"]]
        self.outputs = [t["name"] for t in record["outputs"]]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        feed = {i: np.ascontiguousarray(inputs[name]) for i, name in enumerate(self.inputs)}
        found = self.request.infer(feed, share_inputs=True)
        return {name: found[i] for i, name in enumerate(self.outputs)}

    def close(self) -> None:
        del self.request, self.compiled
