"""MXNet's layers as ONNX nodes: convolution, pooling, normalisation, dense, softmax, resize."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neo_cli.frontends.mxnet_symbol import Node
from neo_cli.frontends.mxnet_table import Conversion, operator, refuse


def _channels_first(node: Node) -> None:
    layout = node.text("layout", "None")
    if layout not in ("None", "NCW", "NCHW", "NCDHW", ""):
        raise refuse(node, f"with layout={layout}")


def _fits(c: Conversion, x: str, channels: int, axis: int = 1) -> None:
    """ONNX's own inference lets a wrong number of channels pass."""
    have = c.g.shape(x)[axis]
    if have != channels:
        raise ValueError(f"the input has {have} channels, the weights are for {channels}")


@operator("Convolution")
def _convolution(c: Conversion, node: Node, x: str, *weights: str) -> str:
    _channels_first(node)
    kernel = node.wholes("kernel")
    n = len(kernel)
    _fits(c, x, c.g.shape(weights[0])[1] * node.whole("num_group", 1))
    pad = list(node.wholes("pad", (0,) * n))
    return c.g.node(
        "Conv", x, *weights, kernel_shape=list(kernel), strides=list(node.wholes("stride", (1,) * n)), pads=pad * 2,
        dilations=list(node.wholes("dilate", (1,) * n)), group=node.whole("num_group", 1),
    )  # fmt: skip


@operator("Deconvolution")
def _deconvolution(c: Conversion, node: Node, x: str, *weights: str) -> str:
    _channels_first(node)
    kernel = node.wholes("kernel")
    n = len(kernel)
    _fits(c, x, c.g.shape(weights[0])[0])
    stride, dilate = node.wholes("stride", (1,) * n), node.wholes("dilate", (1,) * n)
    pad, extra = list(node.wholes("pad", (0,) * n)), list(node.wholes("adj", (0,) * n))
    target = node.wholes("target_shape")
    if any(target):
        for i, size in enumerate(c.g.shape(x)[2:]):
            total = stride[i] * (size - 1) + dilate[i] * (kernel[i] - 1) + 1 - target[i]
            pad[i], extra[i] = (total + 1) // 2, total % 2
    return c.g.node(
        "ConvTranspose", x, *weights, kernel_shape=list(kernel), strides=list(stride), pads=pad * 2,
        dilations=list(dilate), output_padding=extra, group=node.whole("num_group", 1),
    )  # fmt: skip


@operator("Pooling")
def _pooling(c: Conversion, node: Node, x: str) -> str:
    _channels_first(node)
    kind, rank = node.text("pool_type", "max"), c.rank(x)
    if kind not in ("max", "avg", "sum"):
        raise refuse(node, f"with pool_type={kind}")
    if node.flag("global_pool"):
        if kind == "sum":
            return c.g.node("ReduceSum", x, c.g.ints(*range(2, rank)), keepdims=1)
        return c.g.node("GlobalMaxPool" if kind == "max" else "GlobalAveragePool", x)
    kernel = node.wholes("kernel")
    n = len(kernel)
    stride, pad = node.wholes("stride", (1,) * n), node.wholes("pad", (0,) * n)
    if any(p < 0 or p >= k for p, k in zip(pad, kernel, strict=True)):
        raise refuse(node, f"with pad={pad} for kernel={kernel}")
    convention, inputs = node.text("pooling_convention", "valid"), c.g.shape(x)[2:]
    if convention not in ("valid", "full"):
        raise refuse(node, f"with pooling_convention={convention}")
    ends = list(pad)
    if convention == "full":
        for i, size in enumerate(inputs):
            out = 1 + math.ceil((size + 2 * pad[i] - kernel[i]) / stride[i])
            ends[i] += max(0, (out - 1) * stride[i] + kernel[i] - (size + 2 * pad[i]))
    attributes: dict[str, Any] = {"kernel_shape": list(kernel), "strides": list(stride)}
    if kind == "max":
        if max([*pad, *ends]) >= min(kernel):  # wider than ONNX lets a pool pad
            low = c.g.const(np.array(-np.inf, np.float32), "low")
            x, pad, ends = c.g.node("Pad", x, c.g.ints(0, 0, *pad, 0, 0, *ends), low), (0,) * n, [0] * n
        return c.g.node("MaxPool", x, pads=[*pad, *ends], **attributes)
    counted = node.flag("count_include_pad", True) or kind == "sum"
    if not counted:
        return c.g.node("AveragePool", x, pads=[*pad, *ends], **attributes)
    x = c.g.node("Pad", x, c.g.ints(0, 0, *pad, 0, 0, *ends)) if any(ends) else x
    y = c.g.node("AveragePool", x, **attributes)
    if kind == "sum":
        return c.g.node("Mul", y, c.g.scalar(math.prod(kernel)))
    if tuple(ends) == tuple(pad):
        return y
    # A window that hangs over the padding by the "full" convention counts only up to the padding's end
    factor = np.ones((1,) * rank)
    for i, size in enumerate(inputs):
        out = c.g.shape(y)[2 + i]
        seen = [min(o * stride[i] + kernel[i], size + 2 * pad[i]) - o * stride[i] for o in range(out)]
        along = [1] * rank
        along[2 + i] = out
        factor = factor * (kernel[i] / np.array(seen)).reshape(along)
    return c.g.node("Mul", y, c.g.const(factor.astype(np.float32)))


