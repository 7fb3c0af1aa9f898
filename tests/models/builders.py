"""Well-known network shapes as ONNX models with seeded random weights: numpy and onnx.helper only.

`BUILDERS` maps a name to a function `(small=False) -> ModelProto`; `small=True` keeps every kind of layer and shrinks
widths, depth and image size, for tests. `save(name, folder)` writes `<folder>/<name>.onnx`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Graph:
    """A graph under construction; every method adds nodes and returns the name of its result."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name, self.random = name, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.count = 0

    def input(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def constant(self, value: np.ndarray, stem: str = "w") -> str:
        self.count += 1
        name = f"{stem}{self.count}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64), "shape")

    def weights(self, *shape: int, scale: float) -> np.ndarray:
        return self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        self.count += 1
        names = [f"{kind.lower()}{self.count}" + (f"_{i}" if i else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind}_{self.count}", **attributes))
        return names[0]

    def conv(
        self,
        x: str,
        cin: int,
        cout: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        gain: float = 2.0,
        bias: bool = True,
    ) -> str:
        fan = cin // groups * kernel * kernel
        w = self.constant(self.weights(cout, cin // groups, kernel, kernel, scale=math.sqrt(gain / fan)))
        b = [self.constant(self.weights(cout, scale=0.05), "b")] if bias else []
        pad = kernel // 2
        return self.op(
            "Conv", x, w, *b, kernel_shape=[kernel, kernel], strides=[stride, stride], pads=[pad] * 4, group=groups
        )

    def norm(self, x: str, channels: int) -> str:
        scale = self.constant((1 + self.weights(channels, scale=0.1)).astype(np.float32), "scale")
        rest = [self.constant(self.weights(channels, scale=0.1), "n") for _ in range(2)]
        variance = self.constant(self.random.uniform(0.7, 1.3, channels).astype(np.float32), "var")
        return self.op("BatchNormalization", x, scale, *rest, variance, epsilon=1e-5)

    def dense(self, x: str, cin: int, cout: int, gain: float = 1.0) -> str:
        """`x @ W + b` as a transformer writes it."""
        product = self.op("MatMul", x, self.constant(self.weights(cin, cout, scale=math.sqrt(gain / cin))))
        return self.op("Add", product, self.constant(self.weights(cout, scale=0.02), "b"))

    def finish(
        self, outputs: dict[str, tuple[str, Sequence[int | str]]], opset: int = 17, ir_version: int = 8
    ) -> onnx.ModelProto:
        """The checked model; `outputs` maps the public name to (inner name, shape)."""
        for public, (inner, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [inner], [public]))
        results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, list(s)) for n, (_, s) in outputs.items()]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, results, self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="neo-cli tests")
        model.ir_version = ir_version
        onnx.checker.check_model(model)
        return model


def mlp(small: bool = False) -> onnx.ModelProto:
    """Three Gemm layers and a softmax."""
    g, width = Graph("mlp", 1), 32 if small else 512
    x, size = g.input("x", [1, width]), width
    for _ in range(2):
        w, b = g.constant(g.weights(size, size, scale=math.sqrt(2 / size))), g.constant(g.weights(size, scale=0.1), "b")
        x = g.op("Relu", g.op("Gemm", x, w, b, transB=1))
    w, b = g.constant(g.weights(10, size, scale=math.sqrt(1 / size))), g.constant(g.weights(10, scale=0.1), "b")
    return g.finish({"probabilities": (g.op("Softmax", g.op("Gemm", x, w, b, transB=1), axis=1), [1, 10])})


