"""MXNet's elementwise operators, reductions and products as ONNX nodes."""

from __future__ import annotations

import numpy as np

from neo_cli.frontends.mxnet_symbol import Node
from neo_cli.frontends.mxnet_table import Conversion, operator, refuse

SAME = (
    "_copy",
    "BlockGrad",
    "Dropout",
    "MakeLoss",
    "LinearRegressionOutput",
    "MAERegressionOutput",
    "IdentityAttachKLSparseReg",
)
UNARY = {
    "relu": "Relu", "sigmoid": "Sigmoid", "LogisticRegressionOutput": "Sigmoid", "tanh": "Tanh", "exp": "Exp", "log": "Log", "sqrt": "Sqrt",
    "abs": "Abs", "negative": "Neg", "floor": "Floor", "ceil": "Ceil", "sin": "Sin", "cos": "Cos", "erf": "Erf", "softsign": "Softsign",
    "reciprocal": "Reciprocal", "sign": "Sign",
}  # fmt: skip
BINARY = {
    "elemwise_add": "Add", "elemwise_sub": "Sub", "elemwise_mul": "Mul", "elemwise_div": "Div", "broadcast_add": "Add",
    "broadcast_sub": "Sub", "broadcast_mul": "Mul", "broadcast_div": "Div", "broadcast_maximum": "Max", "broadcast_minimum": "Min",
    "broadcast_power": "Pow",
}  # fmt: skip
SCALAR = {
    "_plus_scalar": "Add", "_minus_scalar": "Sub", "_mul_scalar": "Mul", "_div_scalar": "Div", "_power_scalar": "Pow",
    "_maximum_scalar": "Max", "_minimum_scalar": "Min",
}  # fmt: skip
REVERSED = {"_rminus_scalar": "Sub", "_rdiv_scalar": "Div", "_rpower_scalar": "Pow"}
COMPARE = {
    "equal": "Equal", "greater": "Greater", "lesser": "Less", "greater_equal": "GreaterOrEqual", "lesser_equal": "LessOrEqual",
}  # fmt: skip
REDUCE = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


@operator(*SAME)
def _same(c: Conversion, node: Node, x: str, *label: str) -> str:
    return x


@operator(*UNARY)
def _unary(c: Conversion, node: Node, x: str, *label: str) -> str:
    return c.g.node(UNARY[node.op], x)