@operator("BatchNorm")
def _batch_norm(c: Conversion, node: Node, x: str, gamma: str, beta: str, mean: str, variance: str) -> str:
    if node.flag("fix_gamma", True):
        gamma = c.g.const(np.ones(c.g.shape(beta), np.float32), "gamma")
    axis, rank = c.axis(node, x, 1), c.rank(x)
    epsilon = node.number("eps", 1e-3)
    _fits(c, x, c.g.shape(beta)[0], axis)
    if axis == 1:
        return c.g.node("BatchNormalization", x, gamma, beta, mean, variance, epsilon=epsilon)
    order = [axis if i == 1 else 1 if i == axis else i for i in range(rank)]
    y = c.g.node(
        "BatchNormalization", c.g.node("Transpose", x, perm=order), gamma, beta, mean, variance, epsilon=epsilon
    )
    return c.g.node("Transpose", y, perm=order)


@operator("LayerNorm")
def _layer_norm(c: Conversion, node: Node, x: str, gamma: str, beta: str) -> str:
    axis, rank = c.axis(node, x, -1), c.rank(x)
    if axis != rank - 1:
        raise refuse(node, f"with axis={axis} of {rank}")
    return c.g.node("LayerNormalization", x, gamma, beta, axis=-1, epsilon=node.number("eps", 1e-5))


@operator("InstanceNorm")
def _instance_norm(c: Conversion, node: Node, x: str, gamma: str, beta: str) -> str:
    return c.g.node("InstanceNormalization", x, gamma, beta, epsilon=node.number("eps", 1e-3))


@operator("GroupNorm")
def _group_norm(c: Conversion, node: Node, x: str, gamma: str, beta: str) -> str:
    groups, shape = node.whole("num_groups", 1), c.g.shape(x)
    split = c.g.node("Reshape", x, c.g.ints(shape[0], groups, -1))
    one, zero = (c.g.const(np.full(groups, v, np.float32), "g") for v in (1, 0))
    y = c.g.node("InstanceNormalization", split, one, zero, epsilon=node.number("eps", 1e-5))
    length = c.g.shape(gamma)[0]  # a scale for each group, or for each channel
    parts = [shape[0], length, -1] if length == groups else [shape[0], shape[1], -1]
    y = c.g.node("Reshape", y, c.g.ints(*parts))
    y = c.g.node("Mul", y, c.g.node("Reshape", gamma, c.g.ints(1, length, 1)))
    y = c.g.node("Add", y, c.g.node("Reshape", beta, c.g.ints(1, length, 1)))
    return c.g.node("Reshape", y, c.g.ints(*shape))


@operator("L2Normalization")
def _l2(c: Conversion, node: Node, x: str) -> str:
    mode, rank = node.text("mode", "instance"), c.rank(x)
    axes = {"instance": range(1, rank), "channel": range(1, 2), "spatial": range(2, rank)}[mode]
    total = c.g.node("ReduceSum", c.g.node("Mul", x, x), c.g.ints(*axes), keepdims=1)
    return c.g.node("Div", x, c.g.node("Sqrt", c.g.node("Add", total, c.g.scalar(node.number("eps", 1e-10)))))


@operator("LRN")
def _lrn(c: Conversion, node: Node, x: str) -> str:
    return c.g.node(
        "LRN", x, size=node.whole("nsize", 5), alpha=node.number("alpha", 1e-4), beta=node.number("beta", 0.75), bias=node.number("knorm", 2)
    )  # fmt: skip


@operator("FullyConnected")
def _dense(c: Conversion, node: Node, x: str, weight: str, *bias: str) -> str:
    rank = c.rank(x)
    if node.flag("flatten", True) or rank == 2:
        x = c.g.node("Flatten", x) if rank != 2 else x
        return c.g.node("Gemm", x, weight, *bias, transB=1)
    y = c.g.node("MatMul", x, c.g.node("Transpose", weight, perm=[1, 0]))
    return c.g.node("Add", y, bias[0]) if bias else y


@operator("Activation")
def _activation(c: Conversion, node: Node, x: str) -> str:
    kinds = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softrelu": "Softplus", "softsign": "Softsign"}
    kind = node.text("act_type")
    if kind not in kinds:
        raise refuse(node, f"with act_type={kind}")
    return c.g.node(kinds[kind], x)


