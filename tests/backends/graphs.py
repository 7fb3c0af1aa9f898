"""Small models for the tests of back ends: ONNX graphs from the builders as Models with ONNX Runtime as oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from neo_cli.model.model import Model, Source, Tensor

KINDS = {
    "tensor(float)": "float32", "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(bool)": "bool",
    "tensor(uint8)": "uint8", "tensor(int8)": "int8",
}  # fmt: skip


def as_model(graph: onnx.ModelProto, root: Path, **options: object) -> Model:
    """The graph as a front end would return it."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = tuple(Tensor(o.name, KINDS[o.type], _sizes(o.shape)) for o in session.get_outputs())
    inputs = tuple(Tensor(i.name, KINDS[i.type], _sizes(i.shape)) for i in session.get_inputs())

    def oracle(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip([o.name for o in outputs], session.run(None, dict(feeds)), strict=True))

    return Model(graph, inputs, outputs, Source("ONNX", root, options=options), oracle)  # type: ignore[arg-type]


def _sizes(shape: list[object]) -> tuple[int, ...]:
    """A named dimension is free."""
    return tuple(size if isinstance(size, int) else -1 for size in shape)


def feeds(model: Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Seeded inputs: normal floats, small whole numbers."""
    random = np.random.default_rng(seed)
    return {
        t.name: random.standard_normal(t.shape).astype(t.dtype)
        if t.dtype.startswith("float")
        else random.integers(0, 2, t.shape).astype(t.dtype)
        for t in model.inputs
    }


def error(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> float:
    """The largest difference of all outputs, relative to each output's largest value."""
    assert list(found) == list(wanted)
    return max(float(np.abs(found[k] - wanted[k]).max() / np.abs(wanted[k]).max()) for k in wanted)
