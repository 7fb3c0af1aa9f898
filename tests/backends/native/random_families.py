"""Random models of quantised operators and of elementwise chains, and the table of all families."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from backends.native.random_graphs import (
    Maker,
    Sample,
    cast,
    convolution,
    elementwise,
    movement,
    normal,
    pooling,
    product,
    reduction,
    resize,
    unary,
)  # fmt: skip


def level(m: Maker, dtype: str, *shape: int) -> np.ndarray:
    info = np.iinfo(dtype)
    return m.rng.integers(info.min, info.max + 1, shape).astype(dtype)


def scale(m: Maker, *shape: int) -> np.ndarray:
    return np.asarray(m.rng.random(shape) * 0.05 + 0.001).astype(np.float32)


def linear(m: Maker) -> Sample | None:
    """Numbers to levels and back."""
    kind = m.pick("uint8", "int8")
    op = m.pick("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
    if op == "QuantizeLinear":
        x = m.array((3, 7, 5))
        if m.rng.random() < 0.5:
            return m.sample(op, [x, scale(m, 7), level(m, kind, 7)], exact=True, axis=1)
        return m.sample(op, [x, scale(m), level(m, kind)], exact=True)
    if op == "DequantizeLinear":
        return m.sample(op, [level(m, kind, 3, 7, 5), scale(m, 7), level(m, kind, 7)], exact=True, axis=1)
    return m.sample(op, [m.array(m.shape(2))], count=3, exact=True)


def quantised(m: Maker) -> Sample | None:
    """Convolutions and products of levels."""
    kind = m.pick("uint8", "int8")
    wide = m.pick("int8", "uint8") if kind == "uint8" else "int8"
    op = m.pick("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
    attrs = {"group": 2, "pads": [1, 0, 1, 2], "strides": [m.pick(1, 2), 1]}
    if op == "ConvInteger":
        parts = [level(m, "uint8", *shape) for shape in ((1, 4, 9, 7), (6, 2, 3, 3), (), ())]
        return m.sample(op, parts, exact=True, **attrs)
    if op == "QLinearConv":
        bias = m.rng.integers(-900, 900, 6).astype(np.int32)
        last = np.asarray(m.rng.random() * 2 + 0.5).astype(np.float32)
        parts = [
            level(m, kind, 1, 4, 9, 7),
            scale(m),
            level(m, kind),
            level(m, wide, 6, 2, 3, 3),
            scale(m, 6),
            np.zeros(6, wide),
        ]
        parts += [last, level(m, kind), bias]
        return m.sample(op, parts, {k: v for k, v in enumerate(parts) if k}, exact=True, **attrs)
    a, b = level(m, kind, 5, 17), level(m, wide, 17, 7)
    if op == "MatMulInteger":
        return m.sample(op, [a, b, level(m, kind), level(m, wide)], exact=True)
    last = np.asarray(m.rng.random() + 0.2).astype(np.float32)
    parts = [a, scale(m), level(m, kind), b, scale(m), level(m, wide), last, level(m, kind)]
    return m.sample(op, parts, {k: v for k, v in enumerate(parts) if k not in (0, 3)}, exact=True)


def contributed(m: Maker) -> Sample | None:
    """What ONNX Runtime's quantiser makes."""
    kind = m.pick("uint8", "int8")
    op = m.pick("QLinearAdd", "QLinearMul", "QLinearGlobalAveragePool", "QGemm", "QLinearConcat", "QLinearLeakyRelu")
    x, y = level(m, kind, 2, 3, 5, 7), level(m, kind, 2, 3, 5, 7)
    wide = np.asarray(m.rng.random() * 0.05 + 0.01).astype(np.float32)
    if op in ("QLinearAdd", "QLinearMul"):
        parts = [x, scale(m), level(m, kind), y, scale(m), level(m, kind), wide, level(m, kind)]
    elif op == "QLinearConcat":
        parts = [wide, level(m, kind), x, scale(m), level(m, kind), y, scale(m), level(m, kind)]
    elif op == "QGemm":
        bias = m.rng.integers(-900, 900, 7).astype(np.int32)
        parts = [
            level(m, kind, 5, 17),
            scale(m),
            level(m, kind),
            level(m, "int8", 17, 7),
            scale(m),
            np.int8(0).reshape(()),
            bias,
            wide,
            level(m, kind),
        ]
    else:
        parts = [x, scale(m), level(m, kind), wide, level(m, kind)]
    extra = {"alpha": 0.3} if op == "QLinearLeakyRelu" else ({"axis": 1} if op == "QLinearConcat" else {})
    varying = {0, 3} if op in ("QLinearAdd", "QLinearMul") else ({2, 5} if op == "QLinearConcat" else {0})
    return m.sample(
        op,
        parts,
        {k: np.asarray(v) for k, v in enumerate(parts) if k not in varying},
        domain="com.microsoft",
        levels=1,
        **extra,
    )


FAMILIES: dict[str, Callable[[Maker], Sample | None]] = {
    f.__name__: f
    for f in (
        elementwise,
        unary,
        cast,
        reduction,
        movement,
        convolution,
        pooling,
        resize,
        normal,
        product,
        linear,
        quantised,
        contributed,
    )
}


def draw(family: str, seed: int, count: int) -> list[Sample]:
    """`count` samples of a family, or as many as ONNX Runtime accepts of twice that number."""
    maker = Maker(seed)
    found = [s for _ in range(2 * count) if (s := FAMILIES[family](maker)) is not None]
    return found[:count]


def chained(m: Maker, length: int) -> Sample | None:
    """A graph of elementwise operators in which results meet again, are broadcast, and are read twice."""
    full = m.shape(3)
    feeds = {"a": m.array(full), "b": m.array((1, *full[1:])), "c": m.array(full[2:]), "d": np.asarray(m.array(()))}
    names, nodes = list(feeds), []
    for k in range(length):
        op = m.pick("Add", "Mul", "Sub", "Max", "Tanh", "Sigmoid", "Abs", "Relu", "Neg", "Where", "Clip")
        recent = names[-3:]
        used = [str(m.pick(*recent)), str(m.pick(*names))]
        if op in ("Tanh", "Sigmoid", "Abs", "Relu", "Neg"):
            used = used[:1]
        if op == "Clip":
            used = [used[0], "low", ""]
        if op == "Where":
            nodes.append(helper.make_node("Less", used, [f"m{k}"], name=f"m{k}"))
            used = [f"m{k}", *used]
        nodes.append(helper.make_node(op, used, [f"t{k}"], name=f"t{k}"))
        names.append(f"t{k}")
    low = numpy_helper.from_array(np.array(-0.7, np.float32), "low")
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, a.shape) for n, a in feeds.items()]
    outputs = [onnx.ValueInfoProto(name=n) for n in (names[-1], names[-3])]
    graph = helper.make_graph(nodes, "chain", values, outputs, [low])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    found = ort.InferenceSession(model.SerializeToString(), options).run(None, feeds)
    for value, array in zip(model.graph.output, found):
        value.CopyFrom(helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, array.shape))
    return Sample(model, feeds, found)