@operator("LeakyReLU")
def _leaky(c: Conversion, node: Node, x: str, *gamma: str) -> str:
    kind = node.text("act_type", "leaky")
    if kind == "leaky":
        return c.g.node("LeakyRelu", x, alpha=node.number("slope", 0.25))
    if kind == "elu":
        return c.g.node("Elu", x, alpha=node.number("slope", 0.25))
    if kind == "rrelu":
        slope = (node.number("lower_bound", 0.125) + node.number("upper_bound", 0.334)) / 2
        return c.g.node("LeakyRelu", x, alpha=slope)
    if kind == "selu":
        return c.g.node("Selu", x)
    if kind == "gelu":
        inner = c.g.node("Erf", c.g.node("Mul", x, c.g.scalar(1 / math.sqrt(2))))
        return c.g.node("Mul", c.g.node("Mul", x, c.g.scalar(0.5)), c.g.node("Add", inner, c.g.scalar(1)))
    if kind == "prelu":
        shape = [1] * c.rank(x)
        if len(shape) > 1:
            shape[1] = -1
        slope_value = c.g.node("Reshape", gamma[0], c.g.ints(*shape))
        return c.g.node("PRelu", x, slope_value)
    raise refuse(node, f"with act_type={kind}")


@operator("softmax", "log_softmax")
def _softmax(c: Conversion, node: Node, x: str, *length: str) -> str:
    if length:
        raise refuse(node, "with use_length")
    temperature = node.number("temperature", 1.0)
    x = x if temperature == 1.0 else c.g.node("Div", x, c.g.scalar(temperature))
    return c.g.node("Softmax" if node.op == "softmax" else "LogSoftmax", x, axis=c.axis(node, x, -1))


@operator("SoftmaxOutput", "SoftmaxActivation")
def _softmax_output(c: Conversion, node: Node, x: str, *label: str) -> str:
    rank = c.rank(x)
    if node.flag("multi_output") or node.text("mode") == "channel":
        return c.g.node("Softmax", x, axis=1)
    if node.flag("preserve_shape") or rank == 2:
        return c.g.node("Softmax", x, axis=rank - 1)
    y = c.g.node("Softmax", c.g.node("Flatten", x), axis=1)
    return c.g.node("Reshape", y, c.g.ints(*c.g.shape(x)))


@operator("_contrib_BilinearResize2D")
def _bilinear(c: Conversion, node: Node, x: str, *like: str) -> str:
    n, channels, high, wide = c.g.shape(x)
    mode = node.text("mode", "size")
    if mode == "like" and like:
        high, wide = c.g.shape(like[0])[2:]
    elif mode == "size" and node.has("scale_height"):
        high, wide = int(high * node.number("scale_height")), int(wide * node.number("scale_width"))
    elif mode == "size":
        high, wide = node.whole("height", 1), node.whole("width", 1)
    else:
        raise refuse(node, f"with mode={mode}")
    corners = "align_corners" if node.flag("align_corners", True) else "half_pixel"
    sizes = c.g.ints(n, channels, high, wide)
    return c.g.node("Resize", x, "", "", sizes, mode="linear", coordinate_transformation_mode=corners)


@operator("UpSampling")
def _upsampling(c: Conversion, node: Node, x: str, *more: str) -> str:
    if node.text("sample_type") != "nearest" or more:
        raise refuse(node, f"with sample_type={node.text('sample_type')}, {1 + len(more)} inputs")
    scale = node.whole("scale", 1)
    scales = c.g.const(np.array([1, 1, scale, scale], np.float32), "scales")
    return c.g.node(
        "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )


@operator("_contrib_AdaptiveAvgPooling2D")
def _adaptive(c: Conversion, node: Node, x: str) -> str:
    asked = node.wholes("output_size", (1,)) or (1,)
    sizes = c.g.shape(x)[2:]
    wanted = [asked[0], asked[-1]]
    if not all(1 <= w <= 4096 for w in wanted):
        raise refuse(node, f"with output_size={wanted}")
    if wanted == [1, 1]:
        return c.g.node("GlobalAveragePool", x)
    if all(s % w == 0 for s, w in zip(sizes, wanted)):
        step = [s // w for s, w in zip(sizes, wanted)]
        return c.g.node("AveragePool", x, kernel_shape=step, strides=step)
    matrices = []
    for size, out in zip(sizes, wanted):
        matrix = np.zeros((out, size), np.float32)
        for i in range(out):
            first, last = i * size // out, -(-(i + 1) * size // out)
            matrix[i, first:last] = 1 / (last - first)
        matrices.append(matrix)
    rows = c.g.node("MatMul", c.g.const(matrices[0]), x)
    return c.g.node("MatMul", rows, c.g.const(np.ascontiguousarray(matrices[1].T)))