@operator("square")
def _square(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("Mul", x, x)


@operator("rsqrt")
def _rsqrt(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("Reciprocal", c.g.node("Sqrt", x))


@operator(*BINARY)
def _binary(c: Conversion, node: Node, x: str, y: str) -> str:
    return c.g.node(BINARY[node.op], x, y)


@operator(*SCALAR)
def _scalar(c: Conversion, node: Node, x: str) -> str:
    return c.g.node(SCALAR[node.op], x, c.g.scalar(node.number("scalar")))


@operator(*REVERSED)
def _reversed(c: Conversion, node: Node, x: str) -> str:
    return c.g.node(REVERSED[node.op], c.g.scalar(node.number("scalar")), x)


@operator(*[f"_{name}_scalar" for name in COMPARE], "_not_equal_scalar")
def _compare_scalar(c: Conversion, node: Node, x: str) -> str:
    return _compared(c, node.op[1:].removesuffix("_scalar"), x, c.g.scalar(node.number("scalar")))


@operator(
    *[f"broadcast_{name}" for name in COMPARE], *[f"_{name}" for name in COMPARE], "broadcast_not_equal", "_not_equal"
)
def _compare(c: Conversion, node: Node, x: str, y: str) -> str:
    return _compared(c, node.op.removeprefix("broadcast_").removeprefix("_"), x, y)


def _compared(c: Conversion, kind: str, x: str, y: str) -> str:
    """MXNet's comparisons give 0.0 and 1.0."""
    truth = c.g.node("Not", c.g.node("Equal", x, y)) if kind == "not_equal" else c.g.node(COMPARE[kind], x, y)
    return c.g.node("Cast", truth, to=1)


@operator("where")
def _where(c: Conversion, node: Node, condition: str, x: str, y: str) -> str:
    truth = c.g.node("Not", c.g.node("Equal", condition, c.g.scalar(0)))
    if c.rank(condition) == 1 and c.rank(x) > 1:
        truth = c.g.node("Reshape", truth, c.g.ints(-1, *[1] * (c.rank(x) - 1)))
    return c.g.node("Where", truth, x, y)


@operator("clip")
def _clip(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("Clip", x, c.g.scalar(node.number("a_min")), c.g.scalar(node.number("a_max")))


@operator("hard_sigmoid")
def _hard_sigmoid(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("HardSigmoid", x, alpha=node.number("alpha", 0.2), beta=node.number("beta", 0.5))


@operator("add_n")
def _add_n(c: Conversion, node: Node, *x: str) -> str:
    return c.g.node("Sum", *x)


@operator(*REDUCE)
def _reduce(c: Conversion, node: Node, x: str) -> str:
    axes = reduced(node, c.rank(x))
    return c.g.node(REDUCE[node.op], x, c.g.ints(*axes), keepdims=int(node.flag("keepdims")))


def reduced(node: Node, rank: int) -> list[int]:
    """The axes a reduction runs over."""
    asked = node.wholes("axis")
    if any(not -rank <= a < rank for a in asked):
        raise refuse(node, f"with axis={node.text('axis')} for {rank} dimensions")
    axes = sorted(a % rank for a in asked)
    if node.flag("exclude") and asked:
        return [a for a in range(rank) if a not in axes]
    return axes or list(range(rank))


@operator("norm")
def _norm(c: Conversion, node: Node, x: str) -> str:
    order = node.whole("ord", 2)
    if order not in (1, 2):
        raise refuse(node, f"with ord={order}")
    axes = c.g.ints(*reduced(node, c.rank(x)))
    return c.g.node("ReduceL1" if order == 1 else "ReduceL2", x, axes, keepdims=int(node.flag("keepdims")))


@operator("argmax", "argmin")
def _arg(c: Conversion, node: Node, x: str) -> str:
    if not node.has("axis"):
        raise refuse(node, "without axis")
    kind = "ArgMax" if node.op == "argmax" else "ArgMin"
    found = c.g.node(kind, x, axis=c.axis(node, x, 0), keepdims=int(node.flag("keepdims")))
    return c.g.node("Cast", found, to=1)


@operator("dot")
def _dot(c: Conversion, node: Node, x: str, y: str) -> str:
    if c.rank(x) != 2 or c.rank(y) != 2:
        raise refuse(node, f"of {c.rank(x)} and {c.rank(y)} dimensions")
    return _product(c, node, x, y)


@operator("batch_dot")
def _batch_dot(c: Conversion, node: Node, x: str, y: str) -> str:
    return _product(c, node, x, y)


def _product(c: Conversion, node: Node, x: str, y: str) -> str:
    def turned(value: str, key: str) -> str:
        rank = c.rank(value)
        order = [*range(rank - 2), rank - 1, rank - 2]
        return c.g.node("Transpose", value, perm=order) if node.flag(key) else value

    return c.g.node("MatMul", turned(x, "transpose_a"), turned(y, "transpose_b"))


@operator("_contrib_div_sqrt_dim")
def _div_sqrt(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("Mul", x, c.g.scalar(c.g.shape(x)[-1] ** -0.5))


def _heads(c: Conversion, node: Node, x: str) -> list[str]:
    """Queries, keys and values [batch * heads, length, depth] out of MXNet's interleaved projection."""
    length, batch, width = c.g.shape(x)
    heads = node.whole("heads", 1)
    y = c.g.node("Reshape", x, c.g.ints(length, batch, heads, 3, width // heads // 3))
    y = c.g.node("Transpose", y, perm=[3, 1, 2, 0, 4])
    y = c.g.node("Reshape", y, c.g.ints(3, batch * heads, length, width // heads // 3))
    return [c.g.node("Gather", y, c.g.const(np.array(i, np.int64), "which"), axis=0) for i in range(3)]


@operator("_contrib_interleaved_matmul_selfatt_qk")
def _attention_scores(c: Conversion, node: Node, x: str) -> str:
    query, key, _ = _heads(c, node, x)
    scaled = c.g.node("Mul", query, c.g.scalar(c.g.shape(query)[-1] ** -0.5))
    return c.g.node("MatMul", scaled, c.g.node("Transpose", key, perm=[0, 2, 1]))


@operator("_contrib_interleaved_matmul_selfatt_valatt")
def _attention_values(c: Conversion, node: Node, x: str, attention: str) -> str:
    length, batch, _ = c.g.shape(x)
    mixed = c.g.node("MatMul", attention, _heads(c, node, x)[2])
    heads = node.whole("heads", 1)
    y = c.g.node("Reshape", mixed, c.g.ints(batch, heads, length, -1))
    return c.g.node("Reshape", c.g.node("Transpose", y, perm=[2, 0, 1, 3]), c.g.ints(length, batch, -1))
