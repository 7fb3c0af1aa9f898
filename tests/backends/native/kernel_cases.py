"""Every kernel with sizes that leave remainders in every dimension, side by side in one graph: one build tests them all."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper

from models.builders import Graph

ODD = (1, 3, 7, 17)


def inferred(g: Graph, outputs: dict[str, str]) -> onnx.ModelProto:
    """The graph with the shapes of its outputs found; `outputs` maps public to inner names."""
    model = g.finish({name: (inner, []) for name, inner in outputs.items()})
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    found = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {v.name: v for v in found.graph.output}
    for output in model.graph.output:
        output.CopyFrom(shapes[output.name])
    return model


def end(g: Graph, y: str, kind: str, other: Callable[[], str]) -> str:
    """An ending that goes into the kernel: r ReLU, c clip, l leaky, s SiLU, g GELU, t tanh; + a sum before, p one after it."""
    if "+" in kind:
        y = g.op("Add", y, other())
    limits = [g.constant(np.float32(v), "limit") for v in (-0.5, 0.75)] if "c" in kind else []
    for letter in kind:
        if letter == "r":
            y = g.op("Relu", y)
        elif letter == "c":
            y = g.op("Clip", y, *limits)
        elif letter == "l":
            y = g.op("LeakyRelu", y, alpha=0.2)
        elif letter == "s":
            y = g.op("Mul", y, g.op("Sigmoid", y))
        elif letter == "g":
            half = g.op("Mul", y, g.constant(np.float32(0.5)))
            inner = g.op("Erf", g.op("Div", y, g.constant(np.float32(2**0.5))))
            y = g.op("Mul", half, g.op("Add", inner, g.constant(np.float32(1))))
        elif letter == "t":
            y = g.op("Tanh", y)
        elif letter == "p":
            y = g.op("Add", y, other())
    return y


def convolution(
    g: Graph, name: str, cin: int, cout: int, size: tuple[int, int], kernel: tuple[int, int], stride: int = 1,
    dilation: int = 1, groups: int = 1, kind: str = "", batch: int = 1, inner: bool = False,
) -> str:  # fmt: skip
    """`inner`: behind another convolution, so that the input lies in blocks."""
    x = g.input(name, [batch, cin, *size])
    if inner:
        x = g.op("Conv", x, g.constant(g.weights(cin, cin, 1, 1, scale=cin**-0.5)), kernel_shape=[1, 1])
    pads = [dilation * (k // 2) for k in kernel]

    def one() -> str:
        w = g.constant(g.weights(cout, cin // groups, *kernel, scale=(cin // groups * kernel[0] * kernel[1]) ** -0.5))
        window = {"kernel_shape": list(kernel), "strides": [stride] * 2, "dilations": [dilation] * 2, "pads": pads * 2}
        return g.op("Conv", x, w, g.constant(g.weights(cout, scale=0.2), "b"), group=groups, **window)

    return end(g, one(), kind, one)


def convolutions() -> onnx.ModelProto:
    """Direct, pointwise, grouped and depthwise."""
    g, outputs = Graph("convolutions", 21), {}

    def add(*args: object, **named: object) -> None:
        name = f"c{len(outputs)}"
        outputs[f"y_{name}"] = convolution(g, name, *args, **named)  # type: ignore[arg-type]

    kinds = itertools.cycle(["", "r", "+r", "c", "s", "+", "l", "tp", "g"])
    for cin, cout in [(1, 1), (3, 7), (7, 17), (17, 3), (33, 19), (19, 35)]:
        for size in [(1, 1), (3, 17), (17, 7)]:
            add(cin, cout, size, (3, 3), kind=next(kinds))
            add(cin, cout, size, (1, 1), kind=next(kinds), inner=True, batch=2 if cin == 7 else 1)
    for size, kernel, stride, dilation in [
        ((17, 17), (7, 7), 2, 1), ((7, 9), (5, 5), 1, 1), ((9, 17), (3, 3), 1, 2), ((7, 17), (1, 1), 2, 1),
        ((17, 3), (3, 1), 1, 1), ((1, 17), (1, 7), 1, 1), ((5, 23), (3, 3), 2, 1), ((7, 33), (2, 2), 1, 1),
    ]:  # fmt: skip
        add(3, 18, size, kernel, stride, dilation, kind=next(kinds))
        add(21, 18, size, kernel, stride, dilation, kind=next(kinds), inner=True)
    for groups, icg, ocg in [(2, 3, 5), (3, 7, 1), (2, 16, 16), (17, 1, 2), (5, 4, 4)]:
        add(groups * icg, groups * ocg, (7, 17), (3, 3), 1, 1, groups, next(kinds), inner=True)
        add(groups * icg, groups * ocg, (5, 7), (1, 1), 1, 1, groups, next(kinds), 2, inner=True)
    for channels, size, kernel, stride, dilation in [
        (1, (7, 7), 3, 1, 1), (3, (17, 1), 3, 1, 1), (7, (3, 17), 5, 1, 1), (17, (17, 17), 3, 2, 1), (33, (7, 15), 3, 1, 2),
        (19, (1, 29), 3, 1, 1), (16, (9, 31), 3, 2, 1), (21, (9, 9), 7, 1, 1),
    ]:  # fmt: skip
        add(channels, channels, size, (kernel, kernel), stride, dilation, channels, next(kinds), inner=True)
    return inferred(g, outputs)


def winograd() -> onnx.ModelProto:
    """3x3 convolutions; the test says which tile size each takes."""
    g, outputs = Graph("winograd", 22), {}
    kinds = itertools.cycle(["", "r", "+r", "s", "p", "c"])
    for cin, cout in [(16, 16), (17, 35), (35, 19)]:
        for size in [(1, 1), (3, 7), (7, 17), (17, 5), (8, 8)]:
            name = f"wino{len(outputs)}"
            batch = 2 if size == (3, 7) else 1
            outputs[f"y_{name}"] = convolution(
                g, name, cin, cout, size, (3, 3), kind=next(kinds), batch=batch, inner=True
            )
    return inferred(g, outputs)


def rows() -> onnx.ModelProto:
    """Products, normalisations, softmax and attention on rows."""
    g, outputs = Graph("rows", 23), {}
    kinds = itertools.cycle(["", "r", "g", "s", "+", "t"])

    def product(x: str, depth: int, width: int) -> str:
        y = g.op("MatMul", x, g.constant(g.weights(depth, width, scale=depth**-0.5)))
        return g.op("Add", y, g.constant(g.weights(width, scale=0.2), "b"))

    for index, (count, depth, width) in enumerate(itertools.product(ODD, (1, 7, 33), (1, 3, 17, 35))):
        x = g.input(f"m{index}", [count, depth] if index % 3 else [2, count, depth])
        y = product(x, depth, width)
        outputs[f"y_m{index}"] = end(g, y, next(kinds), lambda x=x, d=depth, w=width: product(x, d, w))
    for count, width in itertools.product((1, 3, 17), (1, 3, 7, 16, 17, 48)):
        name = f"{count}x{width}"
        x = product(g.input(f"n{name}", [count, width]), width, width)
        scale, shift = (g.constant(g.weights(width, scale=1.0), "n") for _ in range(2))
        outputs[f"y_n{name}"] = product(g.op("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5), width, 5)
        outputs[f"y_s{name}"] = g.op("Softmax", x, axis=-1)
    for length, heads, masked in [(1, 1, False), (3, 2, True), (7, 1, True), (17, 3, False), (16, 2, True)]:
        outputs[f"y_a{length}"] = attention(g, f"a{length}", length, heads, masked, batch=2 if length == 7 else 1)
    return inferred(g, outputs)


def attention(g: Graph, name: str, length: int, heads: int, masked: bool, batch: int) -> str:
    width = heads * 16
    x = g.input(name, [batch, length, width])

    def part(order: list[int]) -> str:
        y = g.op("MatMul", x, g.constant(g.weights(width, width, scale=width**-0.5)))
        return g.op("Transpose", g.op("Reshape", y, g.ints(batch, length, heads, 16)), perm=order)

    scores = g.op("MatMul", part([0, 2, 1, 3]), part([0, 2, 3, 1]))
    scores = g.op("Div", scores, g.constant(np.float32(4.0), "root"))
    if masked:
        bias = np.where(np.arange(length) % 3 == 2, -1e4, 0).astype(np.float32)
        scores = g.op("Add", scores, g.constant(bias.reshape(1, 1, 1, -1), "mask"))
    mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), part([0, 2, 1, 3]))
    return g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), g.ints(batch, length, width))


def between(g: Graph, x: str, y: str, channels: int) -> dict[str, str]:
    """What happens to images between convolutions: pools, resizes, sums with broadcast, concatenations, norms."""
    gate = g.op("Sigmoid", g.op("GlobalAveragePool", x))
    factors = g.constant(np.array([1, 1, 2, 3], np.float32), "factors")
    window = {"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1] * 4}
    blocked = {  # a convolution reads these
        "sum": g.op("Relu", g.op("Add", x, y)),
        "gated": g.op("Mul", x, gate),
        "most": g.op("MaxPool", x, **window),
        "joined": g.op("Concat", x, y, x, axis=1),
    }
    return {
        **{k: g.conv(v, 3 * channels if k == "joined" else channels, 4, 1) for k, v in blocked.items()},
        "difference": g.op("Sub", x, y),
        "ceil": g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1),
        "average": g.op("AveragePool", x, **window, count_include_pad=0),
        "padded": g.op("AveragePool", x, **window, count_include_pad=1),
        "all": g.op("GlobalMaxPool", x),
        "nearest": g.op("Resize", x, "", factors, mode="nearest"),
        "linear": g.op("Resize", x, "", factors, mode="linear"),
        "turned": g.op("Transpose", x, perm=[0, 2, 3, 1]),
        "padding": g.op("Pad", x, g.ints(0, 0, 1, 2, 0, 0, 3, 1)),
    }


def images() -> onnx.ModelProto:
    g, outputs = Graph("images", 24), {}
    for channels, size in [(1, (1, 1)), (3, (3, 17)), (7, (17, 7)), (17, (7, 7)), (35, (5, 9))]:
        name, batch = f"{channels}x{size[0]}x{size[1]}", 2 if channels == 7 else 1
        x = convolution(g, f"i{name}", channels, channels, size, (1, 1), kind="r", batch=batch)
        y = convolution(g, f"j{name}", 2, channels, size, (3, 3), batch=batch)
        outputs |= {f"y_{step}_{name}": made for step, made in between(g, x, y, channels).items()}
        if size != (1, 1):  # of one pixel it is the shift alone
            scale, shift = (g.constant(g.weights(channels, scale=1.0), "n") for _ in range(2))
            outputs[f"y_instance_{name}"] = g.op("InstanceNormalization", x, scale, shift)
    return inferred(g, outputs)


GROUPS = {"convolutions": convolutions, "winograd": winograd, "rows": rows, "images": images}


def together() -> onnx.ModelProto:
    """All groups but Winograd's in one graph."""
    made = [GROUPS[name]() for name in ("convolutions", "rows", "images")]
    parts: list[list] = [[], [], [], []]
    for index, model in enumerate(made):
        graph = model.graph
        for item in (*graph.input, *graph.output, *graph.initializer):
            item.name = f"g{index}{item.name}"
        for node in graph.node:
            node.name = f"g{index}{node.name or node.output[0]}"
            for names in (node.input, node.output):
                names[:] = [f"g{index}{n}" if n else "" for n in names]
        for part, items in zip(parts, (graph.node, graph.input, graph.output, graph.initializer)):
            part.extend(items)
    nodes, inputs, outputs, weights = parts
    graph = helper.make_graph(nodes, "together", inputs, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