def mobilenetv2(small: bool = False) -> onnx.ModelProto:
    """MobileNetV2 1.0 at 224 (small: 0.25 at 64, first blocks of each stage)."""
    g, size = Graph("mobilenetv2", 2), 64 if small else 224

    def width(channels: int) -> int:
        return max(8, channels // 4) if small else channels

    def relu6(x: str) -> str:
        return g.op("Clip", x, low, high)

    low, high = g.constant(np.float32(0), "low"), g.constant(np.float32(6), "high")
    x = relu6(g.norm(g.conv(g.input("input", [1, 3, size, size]), 3, width(32), 3, 2, bias=False), width(32)))
    cin = width(32)
    for expand, channels, repeat, stride in [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]:
        for index in range(min(repeat, 2) if small else repeat):
            cout, hidden, step = width(channels), cin * expand, stride if index == 0 else 1
            y = x if expand == 1 else relu6(g.norm(g.conv(x, cin, hidden, 1, bias=False), hidden))
            y = relu6(g.norm(g.conv(y, hidden, hidden, 3, step, groups=hidden, bias=False), hidden))
            y = g.norm(g.conv(y, hidden, cout, 1, gain=1.0, bias=False), cout)
            x = g.op("Add", x, y) if step == 1 and cin == cout else y
            cin = cout
    last = width(1280)
    x = relu6(g.norm(g.conv(x, cin, last, 1, bias=False), last))
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    w, b = g.constant(g.weights(1000, last, scale=math.sqrt(1 / last))), g.constant(g.weights(1000, scale=0.1), "b")
    return g.finish({"output": (g.op("Gemm", x, w, b, transB=1), [1, 1000])})


def resnet50(small: bool = False) -> onnx.ModelProto:
    """ResNet-50 v1.5 at 224 (small: an eighth as wide, one block a stage, at 64)."""
    g, size, cut = Graph("resnet50", 3), 64 if small else 224, 8 if small else 1
    stem = 64 // cut
    x = g.op("Relu", g.norm(g.conv(g.input("input", [1, 3, size, size]), 3, stem, 7, 2, bias=False), stem))
    x, cin = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), stem
    for base, repeat, stride in [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]:
        mid, cout = base // cut, base * 4 // cut
        for index in range(1 if small else repeat):
            step = stride if index == 0 else 1
            y = g.op("Relu", g.norm(g.conv(x, cin, mid, 1, bias=False), mid))
            y = g.op("Relu", g.norm(g.conv(y, mid, mid, 3, step, bias=False), mid))
            y = g.norm(g.conv(y, mid, cout, 1, gain=0.2, bias=False), cout)
            short = (
                x if cin == cout and step == 1 else g.norm(g.conv(x, cin, cout, 1, step, gain=1.0, bias=False), cout)
            )
            x, cin = g.op("Relu", g.op("Add", y, short)), cout
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    w, b = g.constant(g.weights(1000, cin, scale=math.sqrt(1 / cin))), g.constant(g.weights(1000, scale=0.1), "b")
    return g.finish({"output": (g.op("Gemm", x, w, b, transB=1), [1, 1000])})


def _gelu(g: Graph, x: str) -> str:
    inner = g.op("Erf", g.op("Div", x, g.constant(np.float32(math.sqrt(2)), "sqrt2_")))
    outer = g.op("Mul", x, g.op("Add", inner, g.constant(np.float32(1), "one")))
    return g.op("Mul", outer, g.constant(np.float32(0.5), "half"))


def _layer_norm(g: Graph, x: str, width: int) -> str:
    scale, bias = (
        g.constant((1 + g.weights(width, scale=0.05)).astype(np.float32), "scale"),
        g.constant(g.weights(width, scale=0.05), "b"),
    )
    return g.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)


