"""Models of one operator each, for contract suites: name -> ModelProto."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from compiling import one_node

F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
RANDOM = np.random.default_rng(11)


def w(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def n(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


X, X3, X4 = {"x": ([2, 3], F)}, {"x": ([2, 3, 4], F)}, {"x": ([1, 4, 8, 8], F)}


def y(*shape: int, kind: int = F) -> dict[str, tuple]:
    return {"y": (list(shape), kind)}


def unary(kind: str, **attributes: object) -> Callable[[], onnx.ModelProto]:
    return lambda: one_node(kind, X, y(2, 3), **attributes)


def binary(kind: str, out: int = F) -> Callable[[], onnx.ModelProto]:
    return lambda: one_node(kind, {"a": ([2, 3, 4],), "b": ([3, 1],)}, y(2, 3, 4, kind=out))


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    **{kind: unary(kind) for kind in (
        "Abs", "Neg", "Exp", "Tanh", "Sigmoid", "Relu", "Erf", "Floor", "Ceil", "Round", "Sign", "Sin", "Cos", "Atan",
        "Softplus", "Softsign", "HardSigmoid", "HardSwish", "Elu", "Selu", "LeakyRelu", "Identity",
    )},
    **{kind: binary(kind) for kind in ("Add", "Sub", "Mul", "Max", "Min")},
    **{kind: binary(kind, B) for kind in ("Less", "Greater", "LessOrEqual", "GreaterOrEqual")},
    "Div": lambda: one_node("Div", X, y(2, 3), {"w": np.array([0.5, 2, -4], np.float32)}),
    "Pow": lambda: one_node("Pow", X, y(2, 3), {"w": np.array(2, np.float32)}),
    "Clip": lambda: one_node("Clip", X, y(2, 3), {"low": np.float32(0), "high": np.float32(6)}),
    "PRelu": lambda: one_node("PRelu", X4, y(1, 4, 8, 8), {"slope": w(4, 1, 1)}),
    "MatMul": lambda: one_node("MatMul", X3, y(2, 3, 5), {"w": w(4, 5)}),
    "MatMul of inputs": lambda: one_node("MatMul", {"a": ([2, 3, 4],), "b": ([2, 4, 5],)}, y(2, 3, 5)),
    "Gemm": lambda: one_node("Gemm", X, y(2, 5), {"w": w(5, 3), "b": w(5)}, transB=1, alpha=0.5, beta=2.0),
    "Conv": lambda: one_node("Conv", X4, y(1, 6, 4, 4), {"w": w(6, 4, 3, 3), "b": w(6)}, strides=[2, 2], pads=[1] * 4),
    "Conv of groups": lambda: one_node("Conv", X4, y(1, 4, 8, 8), {"w": w(4, 1, 3, 3)}, group=4, pads=[1] * 4),
    "Conv dilated": lambda: one_node("Conv", X4, y(1, 6, 4, 4), {"w": w(6, 4, 3, 3)}, dilations=[2, 2]),
    "Conv 1D": lambda: one_node("Conv", X3, y(2, 5, 4), {"w": w(5, 3, 3)}, pads=[1, 1]),
    "ConvTranspose": lambda: one_node("ConvTranspose", X4, y(1, 3, 16, 16), {"w": w(4, 3, 2, 2)}, strides=[2, 2]),
    "MaxPool": lambda: one_node("MaxPool", X4, y(1, 4, 4, 4), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool": lambda: one_node("AveragePool", X4, y(1, 4, 4, 4), kernel_shape=[2, 2], strides=[2, 2]),
    "GlobalAveragePool": lambda: one_node("GlobalAveragePool", X4, y(1, 4, 1, 1)),
    "BatchNormalization": lambda: one_node(
        "BatchNormalization", X4, y(1, 4, 8, 8), {"s": w(4), "b": w(4), "m": w(4), "v": np.abs(w(4)) + 0.5}
    ),
    "InstanceNormalization": lambda: one_node("InstanceNormalization", X4, y(1, 4, 8, 8), {"s": w(4), "b": w(4)}),
    "LayerNormalization": lambda: one_node("LayerNormalization", X3, y(2, 3, 4), {"s": w(4), "b": w(4)}),
    "Softmax": lambda: one_node("Softmax", X3, y(2, 3, 4), axis=1),
    "LogSoftmax": lambda: one_node("LogSoftmax", X3, y(2, 3, 4), axis=-1),
    "ReduceMean": lambda: one_node("ReduceMean", X3, y(2, 1, 4), axes=[1]),
    "ReduceMax": lambda: one_node("ReduceMax", X3, y(2, 3), axes=[2], keepdims=0),
    "ReduceSum": lambda: one_node("ReduceSum", X3, y(1, 3, 1), {"axes": n(0, 2)}),
    "ArgMax": lambda: one_node("ArgMax", X3, y(2, 3, kind=I), axis=2, keepdims=0),
    "Transpose": lambda: one_node("Transpose", X3, y(4, 2, 3), perm=[2, 0, 1]),
    "Reshape": lambda: one_node("Reshape", X3, y(6, 4), {"s": n(-1, 4)}),
    "Flatten": lambda: one_node("Flatten", X3, y(2, 12), axis=1),
    "Squeeze": lambda: one_node("Squeeze", {"x": ([1, 3, 1],)}, y(3), {"a": n(0, 2)}),
    "Unsqueeze": lambda: one_node("Unsqueeze", X, y(2, 1, 3), {"a": n(1)}),
    "Concat": lambda: one_node("Concat", {"a": ([2, 3],), "b": ([2, 5],)}, y(2, 8), axis=1),
    "Slice": lambda: one_node("Slice", X3, y(2, 3, 2), {"s": n(3), "e": n(-5), "a": n(2), "t": n(-2)}),
    "Pad": lambda: one_node("Pad", X, y(3, 6), {"p": n(0, 1, 1, 2), "v": np.float32(1.5)}),
    "Expand": lambda: one_node("Expand", {"x": ([3, 1],)}, y(2, 3, 4), {"s": n(2, 3, 4)}),
    "Tile": lambda: one_node("Tile", X, y(4, 9), {"r": n(2, 3)}),
    "Gather": lambda: one_node("Gather", {"i": ([2, 5], I)}, y(2, 5, 4), {"t": w(7, 4)}, order=["t", "i"]),
    "Where": lambda: one_node("Where", {"c": ([2, 3], B), "a": ([2, 3],), "b": ([1],)}, y(2, 3)),
    "Cast": lambda: one_node("Cast", {"i": ([2, 3], I)}, y(2, 3), to=F),
    "DepthToSpace": lambda: one_node("DepthToSpace", X4, y(1, 1, 16, 16), blocksize=2, mode="CRD"),
    "Resize nearest": lambda: one_node(
        "Resize", X4, y(1, 4, 16, 16), {"s": np.array([1, 1, 2, 2], np.float32)}, order=["x", "", "s"], mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    ),
    "Resize linear": lambda: one_node(
        "Resize", X4, y(1, 4, 16, 16), {"s": np.array([1, 1, 2, 2], np.float32)}, order=["x", "", "s"], mode="linear",
    ),
    "TopK": lambda: one_node("TopK", X, {"v": ([2, 2], F), "i": ([2, 2], I)}, {"k": n(2)}),
    "CumSum": lambda: one_node("CumSum", X, y(2, 3), {"a": np.array(1, np.int64)}),
    "NonZero": lambda: one_node("NonZero", X, {"y": ([2, "n"], I)}),
    "Einsum": lambda: one_node("Einsum", {"a": ([2, 3, 4],), "b": ([2, 4, 5],)}, y(2, 3, 5), equation="bij,bjk->bik"),
    "Det": lambda: one_node("Det", {"x": ([2, 3, 3],)}, y(2)),
    "LSTM": lambda: one_node(
        "LSTM", {"x": ([5, 1, 3],)}, {"y": ([5, 1, 1, 4], F)}, {"w": w(1, 16, 3), "r": w(1, 16, 4), "b": w(1, 32)}, hidden_size=4
    ),
}  # fmt: skip
