"""Networks of volumes, of signals and with growing images, beside those of builders.py and made as they are.

`WIDER` maps a name to a function `(small=False) -> ModelProto`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from models.builders import Graph


class Deep(Graph):
    """A graph with convolutions of any number of axes."""

    def window(
        self,
        x: str,
        cin: int,
        cout: int,
        kernel: Sequence[int],
        stride: int = 1,
        gain: float = 2.0,
        first: int | None = None,
    ) -> str:
        """A convolution with padding that keeps the size; `first` is the stride along the first axis when it differs."""
        w = self.constant(self.weights(cout, cin, *kernel, scale=math.sqrt(gain / cin / math.prod(kernel))))
        b = self.constant(self.weights(cout, scale=0.05), "b")
        strides = [stride if first is None else first, *[stride] * (len(kernel) - 1)]
        pads = [k // 2 for k in kernel] * 2
        return self.op("Conv", x, w, b, kernel_shape=list(kernel), strides=strides, pads=pads)

    def up(
        self, x: str, cin: int, cout: int, kernel: Sequence[int], stride: int, pad: int = 0, gain: float = 2.0
    ) -> str:
        """A transposed convolution."""
        w = self.constant(
            self.weights(cin, cout, *kernel, scale=math.sqrt(gain * stride ** len(kernel) / cin / math.prod(kernel)))
        )
        b = self.constant(self.weights(cout, scale=0.05), "b")
        steps, pads = [stride] * len(kernel), [pad] * 2 * len(kernel)
        return self.op("ConvTranspose", x, w, b, kernel_shape=list(kernel), strides=steps, pads=pads)


def resnet3d(small: bool = False) -> onnx.ModelProto:
    """R3D-18 on 8 frames of 112 x 112 (small: an eighth as wide, at 32)."""
    g, size, cut = Deep("resnet3d", 6), 32 if small else 112, 8 if small else 1
    cin = 64 // cut
    x = g.input("frames", [1, 3, 8, size, size])
    x = g.op("Relu", g.norm(g.window(x, 3, cin, (3, 7, 7), 2, first=1), cin))
    for channels, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        for index in range(1 if small else 2):
            cout, step = channels // cut, stride if index == 0 else 1
            y = g.op("Relu", g.norm(g.window(x, cin, cout, (3, 3, 3), step), cout))
            y = g.norm(g.window(y, cout, cout, (3, 3, 3), gain=0.3), cout)
            short = x if step == 1 and cin == cout else g.norm(g.window(x, cin, cout, (1, 1, 1), step, gain=1.0), cout)
            x, cin = g.op("Relu", g.op("Add", y, short)), cout
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    w, b = g.constant(g.weights(400, cin, scale=math.sqrt(1 / cin))), g.constant(g.weights(400, scale=0.1), "b")
    return g.finish({"classes": (g.op("Gemm", x, w, b, transB=1), [1, 400])})


def _unet(g: Deep, shape: Sequence[int], base: int, depth: int) -> onnx.ModelProto:
    """Two convolutions a level, halved by pooling, doubled by transposed convolutions, joined by concatenation."""
    rank = len(shape)
    three, two = (3,) * rank, (2,) * rank

    def level(x: str, cin: int, cout: int) -> str:
        for a, b in ((cin, cout), (cout, cout)):
            x = g.op("Relu", g.norm(g.window(x, a, b, three), b))
        return x

    x, cin, kept = g.input("image", [1, 1, *shape]), 1, []
    for i in range(depth):
        x = level(x, cin, base << i)
        cin = base << i
        kept.append(x)
        x = g.op("MaxPool", x, kernel_shape=two, strides=two)
    x = level(x, cin, base << depth)
    for i in reversed(range(depth)):
        x = g.op("Concat", g.up(x, base << i + 1, base << i, two, 2), kept[i], axis=1)
        x = level(x, base << i + 1, base << i)
    return g.finish({"mask": (g.op("Sigmoid", g.window(x, base, 3, (1,) * rank, gain=1.0)), [1, 3, *shape])})


def unet(small: bool = False) -> onnx.ModelProto:
    """A U-Net of four levels at 256 x 256 (small: at 48, two levels of 8 channels)."""
    return _unet(Deep("unet", 7), (48, 48), 8, 2) if small else _unet(Deep("unet", 7), (256, 256), 32, 4)


def unet3d(small: bool = False) -> onnx.ModelProto:
    """A U-Net of volumes, 32 x 64 x 64 (small: 8 x 12 x 16)."""
    return _unet(Deep("unet3d", 8), (8, 12, 16), 8, 1) if small else _unet(Deep("unet3d", 8), (32, 64, 64), 16, 3)


def dcgan(small: bool = False) -> onnx.ModelProto:
    """The generator of DCGAN: 100 numbers to an image of 64 x 64 (small: an eighth as wide, 16 x 16)."""
    g, base = Deep("dcgan", 9), 8 if small else 64
    widths = [base << i for i in reversed(range(2 if small else 4))]
    x = g.up(g.input("noise", [1, 100, 1, 1]), 100, widths[0], (4, 4), 1)
    for cin, cout in itertools.pairwise(widths):
        x = g.up(g.op("Relu", g.norm(x, cin)), cin, cout, (4, 4), 2, 1)
    size = 4 << len(widths)
    image = g.op("Tanh", g.up(g.op("Relu", g.norm(x, base)), base, 3, (4, 4), 2, 1, gain=1.0))
    return g.finish({"image": (image, [1, 3, size, size])})


def wavenet(small: bool = False) -> onnx.ModelProto:
    """Gated causal convolutions, dilated 1 to 512 twice, over 4000 samples (small: 1 to 4 once, over 61)."""
    g, length, width, top = Deep("wavenet", 10), 61 if small else 4000, 16 if small else 64, 3 if small else 10
    zero = g.constant(np.float32(0), "zero")

    def causal(x: str, cin: int, cout: int, dilation: int) -> str:
        w = g.constant(g.weights(cout, cin, 2, scale=math.sqrt(1 / cin)))
        b = g.constant(g.weights(cout, scale=0.05), "b")
        padded = g.op("Pad", x, g.ints(0, 0, dilation, 0, 0, 0), zero)
        return g.op("Conv", padded, w, b, kernel_shape=[2], dilations=[dilation])

    x, skips = causal(g.input("samples", [1, 1, length]), 1, width, 1), ""
    for dilation in [1 << i for i in range(top)] * (1 if small else 2):
        both = causal(x, width, 2 * width, dilation)
        halves = [f"{both}_{i}" for i in range(2)]
        g.nodes.append(onnx.helper.make_node("Split", [both], halves, name=f"{both}_split", axis=1))
        gated = g.op("Mul", g.op("Tanh", halves[0]), g.op("Sigmoid", halves[1]))
        skip = g.window(gated, width, width, (1,), gain=0.5)
        x = g.op("Add", x, g.window(gated, width, width, (1,), gain=0.5))
        skips = g.op("Add", skips, skip) if skips else skip
    y = g.op("Relu", g.window(g.op("Relu", skips), width, width, (1,)))
    return g.finish({"levels": (g.window(y, width, 256, (1,), gain=1.0), [1, 256, length])})


def _recurrent(g: Graph, op: str, x: str, width: int, hidden: int, directions: int = 1) -> str:
    """[T, 1, width] to [T, 1, directions * hidden], as PyTorch exports it."""
    rows = {"LSTM": 4, "GRU": 3}[op] * hidden
    w = g.constant(g.weights(directions, rows, width, scale=math.sqrt(1 / width)))
    r = g.constant(g.weights(directions, rows, hidden, scale=math.sqrt(1 / hidden)))
    b = g.constant(g.weights(directions, 2 * rows, scale=0.1), "b")
    direction = "bidirectional" if directions > 1 else "forward"
    extra = {"linear_before_reset": 1} if op == "GRU" else {}
    y = g.op(op, x, w, r, b, outputs=3 if op == "LSTM" else 2, hidden_size=hidden, direction=direction, **extra)
    return g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.ints(0, 0, -1))


def lstm(small: bool = False) -> onnx.ModelProto:
    """Three LSTM layers of 256 over 100 frames of 80 numbers, and a bidirectional GRU of 128 (small: 20 over 7)."""
    g = Graph("lstm", 11)
    steps, width, hidden = (7, 10, 20) if small else (100, 80, 256)
    x = g.input("frames", [steps, 1, width])
    for _ in range(1 if small else 3):
        x, width = _recurrent(g, "LSTM", x, width, hidden), hidden
    x = _recurrent(g, "GRU", x, hidden, hidden // 2, 2)
    return g.finish({"letters": (g.op("Softmax", g.dense(x, hidden, 30), axis=-1), [steps, 1, 30])})


WIDER: dict[str, Callable[[bool], onnx.ModelProto]] = {
    "resnet3d": resnet3d, "unet": unet, "unet3d": unet3d, "dcgan": dcgan, "wavenet": wavenet, "lstm": lstm,
}  # fmt: skip
