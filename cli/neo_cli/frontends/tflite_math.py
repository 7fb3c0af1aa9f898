"""Rules for arithmetic, comparisons, activations and reductions."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from neo_cli.frontends.tflite_convert import Converter, rule
from neo_cli.frontends.tflite_file import Operation

_BINARY = {
    "ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min", "POW": "Pow", "LESS": "Less", "GREATER": "Greater",
    "LESS_EQUAL": "LessOrEqual", "GREATER_EQUAL": "GreaterOrEqual", "EQUAL": "Equal", "LOGICAL_AND": "And", "LOGICAL_OR": "Or",
}  # fmt: skip
_UNARY = {
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "RELU": "Relu", "EXP": "Exp", "LOG": "Log", "SQRT": "Sqrt", "ABS": "Abs", "NEG": "Neg", "FLOOR": "Floor",
    "CEIL": "Ceil", "ROUND": "Round", "SIN": "Sin", "COS": "Cos", "HARD_SWISH": "HardSwish", "ELU": "Elu", "LOGICAL_NOT": "Not", "SIGN": "Sign",
}  # fmt: skip
_REDUCE = {
    "MEAN": "ReduceMean",
    "SUM": "ReduceSum",
    "REDUCE_MAX": "ReduceMax",
    "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd",
}
_FUSED = ("ADD", "SUB", "MUL", "DIV")


def pair(c: Converter, op: Operation) -> tuple[list[str], bool]:
    """Both operands in one layout, and whether that is NCHW."""
    planar = c.is_planar(op.inputs[:2])
    return ([c.spread(i) for i in op.inputs[:2]] if planar else [c.value(i) for i in op.inputs[:2]]), planar


@rule(*_BINARY)
def binary(c: Converter, op: Operation) -> None:
    values, planar = pair(c, op)
    made = c.node(_BINARY[op.kind], values)
    if op.kind in _FUSED and op.options is not None:
        made = c.activation(made, op.options.number(0, "<b"))
    c.define(op.outputs[0], made, planar)


@rule("NOT_EQUAL")
def not_equal(c: Converter, op: Operation) -> None:
    values, planar = pair(c, op)
    c.define(op.outputs[0], c.node("Not", [c.node("Equal", values)]), planar)


@rule("SQUARED_DIFFERENCE")
def squared_difference(c: Converter, op: Operation) -> None:
    values, planar = pair(c, op)
    made = c.node("Sub", values)
    c.define(op.outputs[0], c.node("Mul", [made, made]), planar)


@rule("FLOOR_DIV", "FLOOR_MOD")
def floor_division(c: Converter, op: Operation) -> None:
    values, planar = pair(c, op)
    quotient = c.node("Div", values)
    if c.tensor(op.outputs[0]).dtype.startswith("int"):
        floats = [c.node("Cast", [v], to=TensorProto.DOUBLE) for v in values]
        quotient = c.node(
            "Cast",
            [c.node("Floor", [c.node("Div", floats)])],
            to=TensorProto.INT64 if c.tensor(op.outputs[0]).dtype == "int64" else TensorProto.INT32,
        )
    else:
        quotient = c.node("Floor", [quotient])
    c.define(
        op.outputs[0],
        quotient if op.kind == "FLOOR_DIV" else c.node("Sub", [values[0], c.node("Mul", [quotient, values[1]])]),
        planar,
    )


def alone(c: Converter, op: Operation) -> tuple[str, bool]:
    """The one operand, in the layout it has."""
    planar = op.inputs[0] in c.planar
    return (c.planar[op.inputs[0]] if planar else c.value(op.inputs[0])), planar


@rule(*_UNARY)
def unary(c: Converter, op: Operation) -> None:
    value, planar = alone(c, op)
    c.define(op.outputs[0], c.node(_UNARY[op.kind], [value]), planar)


@rule("RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
def clip(c: Converter, op: Operation) -> None:
    value, planar = alone(c, op)
    low, high = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}[op.kind]
    c.define(op.outputs[0], c.node("Clip", [value, c.const(low), c.const(high)]), planar)


@rule("LEAKY_RELU")
def leaky(c: Converter, op: Operation) -> None:
    value, planar = alone(c, op)
    alpha = op.options.number(0, "<f") if op.options else 0.0
    c.define(op.outputs[0], c.node("LeakyRelu", [value], alpha=alpha), planar)


@rule("PRELU")
def prelu(c: Converter, op: Operation) -> None:
    slope = c.demand(op, 1)
    if slope.ndim == 3 and slope.shape[:2] == (1, 1) and len(c.shape(op.inputs[0])) == 4:
        made = c.node("PRelu", [c.image(op.inputs[0]), c.const(slope.reshape(-1, 1, 1))])
        c.define(op.outputs[0], made, planar=True)
        return
    c.define(op.outputs[0], c.node("PRelu", [c.value(op.inputs[0]), c.const(slope)]))


@rule("GELU")
def gelu(c: Converter, op: Operation) -> None:
    """Exact, or by tanh; opset 17 has no Gelu."""
    value, planar = alone(c, op)
    if op.options is not None and op.options.flag(0):
        cube = c.node("Mul", [c.node("Mul", [value, value]), c.node("Mul", [value, c.const(0.044715)])])
        inner = c.node("Tanh", [c.node("Mul", [c.node("Add", [value, cube]), c.const(float(np.sqrt(2 / np.pi)))])])
    else:
        inner = c.node("Erf", [c.node("Mul", [value, c.const(float(np.sqrt(0.5)))])])
    half = c.node("Mul", [value, c.const(0.5)])
    c.define(op.outputs[0], c.node("Mul", [half, c.node("Add", [inner, c.const(1.0)])]), planar)


@rule("SQUARE", "RSQRT", "ZEROS_LIKE")
def powers(c: Converter, op: Operation) -> None:
    value, planar = alone(c, op)
    if op.kind == "SQUARE":
        made = c.node("Mul", [value, value])
    elif op.kind == "RSQRT":
        made = c.node("Reciprocal", [c.node("Sqrt", [value])])
    else:
        made = c.node("Sub", [value, value])
    c.define(op.outputs[0], made, planar)


@rule("SOFTMAX", "LOG_SOFTMAX")
def softmax(c: Converter, op: Operation) -> None:
    value = c.value(op.inputs[0])
    beta = op.options.number(0, "<f") if op.kind == "SOFTMAX" and op.options else 1.0
    if beta != 1.0:
        value = c.node("Mul", [value, c.const(float(beta))])
    c.define(op.outputs[0], c.node("Softmax" if op.kind == "SOFTMAX" else "LogSoftmax", [value], axis=-1))


@rule(*_REDUCE)
def reduce(c: Converter, op: Operation) -> None:
    rank = len(c.shape(op.inputs[0]))
    axes = sorted({a % rank for a in c.ints(op, 1)}) if rank else []
    keep = int(bool(op.options and op.options.flag(0)))
    planar = rank == 4 and op.inputs[0] in c.planar and (keep or axes == [1, 2])
    if planar:
        value, axes = c.planar[op.inputs[0]], [{0: 0, 1: 2, 2: 3, 3: 1}[a] for a in axes]
    else:
        value = c.value(op.inputs[0])
    if op.kind == "SUM":
        made = c.node("ReduceSum", [value, c.const(axes)], keepdims=keep)
    else:
        made = c.node(_REDUCE[op.kind], [value], axes=axes, keepdims=keep)
    c.define(op.outputs[0], made, bool(planar and keep))


@rule("REDUCE_ANY", "REDUCE_ALL")
def reduce_bool(c: Converter, op: Operation) -> None:
    whole = c.node("Cast", [c.value(op.inputs[0])], to=TensorProto.INT32)
    keep = int(bool(op.options and op.options.flag(0)))
    made = c.node("ReduceMax" if op.kind == "REDUCE_ANY" else "ReduceMin", [whole], axes=c.ints(op, 1), keepdims=keep)
    c.define(op.outputs[0], c.node("Cast", [made], to=TensorProto.BOOL))


@rule("ARG_MAX", "ARG_MIN")
def arg(c: Converter, op: Operation) -> None:
    made = c.node(
        "ArgMax" if op.kind == "ARG_MAX" else "ArgMin", [c.value(op.inputs[0])], axis=c.ints(op, 1)[0], keepdims=0
    )
    c.define(op.outputs[0], made)


@rule("SELECT", "SELECT_V2")
def select(c: Converter, op: Operation) -> None:
    condition, *values = [c.value(i) for i in op.inputs]
    rank, own = len(c.shape(op.outputs[0])), len(c.shape(op.inputs[0]))
    if op.kind == "SELECT" and own == 1 and rank > 1:  # a condition a row
        condition = c.node("Reshape", [condition, c.const([-1] + [1] * (rank - 1))])
    c.define(op.outputs[0], c.node("Where", [condition, *values]))


@rule("BATCH_MATMUL")
def batch_matmul(c: Converter, op: Operation) -> None:
    values = []
    for position, index in enumerate(op.inputs[:2]):
        value, rank = c.value(index), len(c.shape(index))
        if op.options is not None and op.options.flag(position):
            value = c.node("Transpose", [value], perm=[*range(rank - 2), rank - 1, rank - 2])
        values.append(value)
    c.define(op.outputs[0], c.node("MatMul", values))


@rule("ADD_N")
def add_n(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("Sum", [c.value(i) for i in op.inputs]))


@rule("CUMSUM")
def cumsum(c: Converter, op: Operation) -> None:
    exclusive, reverse = (op.options.flag(0), op.options.flag(1)) if op.options else (False, False)
    axis = c.const(np.asarray(c.ints(op, 1)[0], np.int64))
    c.define(
        op.outputs[0], c.node("CumSum", [c.value(op.inputs[0]), axis], exclusive=int(exclusive), reverse=int(reverse))
    )
