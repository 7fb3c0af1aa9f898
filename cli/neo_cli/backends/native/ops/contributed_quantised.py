"""com.microsoft operators on quantised numbers as ONNX's quantised ones, with floats between them where those have no twin."""

from __future__ import annotations

import math
from collections.abc import Callable

from neo_cli.backends.native.ops.contributed import CONV
from neo_cli.backends.native.ops.expansions import Writer, expansion
from neo_cli.backends.native.ops.reading import axis_of


def integer_product(w: Writer, a: str, b: str, scales: list[str], zeros: list[str], bias: str, out: str) -> str:
    """(a - za)(b - zb) in integers, then in float times the scales plus the bias."""
    while zeros and not zeros[-1]:
        zeros = zeros[:-1]
    y = w.cast(w.op("MatMulInteger", a, b, *zeros), "float32")
    scale = w.op("Mul", *scales)
    if not bias:
        return w.op("Mul", y, scale, out=out)
    return w.op("Add", w.op("Mul", y, scale), bias, out=out)


@expansion("MatMulIntegerToFloat")
def integer_to_float(w: Writer) -> None:
    if w.value(2).dtype != "float32":
        raise w.refuse(f"its scales are {w.value(2).dtype}")
    a, b, sa, sb, za, zb, bias = map(w.name, range(7))
    integer_product(w, a, b, [sa, sb], [za, zb], bias, w.result(0))


@expansion("MatMulInteger16")
def integer16(w: Writer) -> None:
    w.op("MatMul", w.cast(w.name(0), "int32"), w.cast(w.name(1), "int32"), out=w.result(0))


def levels(w: Writer, x: str) -> tuple[str, str, str]:
    """Levels, scale and zero point of a float tensor, found when it is there."""
    found = [w.fresh(part) for part in ("levels", "scale", "zero")]
    w.op("DynamicQuantizeLinear", x, out=found)
    return found[0], found[1], found[2]


@expansion("DynamicQuantizeMatMul")
def dynamic_product(w: Writer) -> None:
    b, sb, zb, bias = map(w.name, range(1, 5))
    a, sa, za = levels(w, w.name(0))
    integer_product(w, a, b, [sa, sb], [za, zb], bias, w.result(0))


def _last(rank: int) -> tuple[list[int], list[int]]:
    """The orders of axes that bring the channels from the end to axis 1, and back."""
    return [0, rank - 1, *range(1, rank - 1)], [0, *range(2, rank), 1]


def _turned(w: Writer, body: Callable[[str, str], str]) -> None:
    """`body(x, out)` on channels on axis 1, whatever `channels_last` says."""
    if not w.attribute("channels_last", 0):
        body(w.name(0), w.result(0))
        return
    there, back = _last(len(w.value(0).shape))
    w.turn(body(w.turn(w.name(0), *there), ""), *back, out=w.result(0))


@expansion("QLinearConv")
def conv(w: Writer) -> None:
    _turned(w, lambda x, out: w.op("QLinearConv", x, *w.node.input[1:], out=out, **w.attributes(*CONV)))


def _quantised(w: Writer, x: str, scale: int, zero: int, out: str = "") -> str:
    return w.op("QuantizeLinear", x, w.name(scale), *filter(None, [w.name(zero)]), out=out)


def _number(w: Writer, x: str, scale: int, zero: int) -> str:
    return w.op("DequantizeLinear", x, w.name(scale), *filter(None, [w.name(zero)]))


@expansion("QLinearAveragePool")
def average(w: Writer) -> None:
    names = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")

    def body(x: str, out: str) -> str:
        y = w.op("AveragePool", _number(w, x, 1, 2), **w.attributes(*names))
        zero = [w.name(4)] if w.name(4) else [w.const(0, w.value(0).dtype)]
        return w.op("QuantizeLinear", y, w.name(3), *zero, out=out)

    _turned(w, body)


@expansion("QLinearSoftmax")
def softmax(w: Writer) -> None:
    """Along one axis, or in the form before opset 13 along all from it on."""
    shape, out = w.value(0).shape, w.result(0)
    axis = axis_of(int(w.attribute("axis", -1)), len(shape))
    x = _number(w, w.name(0), 1, 2)
    if int(w.attribute("opset", 13)) < 13:
        rows = w.reshape(x, math.prod(shape[:axis]), math.prod(shape[axis:]))
        y = w.reshape(w.op("Softmax", rows, axis=1), *shape)
    else:
        order = [d for d in range(len(shape)) if d != axis] + [axis]
        back = [order.index(d) for d in range(len(shape))]
        y = w.turn(w.op("Softmax", w.turn(x, *order), axis=len(shape) - 1), *back)
    _quantised(w, y, 3, 4, out)


@expansion("QLinearWhere")
def where(w: Writer) -> None:
    chosen = w.op("Where", w.name(0), _number(w, w.name(1), 2, 3), _number(w, w.name(4), 5, 6))
    _quantised(w, chosen, 7, 8, w.result(0))


@expansion("NhwcMaxPool")
def max_pool(w: Writer) -> None:
    there, back = _last(len(w.value(0).shape))
    names = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")
    w.turn(w.op("MaxPool", w.turn(w.name(0), *there), **w.attributes(*names)), *back, out=w.result(0))


@expansion("DynamicQuantizeLSTM")
def lstm(w: Writer) -> None:
    """LSTM on weights made float again; the input's levels are found once, each sequence's state's at every step."""
    x = w.op("DequantizeLinear", *levels(w, w.name(0)))
    weights = []
    for position, scale, zero in ((1, 8, 9), (2, 10, 11)):
        directions = w.value(position).shape[0]
        shape = (directions, 1, w.value(scale).size // directions)
        level = w.op("Sub", w.cast(w.name(position), "float32"), w.cast(w.reshape(w.name(zero), *shape), "float32"))
        weights.append(w.turn(w.op("Mul", level, w.reshape(w.name(scale), *shape)), 0, 2, 1))
    names = ("activation_alpha", "activation_beta", "activations", "clip", "direction", "hidden_size", "input_forget")
    rest = [w.name(k) for k in range(3, 8)]
    while rest and not rest[-1]:
        rest.pop()
    w.op("LSTM.levelled", x, *weights, *rest, out=list(w.node.output), **w.attributes(*names))
