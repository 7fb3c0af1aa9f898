"""Result types of operators for which ONNX has no shape inference: ai.onnx.ml and ONNX Runtime's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neo_cli.backends.native.ir import Value

Shape = tuple[str, tuple[int, ...]]
ML = "ai.onnx.ml"
SAME = {
    "Gelu", "FastGelu", "QuickGelu", "QLinearSigmoid", "QLinearLeakyRelu", "SimplifiedLayerNormalization",
    "Inverse",
}  # fmt: skip


def infer(
    domain: str, op: str, attrs: dict[str, Any], inputs: Sequence[Value | None], outputs: int
) -> list[Shape] | None:
    """(dtype, shape) of each output; None for operators that are not known here."""
    x = inputs[0] if inputs else None
    if x is None:
        return None
    if domain == ML:
        return _classic(op, attrs, x, inputs)
    if domain == "com.microsoft":
        return _contributed(op, attrs, x, inputs)
    if op == "LSTM.levelled" and inputs[2] is not None:
        directions, _, hidden = inputs[2].shape
        state = (x.dtype, (directions, x.shape[1], hidden))
        return [(x.dtype, (x.shape[0], directions, x.shape[1], hidden)), state, state][:outputs]
    if op == "LayerNormalization" and outputs == 1:  # expansions write it into models older than it is
        return [(x.dtype, x.shape)]
    return None


def _classic(op: str, attrs: dict[str, Any], x: Value, inputs: Sequence[Value | None]) -> list[Shape] | None:
    rows = x.shape[0] if len(x.shape) > 1 else 1
    if op in ("TreeEnsembleRegressor", "TreeEnsemble"):
        dtype = "float64" if op == "TreeEnsemble" and x.dtype == "float64" else "float32"
        return [(dtype, (rows, int(attrs.get("n_targets", 1))))]
    if op == "SVMClassifier":
        classes = len(attrs.get("classlabels_ints") or ())
        single = classes == 2 or len(attrs.get("prob_a") or ()) or not len(attrs.get("vectors_per_class") or ())
        columns = classes if single else classes * (classes - 1) // 2
        return [("int64", (rows,)), ("float32", (rows, columns))] if classes else None
    if op in ("TreeEnsembleClassifier", "LinearClassifier"):
        name = "classlabels_ints" if op != "TreeEnsembleClassifier" else "classlabels_int64s"
        labels = attrs.get(name) or ()
        return [("int64", (rows,)), ("float32", (rows, len(labels)))] if len(labels) else None
    if op == "LinearRegressor":
        return [("float32", (rows, int(attrs.get("targets", 1))))]
    if op == "SVMRegressor":
        return [("float32", (rows, 1))]
    if op in ("Scaler", "Normalizer"):
        return [("float32", x.shape)]
    if op in ("Binarizer", "Imputer"):
        return [(x.dtype, x.shape)]
    if op == "LabelEncoder":
        tensor = attrs.get("values_tensor")
        dtype = (
            np.asarray(tensor).dtype.name
            if tensor is not None
            else ("int64" if len(attrs.get("values_int64s", ())) else "float32")
        )
        return [(dtype, x.shape)]
    if op == "ArrayFeatureExtractor" and inputs[1] is not None:
        return [(x.dtype, (*(x.shape[:-1] or (1,)), inputs[1].size))]
    return None


def _contributed(op: str, attrs: dict[str, Any], x: Value, inputs: Sequence[Value | None]) -> list[Shape] | None:
    if op in SAME:
        return [(x.dtype, x.shape)]
    if op in ("QLinearAdd", "QLinearMul") and inputs[3] is not None:
        return [(x.dtype, tuple(np.broadcast_shapes(x.shape, inputs[3].shape)))]
    if op == "QLinearGlobalAveragePool":
        last = int(attrs.get("channels_last", 0))
        ones = (1,) * (len(x.shape) - 2)
        return [(x.dtype, (x.shape[0], *ones, x.shape[-1]) if last else (*x.shape[:2], *ones))]
    if op == "QGemm" and inputs[3] is not None:
        rows = x.shape[1] if attrs.get("transA") else x.shape[0]
        columns = inputs[3].shape[0] if attrs.get("transB") else inputs[3].shape[1]
        zero = inputs[8] if len(inputs) > 8 else None
        return [(zero.dtype if zero is not None else "float32", (rows, columns))]
    if op == "QLinearConcat" and inputs[2] is not None and inputs[1] is not None:
        parts = [v for v in inputs[2::3] if v is not None]
        axis = int(attrs.get("axis", 1)) % len(parts[0].shape)
        shape = list(parts[0].shape)
        shape[axis] = sum(v.shape[axis] for v in parts)
        return [(inputs[1].dtype, tuple(shape))]
    if op in ("MatMulNBits", "MatMulBnb4"):
        return [(x.dtype, (*x.shape[:-1], int(attrs["N"])))]
    if op == "GatherBlockQuantized" and inputs[1] is not None and inputs[2] is not None:
        bits, rank = int(attrs.get("bits", 4)), len(x.shape)
        table = (*x.shape[:-1], x.shape[-1] * 8 // bits) if x.dtype == "uint8" else x.shape
        axis = int(attrs.get("gather_axis", 0)) % rank
        return [(inputs[2].dtype, (*table[:axis], *inputs[1].shape, *table[axis + 1 :]))]
    if op == "QuantizeLinear":
        zero = inputs[2] if len(inputs) > 2 else None
        return [(zero.dtype if zero is not None else "uint8", x.shape)]
    if op == "DequantizeLinear" and inputs[1] is not None:
        return [(inputs[1].dtype, x.shape)]
    return None
