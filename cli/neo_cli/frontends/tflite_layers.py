"""Rules for layers with weights, pooling, resizing and recurrent layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from neo_cli.base.errors import InputError
from neo_cli.frontends.tflite_convert import CONVERT, Converter, rule
from neo_cli.frontends.tflite_file import Operation


def _option(op: Operation, number: int, kind: str = "<i", default: Any = 0) -> Any:
    return default if op.options is None else op.options.number(number, kind, default)


def _pads(
    c: Converter, size: tuple[int, ...], kernel: list[int], strides: list[int], dilations: list[int], same: bool
) -> list[int]:
    """ONNX pads of TensorFlow's SAME: the smaller half comes first."""
    if not same:
        return [0] * 2 * len(size)
    totals = [
        max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        for n, k, s, d in zip(size, kernel, strides, dilations, strict=True)
    ]
    return [t // 2 for t in totals] + [t - t // 2 for t in totals]


def _bias(c: Converter, op: Operation, position: int = 2) -> list[str]:
    if len(op.inputs) <= position or op.inputs[position] < 0:
        return []
    return [_integer(c, op, op.inputs[position], [0]) or c.value(op.inputs[position])]


def _integer(c: Converter, op: Operation, index: int, perm: list[int]) -> str | None:
    """Integer weights of a quantised operator as they are, so that integer kernels can be used; None for others."""
    tensor, made = c.tensor(index), c.tensor(op.outputs[0])
    steps = tensor.quantization
    quantised = made.dtype in ("int8", "uint8") and made.quantization is not None
    if not quantised or steps is None or tensor.data is None or tensor.dtype not in ("int8", "uint8", "int32"):
        return None
    zero, scale, axis = steps.zero.astype(tensor.dtype), steps.scale, {}
    if len(scale) > 1:
        axis = {"axis": perm.index(steps.axis)}
    else:
        scale, zero = scale.reshape(()), zero[:1].reshape(())
    inputs = [c.const(tensor.data.transpose(perm)), c.const(scale)]
    return c.node("DequantizeLinear", [*inputs, *([c.const(zero)] if tensor.dtype != "int32" else [])], **axis)


def _weights(c: Converter, op: Operation, perm: list[int]) -> tuple[str, list[int]]:
    """The kernel as ONNX lays it out, and its spatial size; a computed kernel is transposed in the graph."""
    found = c.constant(op.inputs[1])
    shape = c.shape(op.inputs[1])
    whole = _integer(c, op, op.inputs[1], perm)
    name = whole or (
        c.const(found.transpose(perm)) if found is not None else c.node("Transpose", [c.value(op.inputs[1])], perm=perm)
    )
    return name, list(shape[1:3])


@rule("CONV_2D")
def conv(c: Converter, op: Operation) -> None:
    weight, kernel = _weights(c, op, [0, 3, 1, 2])
    strides, dilations = [_option(op, 2), _option(op, 1)], [_option(op, 5, default=1), _option(op, 4, default=1)]
    size, channels = c.shape(op.inputs[0])[1:3], c.shape(op.inputs[0])[3]
    made = c.node(
        "Conv", [c.image(op.inputs[0]), weight, *_bias(c, op)], kernel_shape=kernel, strides=strides, dilations=dilations,
        pads=_pads(c, size, kernel, strides, dilations, _option(op, 0, "<b") == 0), group=channels // c.shape(op.inputs[1])[3],
    )  # fmt: skip
    c.define(op.outputs[0], c.activation(made, _option(op, 3, "<b")), planar=True)


@rule("DEPTHWISE_CONV_2D")
def depthwise(c: Converter, op: Operation) -> None:
    weight, kernel = _weights(c, op, [3, 0, 1, 2])
    strides, dilations = [_option(op, 2), _option(op, 1)], [_option(op, 6, default=1), _option(op, 5, default=1)]
    size, channels = c.shape(op.inputs[0])[1:3], c.shape(op.inputs[0])[3]
    made = c.node(
        "Conv", [c.image(op.inputs[0]), weight, *_bias(c, op)], kernel_shape=kernel, strides=strides, dilations=dilations,
        pads=_pads(c, size, kernel, strides, dilations, _option(op, 0, "<b") == 0), group=channels,
    )  # fmt: skip
    c.define(op.outputs[0], c.activation(made, _option(op, 4, "<b")), planar=True)


@rule("TRANSPOSE_CONV")
def transpose_conv(c: Converter, op: Operation) -> None:
    weight, kernel = _weights(c, op, [3, 0, 1, 2])
    strides = [_option(op, 2), _option(op, 1)]
    size, wanted = c.shape(op.inputs[2])[1:3], c.shape(op.outputs[0])[1:3]
    if _option(op, 0, "<b") == 0:
        totals = [max((n - 1) * s + k - w, 0) for n, s, k, w in zip(size, strides, kernel, wanted, strict=True)]
        pads = [t // 2 for t in totals] + [t - t // 2 for t in totals]
    else:
        pads = [0, 0, 0, 0]
    more = [
        w - ((n - 1) * s + k - a - b)
        for w, n, s, k, a, b in zip(wanted, size, strides, kernel, pads[:2], pads[2:], strict=True)
    ]
    made = c.node(
        "ConvTranspose",
        [c.image(op.inputs[2]), weight, *_bias(c, op, 3)],
        kernel_shape=kernel,
        strides=strides,
        pads=pads,
        output_padding=more,
    )
    c.define(op.outputs[0], c.activation(made, _option(op, 3, "<b")), planar=True)


@rule("FULLY_CONNECTED")
def dense(c: Converter, op: Operation) -> None:
    found, (_, depth) = c.constant(op.inputs[1]), c.shape(op.inputs[1])[-2:]
    weight = _integer(c, op, op.inputs[1], [1, 0]) or (
        c.const(np.ascontiguousarray(found.T))
        if found is not None
        else c.node("Transpose", [c.value(op.inputs[1])], perm=[1, 0])
    )
    value, shape = c.value(op.inputs[0]), c.shape(op.inputs[0])
    if (not (op.options is not None and op.options.flag(2)) and len(shape) != 2) or shape[-1] != depth:
        value = c.node("Reshape", [value, c.const([-1, depth])])
    made = c.node("MatMul", [value, weight])
    for bias in _bias(c, op):
        made = c.node("Add", [made, bias])
    c.define(op.outputs[0], c.activation(made, _option(op, 0, "<b")))


@rule("MAX_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D")
def pool(c: Converter, op: Operation) -> None:
    strides, kernel = [_option(op, 2), _option(op, 1)], [_option(op, 4), _option(op, 3)]
    pads = _pads(c, c.shape(op.inputs[0])[1:3], kernel, strides, [1, 1], _option(op, 0, "<b") == 0)
    value = c.image(op.inputs[0])
    if op.kind == "L2_POOL_2D":
        value = c.node("Mul", [value, value])
    kind = "MaxPool" if op.kind == "MAX_POOL_2D" else "AveragePool"
    made = c.node(kind, [value], kernel_shape=kernel, strides=strides, pads=pads)
    if op.kind == "L2_POOL_2D":
        made = c.node("Sqrt", [made])
    c.define(op.outputs[0], c.activation(made, _option(op, 5, "<b")), planar=True)


@rule("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(c: Converter, op: Operation) -> None:
    bilinear = op.kind == "RESIZE_BILINEAR"
    first = 2 if bilinear else 0
    corners, centres = (op.options.flag(first), op.options.flag(first + 1)) if op.options else (False, False)
    shape, wanted = c.shape(op.inputs[0]), c.ints(op, 1)
    where = "align_corners" if corners else "half_pixel" if centres else "asymmetric"
    # TensorFlow's nearest: floor of the asymmetric place; round half up with aligned corners; floor of the pixel's centre
    rounding = {"align_corners": "round_prefer_ceil", "half_pixel": "round_prefer_ceil", "asymmetric": "floor"}[where]
    sizes = c.const([shape[0], shape[3], *wanted])
    attributes: dict[str, Any] = {"mode": "linear"} if bilinear else {"mode": "nearest", "nearest_mode": rounding}
    made = c.node("Resize", [c.image(op.inputs[0]), "", "", sizes], coordinate_transformation_mode=where, **attributes)
    c.define(op.outputs[0], made, planar=True)


@rule("LOCAL_RESPONSE_NORMALIZATION")
def lrn(c: Converter, op: Operation) -> None:
    radius, bias = _option(op, 0), _option(op, 1, "<f")
    alpha, beta = _option(op, 2, "<f"), _option(op, 3, "<f")
    size = 2 * radius + 1
    c.define(
        op.outputs[0],
        c.node("LRN", [c.image(op.inputs[0])], size=size, bias=bias, alpha=alpha * size, beta=beta),
        planar=True,
    )


@rule("L2_NORMALIZATION")
def l2_normalization(c: Converter, op: Operation) -> None:
    value = c.value(op.inputs[0])
    total = c.node("ReduceSumSquare", [value], axes=[len(c.shape(op.inputs[0])) - 1], keepdims=1)
    root = c.node("Sqrt", [c.node("Max", [total, c.const(1e-6)])])
    c.define(op.outputs[0], c.activation(c.node("Div", [value, root]), _option(op, 0, "<b")))


@rule("UNIDIRECTIONAL_SEQUENCE_LSTM")
def lstm(c: Converter, op: Operation) -> None:
    """Without peepholes, projection and layer norm; gates are input, forget, cell, output there and i, o, f, c in ONNX."""
    if (
        any(i >= 0 for i in op.inputs[9:12])
        or any(i >= 0 for i in op.inputs[16:18])
        or any(i >= 0 for i in op.inputs[20:24])
        or op.inputs[1] < 0
    ):
        raise InputError(
            f"{CONVERT} UNIDIRECTIONAL_SEQUENCE_LSTM with peepholes, projection, layer norm or coupled gates is not understood."
        )
    if _option(op, 0, "<b") != 4 or _option(op, 1, "<f"):
        raise InputError(
            f"{CONVERT} UNIDIRECTIONAL_SEQUENCE_LSTM with an activation other than tanh, or with clipping, is not understood."
        )
    order = (1, 4, 2, 3)
    inner = np.concatenate([c.demand(op, i) for i in order])[None]
    recurrent = np.concatenate([c.demand(op, i + 4) for i in order])[None]
    bias = np.concatenate([c.demand(op, {1: 12, 2: 13, 3: 14, 4: 15}[i]) for i in order])
    both = np.concatenate([bias, np.zeros_like(bias)])[None]
    major, value = bool(op.options and op.options.flag(3)), c.value(op.inputs[0])
    if not major:
        value = c.node("Transpose", [value], perm=[1, 0, 2])
    states = [c.node("Unsqueeze", [_state(c, op, i, recurrent.shape[2]), c.const([0])]) for i in (18, 19)]
    made = c.node(
        "LSTM", [value, c.const(inner), c.const(recurrent), c.const(both), "", *states], hidden_size=recurrent.shape[2]
    )
    made = c.node("Squeeze", [made, c.const([1])])
    c.define(op.outputs[0], made if major else c.node("Transpose", [made], perm=[1, 0, 2]))


def _state(c: Converter, op: Operation, position: int, size: int) -> str:
    """A starting state: a variable of the file starts at zero."""
    index = op.inputs[position]
    if index in c.plain or c.tensor(index).data is not None:
        return c.value(index)
    shape = c.shape(op.inputs[0])
    batch = shape[1] if op.options and op.options.flag(3) else shape[0]
    return c.const(np.zeros((batch, size), np.float32))
