"""Random small networks: convolutions, what lies between them, and a head of rows, wired at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx

from backends.native.kernel_cases import inferred
from models.builders import Graph

Shape = tuple[int, int, int, int]


@dataclass
class Network:
    """A graph under construction and the images that it has so far."""

    g: Graph
    rng: np.random.Generator
    images: list[tuple[str, Shape]] = field(default_factory=list)

    def pick(self, *choices: object) -> object:
        return choices[int(self.rng.integers(len(choices)))]

    def image(self) -> tuple[str, Shape]:
        """The last one more often than an old one."""
        return self.images[-1 if self.rng.random() < 0.7 else int(self.rng.integers(len(self.images)))]

    def put(self, name: str, shape: Shape) -> None:
        self.images.append((name, shape))


def convolve(n: Network) -> None:
    x, (batch, channels, height, width) = n.image()
    kernel, stride = int(n.pick(1, 1, 3, 3, 5)), int(n.pick(1, 1, 1, 2))
    depthwise = n.rng.random() < 0.25
    out = channels if depthwise else int(n.pick(1, 3, 8, 17, 24, 33))
    y = n.g.conv(x, channels, out, kernel, stride, channels if depthwise else 1, bias=bool(n.pick(0, 1)))
    if n.rng.random() < 0.4:
        y = n.g.norm(y, out)
    size = ((height - 1) // stride + 1, (width - 1) // stride + 1)
    n.put(y, (batch, out, *size))


def activate(n: Network) -> None:
    x, shape = n.image()
    kind = str(n.pick("Relu", "Relu", "Sigmoid", "Tanh", "HardSwish", "LeakyRelu", "Elu", "Silu", "Clip"))
    if kind == "Silu":
        y = n.g.op("Mul", x, n.g.op("Sigmoid", x))
    elif kind == "Clip":
        y = n.g.op("Clip", x, *(n.g.constant(np.float32(v), "limit") for v in (0.0, 1.5)))
    else:
        y = n.g.op(kind, x)
    n.put(y, shape)


def combine(n: Network) -> None:
    """A sum, product, difference or concatenation with another image of the same shape, or of the same size."""
    x, shape = n.image()
    alike = [name for name, other in n.images if other == shape]
    beside = [(name, other) for name, other in n.images if other[0] == shape[0] and other[2:] == shape[2:]]
    if n.rng.random() < 0.4:
        name, other = beside[int(n.rng.integers(len(beside)))]
        n.put(n.g.op("Concat", x, name, axis=1), (shape[0], shape[1] + other[1], *shape[2:]))
    else:
        n.put(n.g.op(str(n.pick("Add", "Add", "Mul", "Sub")), x, str(n.pick(*alike))), shape)


def gate(n: Network) -> None:
    """Squeeze and excitation."""
    x, shape = n.image()
    y = n.g.op("Sigmoid", n.g.conv(n.g.op("GlobalAveragePool", x), shape[1], shape[1], 1))
    n.put(n.g.op("Mul", x, y), shape)


def pool(n: Network) -> None:
    x, (batch, channels, height, width) = n.image()
    if min(height, width) < 3:
        return
    stride = int(n.pick(1, 2))
    y = n.g.op(str(n.pick("MaxPool", "AveragePool")), x, kernel_shape=[3, 3], strides=[stride] * 2, pads=[1] * 4)
    n.put(y, (batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1))


def grow(n: Network) -> None:
    x, (batch, channels, height, width) = n.image()
    if height * width > 400:
        return
    scales = n.g.constant(np.array([1, 1, 2, 2], np.float32), "scales")
    y = n.g.op(
        "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    n.put(y, (batch, channels, height * 2, width * 2))


def cut(n: Network) -> None:
    """Some of the channels."""
    x, (batch, channels, height, width) = n.image()
    if channels < 2:
        return
    first = int(n.rng.integers(0, channels - 1))
    last = int(n.rng.integers(first + 1, channels + 1))
    y = n.g.op("Slice", x, n.g.ints(first), n.g.ints(last), n.g.ints(1))
    n.put(y, (batch, last - first, height, width))


STEPS: tuple[Callable[[Network], None], ...] = (
    convolve, convolve, convolve, convolve, activate, activate, combine, combine, gate, pool, grow, cut,
)  # fmt: skip


def head(n: Network) -> str:
    """The last image as rows: a product, a norm, another product, softmax."""
    x, (batch, channels, height, width) = n.images[-1]
    rows = n.g.op("Transpose", n.g.op("Reshape", x, n.g.ints(batch, channels, height * width)), perm=[0, 2, 1])
    out = int(n.pick(3, 16, 17))
    y = n.g.dense(rows, channels, out)
    scale, shift = (n.g.constant(n.g.weights(out, scale=1.0), "n") for _ in range(2))
    y = n.g.op("LayerNormalization", y, scale, shift, axis=-1)
    return n.g.op("Softmax", n.g.dense(n.g.op("Relu", y), out, 5), axis=-1)


def networks(seed: int, count: int = 6) -> onnx.ModelProto:
    """`count` networks side by side, each with one input and two outputs, one of them in the middle of things."""
    rng = np.random.default_rng(seed)
    g, outputs = Graph("networks", seed % 1000), {}
    for index in range(count):
        n = Network(g, rng)
        shape = (int(n.pick(1, 1, 2)), int(n.pick(1, 3, 8, 17)), int(rng.integers(3, 24)), int(rng.integers(3, 36)))
        n.put(g.input(f"in{index}", shape), shape)
        convolve(n)
        for _ in range(int(rng.integers(3, 9))):
            STEPS[int(rng.integers(len(STEPS)))](n)
        outputs[f"out{index}"] = head(n) if rng.random() < 0.5 else n.images[-1][0]
        outputs[f"inner{index}"] = n.image()[0]
    return inferred(g, outputs)
