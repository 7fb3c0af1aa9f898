"""Networks of the builders as ONNX Runtime's quantiser makes them of synthetic calibration data: QDQ or QLinear operators."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static


class Synthetic(CalibrationDataReader):
    """Seeded normal inputs of a model's own shapes."""

    def __init__(self, graph: onnx.ModelProto, count: int = 4) -> None:
        random = np.random.default_rng(5)
        shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.graph.input}
        self.feeds = [
            {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
            for _ in range(count)
        ]

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return self.feeds.pop() if self.feeds else None


def quantised(graph: onnx.ModelProto, form: str = "QDQ", signed: bool = False, **options: Any) -> onnx.ModelProto:
    """`graph`, float, with 8-bit activations (unsigned unless `signed`) and weights; `form` is QDQ or QOperator."""
    with tempfile.TemporaryDirectory() as folder:
        plain, fused, made = (Path(folder) / name for name in ("plain.onnx", "fused.onnx", "made.onnx"))
        onnx.save(graph, plain)
        settings = ort.SessionOptions()
        settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC  # norms go into convolutions
        settings.optimized_model_filepath = str(fused)
        settings.log_severity_level = 3
        ort.InferenceSession(plain, settings, providers=["CPUExecutionProvider"])
        quantize_static(
            fused,
            made,
            Synthetic(graph),
            quant_format=QuantFormat[form],
            activation_type=QuantType.QInt8 if signed else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            **{"per_channel": True, **options},
        )
        return onnx.load(made)