def _attention(g: Graph, x: str, mask: str, batch: int, length: int, width: int, heads: int) -> str:
    def split(y: str, order: list[int]) -> str:
        return g.op("Transpose", g.op("Reshape", y, g.ints(batch, length, heads, width // heads)), perm=order)

    q, k = split(g.dense(x, width, width), [0, 2, 1, 3]), split(g.dense(x, width, width), [0, 2, 3, 1])
    v = split(g.dense(x, width, width), [0, 2, 1, 3])
    scores = g.op("Div", g.op("MatMul", q, k), g.constant(np.float32(math.sqrt(width / heads)), "scale"))
    weights = g.op("Softmax", g.op("Add", scores, mask), axis=-1)
    mixed = g.op("Transpose", g.op("MatMul", weights, v), perm=[0, 2, 1, 3])
    return g.dense(g.op("Reshape", mixed, g.ints(batch, length, width)), width, width)


def bert(small: bool = False) -> onnx.ModelProto:
    """A BERT-base encoder on 128 token ids with an attention mask (small: 2 layers of 64 on 16)."""
    g = Graph("bert", 4)
    layers, width, heads, inner, vocabulary, length = (
        (2, 64, 4, 128, 100, 16) if small else (12, 768, 12, 3072, 30522, 128)
    )
    ids, mask = (
        g.input("input_ids", [1, length], TensorProto.INT64),
        g.input("attention_mask", [1, length], TensorProto.INT64),
    )
    words = g.op("Gather", g.constant(g.weights(vocabulary, width, scale=0.5)), ids, axis=0)
    x = _layer_norm(g, g.op("Add", words, g.constant(g.weights(1, length, width, scale=0.2))), width)
    wide = g.op("Unsqueeze", g.op("Cast", mask, to=TensorProto.FLOAT), g.ints(1, 2))
    hidden = g.op("Sub", g.constant(np.float32(1), "one"), wide)
    bias = g.op("Mul", hidden, g.constant(np.float32(-10000), "far"))
    for _ in range(layers):
        x = _layer_norm(g, g.op("Add", x, _attention(g, x, bias, 1, length, width, heads)), width)
        x = _layer_norm(g, g.op("Add", x, g.dense(_gelu(g, g.dense(x, width, inner)), inner, width)), width)
    pooled = g.op(
        "Tanh", g.dense(g.op("Squeeze", g.op("Slice", x, g.ints(0), g.ints(1), g.ints(1)), g.ints(1)), width, width)
    )
    return g.finish({"last_hidden_state": (x, [1, length, width]), "pooler_output": (pooled, [1, width])})


class _Yolo:
    """The blocks of a small YOLO: convolution with SiLU, cross-stage block, pyramid pooling."""

    def __init__(self, g: Graph) -> None:
        self.g = g

    def conv(self, x: str, cin: int, cout: int, kernel: int = 1, stride: int = 1) -> str:
        y = self.g.conv(x, cin, cout, kernel, stride)
        return self.g.op("Mul", y, self.g.op("Sigmoid", y))

    def block(self, x: str, cin: int, cout: int, repeat: int, short: bool = True) -> str:
        mid = cout // 2
        y = self.conv(x, cin, mid)
        for _ in range(repeat):
            z = self.conv(self.conv(y, mid, mid), mid, mid, 3)
            y = self.g.op("Add", y, z) if short else z
        return self.conv(self.g.op("Concat", y, self.conv(x, cin, mid), axis=1), mid * 2, cout)

    def pyramid(self, x: str, channels: int) -> str:
        parts = [self.conv(x, channels, channels // 2)]
        for _ in range(3):
            parts.append(self.g.op("MaxPool", parts[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4))
        return self.conv(self.g.op("Concat", *parts, axis=1), channels * 2, channels)

    def up(self, x: str) -> str:
        scales = self.g.constant(np.array([1, 1, 2, 2], np.float32), "scales")
        return self.g.op(
            "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )


def yolo(small: bool = False) -> onnx.ModelProto:
    """A YOLO of the v5-nano shape at 320 with decoded boxes (small: at 64, half as wide)."""
    g, size, b = Graph("yolo", 5), 64 if small else 320, 8 if small else 16
    y, classes = _Yolo(g), 80
    x = y.conv(g.input("images", [1, 3, size, size]), 3, b, 3, 2)
    x = y.block(y.conv(x, b, b * 2, 3, 2), b * 2, b * 2, 1)
    p3 = y.block(y.conv(x, b * 2, b * 4, 3, 2), b * 4, b * 4, 2)
    p4 = y.block(y.conv(p3, b * 4, b * 8, 3, 2), b * 8, b * 8, 3)
    p5 = y.pyramid(y.block(y.conv(p4, b * 8, b * 16, 3, 2), b * 16, b * 16, 1), b * 16)
    top = y.conv(p5, b * 16, b * 8)
    mid = y.conv(y.block(g.op("Concat", y.up(top), p4, axis=1), b * 16, b * 8, 1, False), b * 8, b * 4)
    low = y.block(g.op("Concat", y.up(mid), p3, axis=1), b * 8, b * 4, 1, False)
    mid = y.block(g.op("Concat", y.conv(low, b * 4, b * 4, 3, 2), mid, axis=1), b * 8, b * 8, 1, False)
    top = y.block(g.op("Concat", y.conv(mid, b * 8, b * 8, 3, 2), top, axis=1), b * 16, b * 16, 1, False)
    heads, rows = [], 0
    for feature, channels, stride in ((low, b * 4, 8), (mid, b * 8, 16), (top, b * 16, 32)):
        n = size // stride
        raw = g.op(
            "Reshape", g.conv(feature, channels, 3 * (5 + classes), 1, gain=1.0), g.ints(1, 3, 5 + classes, n, n)
        )
        ready = g.op("Sigmoid", g.op("Transpose", raw, perm=[0, 1, 3, 4, 2]))
        grid = np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).astype(np.float32)[None, None]
        centre = g.op("Slice", ready, g.ints(0), g.ints(2), g.ints(4))
        scale = g.op("Mul", g.op("Add", centre, g.constant(grid, "grid")), g.constant(np.float32(stride), "stride"))
        rest = g.op("Slice", ready, g.ints(2), g.ints(5 + classes), g.ints(4))
        heads.append(g.op("Reshape", g.op("Concat", scale, rest, axis=4), g.ints(1, 3 * n * n, 5 + classes)))
        rows += 3 * n * n
    return g.finish({"boxes": (g.op("Concat", *heads, axis=1), [1, rows, 5 + classes])})


BUILDERS: dict[str, Callable[[bool], onnx.ModelProto]] = {
    "mlp": mlp, "mobilenetv2": mobilenetv2, "resnet50": resnet50, "bert": bert, "yolo": yolo,
}  # fmt: skip


def save(name: str, folder: Path, small: bool = False) -> Path:
    """Write the model `name` into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(BUILDERS[name](small).SerializeToString())
    return path


if __name__ == "__main__":
    import sys

    for wanted in sys.argv[2:] or BUILDERS:
        print(save(wanted, Path(sys.argv[1])))
