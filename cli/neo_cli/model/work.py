"""How much arithmetic a graph is, as far as its shapes tell."""

from __future__ import annotations

import math

import onnx

from neo_cli.model import proto

SMALL = 4_000_000  # multiply-adds; below, waking a second thread costs more than it brings


def multiply_adds(model: onnx.ModelProto) -> int | None:
    """Multiplications in convolutions and matrix products of one run; None where a shape is open or work hides elsewhere."""
    graph = model.graph
    shapes = {t.name: tuple(t.dims) for t in graph.initializer}
    shapes |= {v.name: proto.dims(v) for v in (*graph.input, *graph.output, *graph.value_info)}
    total = 0
    for node in graph.node:
        if any(a.HasField("g") or a.graphs for a in node.attribute) or node.op_type in _ELSEWHERE or node.domain:
            return None
        if node.op_type not in _COUNTED:
            continue
        left, right, out = (shapes.get(n, ()) for n in (node.input[0], node.input[1], node.output[0]))
        if not out or not right or any(size < 1 for size in (*left, *right, *out)):
            return None
        if node.op_type in ("Conv", "ConvTranspose"):
            made = out if node.op_type == "Conv" else left
            total += math.prod(made) * math.prod(right[1:])
        else:
            across = dict((a.name, a.i) for a in node.attribute).get("transA", 0)
            total += math.prod(out) * (left[0] if across else left[-1])
    return total


_COUNTED = {"Conv", "ConvTranspose", "MatMul", "Gemm"}
_ELSEWHERE = {"LSTM", "GRU", "RNN", "Einsum", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"}


def useful_threads(model: onnx.ModelProto) -> int | None:
    """1 for a model so small that one thread is best; None where nothing is to be said."""
    found = multiply_adds(model)
    return 1 if found is not None and 0 < found < SMALL else None
