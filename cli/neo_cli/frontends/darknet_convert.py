"""Darknet's layers as ONNX nodes of static shape, batch normalisation folded into the convolutions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from neo_cli.frontends.darknet_net import HEADS, Layer, results
from neo_cli.model.graph import GraphBuilder


def convert(
    layers: list[Layer], shape: tuple[int, int, int, int], boxes: bool, net: tuple[int, int]
) -> onnx.ModelProto:
    """The network as a graph with input `data` and outputs `output_0`, `output_1`, ... in the order of the cfg."""
    g = GraphBuilder("darknet")
    data = g.input("data", shape)
    values: list[str] = []
    for layer in layers:
        seen = [values[s] if s >= 0 else data for s in layer.sources]
        values.append(_activated(g, _LAYERS[layer.kind](g, layer, *seen), layer.activation))
    for position, index in enumerate(results(layers)):
        value = values[index]
        if boxes and layers[index].kind in HEADS:
            value = _boxes(g, layers[index], value, net)
        g.output(value, f"output_{position}")
    return g.make()


def _activated(g: GraphBuilder, x: str, kind: str) -> str:
    if kind == "linear":
        return x
    if kind in _DIRECT:
        op, attributes = _DIRECT[kind]
        return g.node(op, x, **attributes)
    if kind in ("relu6", "hardtan"):
        low, high = (0.0, 6.0) if kind == "relu6" else (-1.0, 1.0)
        return g.node("Clip", x, g.scalar(low), g.scalar(high))
    if kind == "swish":
        return g.node("Mul", x, g.node("Sigmoid", x))
    if kind == "loggy":
        return g.node("Sub", g.node("Mul", g.node("Sigmoid", x), g.scalar(2)), g.scalar(1))
    if kind == "ramp":
        return g.node("Add", g.node("Relu", x), g.node("Mul", x, g.scalar(0.1)))
    cube = g.node("Mul", g.node("Mul", x, x), x)  # gelu, in Darknet's tanh form
    inner = g.node("Add", g.node("Mul", x, g.scalar(0.797885)), g.node("Mul", cube, g.scalar(0.035677)))
    half = g.node("Mul", x, g.scalar(0.5))
    return g.node("Mul", half, g.node("Add", g.node("Tanh", inner), g.scalar(1)))


_DIRECT: dict[str, tuple[str, dict]] = {
    "logistic": ("Sigmoid", {}),
    "relu": ("Relu", {}),
    "elu": ("Elu", {"alpha": 1.0}),
    "selu": ("Selu", {"alpha": 1.6732, "gamma": 1.0507}),
    "relie": ("LeakyRelu", {"alpha": 0.01}),
    "leaky": ("LeakyRelu", {"alpha": 0.1}),
    "tanh": ("Tanh", {}),
    "mish": ("Mish", {}),
}


def _folded(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    a = layer.arrays
    if "scale" not in a:
        return a["weight"].astype(np.float32), a["bias"].astype(np.float32)
    factor = a["scale"].astype(np.float64) / (np.sqrt(a["variance"].astype(np.float64)) + 1e-6)
    bias = a["bias"].astype(np.float64) - a["mean"].astype(np.float64) * factor
    weight = a["weight"] * factor.reshape(-1, *[1] * (a["weight"].ndim - 1))
    return weight.astype(np.float32), bias.astype(np.float32)


def _conv(g: GraphBuilder, layer: Layer, x: str) -> str:
    weight, bias = _folded(layer)
    s = layer.sizes
    return g.node(
        "Conv", x, g.const(weight), g.const(bias, "b"), kernel_shape=[s["size"]] * 2, strides=[s["sy"], s["sx"]],
        pads=[s["pad"]] * 4, dilations=[s["dilation"]] * 2, group=s["groups"],
    )  # fmt: skip


def _dense(g: GraphBuilder, layer: Layer, x: str) -> str:
    weight, bias = _folded(layer)
    y = g.node("Gemm", g.node("Flatten", x), g.const(weight), g.const(bias, "b"), transB=1)
    return g.node("Reshape", y, g.ints(g.shape(x)[0], *layer.shape))


def _pool(g: GraphBuilder, layer: Layer, x: str) -> str:
    s = layer.sizes
    size, strides = s["size"], [s["sy"], s["sx"]]
    ends = [s["before"], s["before"], s["after"], s["after"]]
    if layer.kind == "avgpool":
        return g.node("AveragePool", x, kernel_shape=[size] * 2, strides=strides, pads=ends)
    if max(ends) >= size:  # wider than ONNX allows a pool to pad
        low = g.const(np.array(-np.inf, np.float32), "low")
        pads = g.ints(0, 0, s["before"], s["before"], 0, 0, s["after"], s["after"])
        x, ends = g.node("Pad", x, pads, low), [0] * 4
    return g.node("MaxPool", x, kernel_shape=[size] * 2, strides=strides, pads=ends)


def _mean(g: GraphBuilder, layer: Layer, x: str) -> str:
    return g.node("GlobalAveragePool", x)


def _route(g: GraphBuilder, layer: Layer, *seen: str) -> str:
    groups, group = layer.sizes["groups"], layer.sizes["group"]
    parts = list(seen)
    if groups > 1:
        parts = []
        for x in seen:
            width = g.shape(x)[1] // groups
            parts.append(g.node("Slice", x, g.ints(group * width), g.ints((group + 1) * width), g.ints(1)))
    return parts[0] if len(parts) == 1 else g.node("Concat", *parts, axis=1)


def _shortcut(g: GraphBuilder, layer: Layer, x: str, *others: str) -> str:
    channels = layer.shape[0]
    for other in others:
        have = g.shape(other)[1]
        if have > channels:
            other = g.node("Slice", other, g.ints(0), g.ints(channels), g.ints(1))
        elif have < channels:
            other = g.node("Pad", other, g.ints(0, 0, 0, 0, 0, channels - have, 0, 0))
        x = g.node("Add", x, other)
    return x


def _upsample(g: GraphBuilder, layer: Layer, x: str) -> str:
    stride = layer.sizes["stride"]
    scales = g.const(np.array([1, 1, stride, stride], np.float32), "scales")
    y = g.node(
        "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    scale = layer.section.number("scale", 1.0)
    return y if scale == 1.0 else g.node("Mul", y, g.scalar(scale))


def _reorg(g: GraphBuilder, layer: Layer, x: str) -> str:
    n, c, h, w = g.shape(x)
    stride = layer.sizes["stride"]
    y = g.node("Reshape", x, g.ints(n, c // stride**2, h, stride, w, stride))
    y = g.node("Transpose", y, perm=[0, 3, 5, 1, 2, 4])
    return g.node("Reshape", y, g.ints(n, *layer.shape))


def _same(g: GraphBuilder, layer: Layer, x: str) -> str:
    return x


def _softmax(g: GraphBuilder, layer: Layer, x: str) -> str:
    shape, temperature = g.shape(x), layer.section.number("temperature", 1.0)
    if temperature != 1.0:
        x = g.node("Div", x, g.scalar(temperature))
    y = g.node("Reshape", x, g.ints(shape[0], layer.sizes["groups"], -1))
    return g.node("Reshape", g.node("Softmax", y, axis=2), g.ints(*shape))


def _crop(g: GraphBuilder, layer: Layer, x: str) -> str:
    top, left = layer.sizes["top"], layer.sizes["left"]
    y = g.node("Slice", x, g.ints(top, left), g.ints(top + layer.shape[1], left + layer.shape[2]), g.ints(2, 3))
    if layer.section.whole("noadjust"):
        return y
    return g.node("Sub", g.node("Mul", y, g.scalar(2)), g.scalar(1))


def _product(g: GraphBuilder, layer: Layer, x: str, other: str) -> str:
    return g.node("Mul", x, other)


def _split(g: GraphBuilder, layer: Layer, x: str) -> list[str]:
    """Centres, sizes, objectness and classes of a head as [n, boxes, k, h, w]."""
    n, _, h, w = g.shape(x)
    y = g.node("Reshape", x, g.ints(n, layer.sizes["boxes"], -1, h, w))
    names = [f"{x}_{part}" for part in ("centre", "size", "object", "classes")]
    return g.nodes("Split", y, g.ints(2, 2, 1, layer.sizes["classes"]), names=names, axis=2)


def _yolo(g: GraphBuilder, layer: Layer, x: str) -> str:
    shape = g.shape(x)
    centre, size, certain, classes = _split(g, layer, x)
    if not layer.section.whole("new_coords"):
        centre, certain, classes = g.node("Sigmoid", centre), g.node("Sigmoid", certain), g.node("Sigmoid", classes)
    scale = layer.section.number("scale_x_y", 1.0)
    if scale != 1.0:
        centre = g.node("Sub", g.node("Mul", centre, g.scalar(scale)), g.scalar(0.5 * (scale - 1)))
    return g.node("Reshape", g.node("Concat", centre, size, certain, classes, axis=2), g.ints(*shape))


def _region(g: GraphBuilder, layer: Layer, x: str) -> str:
    shape = g.shape(x)
    centre, size, certain, classes = _split(g, layer, x)
    centre = g.node("Sigmoid", centre)
    certain = certain if layer.section.whole("background") else g.node("Sigmoid", certain)
    classes = g.node("Softmax", classes, axis=2) if layer.section.whole("softmax") else g.node("Sigmoid", classes)
    return g.node("Reshape", g.node("Concat", centre, size, certain, classes, axis=2), g.ints(*shape))


def _boxes(g: GraphBuilder, layer: Layer, x: str, net: tuple[int, int]) -> str:
    """[n, h * w * boxes, 5 + classes]: centre, size (fractions of the image), objectness, class scores."""
    n, _, h, w = g.shape(x)
    count = layer.sizes["boxes"]
    centre, size, certain, classes = _split(g, layer, x)
    grid = np.stack(np.broadcast_arrays(np.arange(w)[None, :], np.arange(h)[:, None])).astype(np.float32)[None, None]
    steps = g.const(np.array([w, h], np.float32).reshape(1, 1, 2, 1, 1))
    centre = g.node("Div", g.node("Add", centre, g.const(grid)), steps)
    width, height = (w, h) if layer.kind == "region" else (net[1], net[0])
    anchors = (layer.arrays["anchors"] / np.array([width, height])).astype(np.float32).reshape(1, count, 2, 1, 1)
    if layer.section.whole("new_coords"):
        double = g.node("Mul", size, g.scalar(2))
        grown = g.node("Mul", double, double)
    else:
        grown = g.node("Exp", size)
    size = g.node("Mul", grown, g.const(anchors))
    joined = g.node("Concat", centre, size, certain, g.node("Mul", classes, certain), axis=2)
    rows = g.node("Transpose", joined, perm=[0, 3, 4, 1, 2])
    return g.node("Reshape", rows, g.ints(n, h * w * count, 5 + layer.sizes["classes"]))


_LAYERS: dict[str, Callable[..., str]] = {
    "conv": _conv, "dense": _dense, "maxpool": _pool, "avgpool": _pool, "mean": _mean, "route": _route, "shortcut": _shortcut,
    "upsample": _upsample, "reorg": _reorg, "same": _same, "activation": _same, "softmax": _softmax, "crop": _crop,
    "scale_channels": _product, "sam": _product, "yolo": _yolo, "region": _region,
}  # fmt: skip
