"""Small models that between them use every kind of kernel, for tests that run all of them in some special way."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from backends.graphs import as_model, feeds
from backends.native.rules_bench import model_of
from backends.native.test_attention import joined, separate
from backends.native.test_ops_targets import merged, samples
from backends.native.test_ops_trees import MODES, pinned, random_forest
from models.builders import BUILDERS, Graph
from neo_cli.model.model import Model

Arrays = dict[str, np.ndarray]


@dataclass
class Case:
    """A model, inputs, and what ONNX Runtime makes of them."""

    model: Model
    feeds: list[Arrays]
    wanted: list[Arrays]


def winograd(size: tuple[int, int] = (13, 11)) -> onnx.ModelProto:
    """Both tile sizes, tiles cut at the edge, a sum before and after the activation."""
    g = Graph("winograd", 4)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, *size]), 3, 64, 3))
    x = g.op("Relu", g.op("Add", g.conv(x, 64, 64, 3), x))
    y = g.conv(x, 64, 50, 3)
    y = g.op("Mul", y, g.op("Sigmoid", y))
    return g.finish({"y": (g.op("Add", y, g.conv(x, 64, 50, 1)), [1, 50, *size])})


def bands(channels: int = 16, size: int = 160) -> onnx.ModelProto:
    """Inverted residuals wide enough for bands of rows."""
    g = Graph("bands", 5)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, size, size]), 3, channels, 3, 2))
    for stride in (1, 2):
        y = g.op("Relu", g.conv(x, channels, 6 * channels, 1))
        y = g.op("Relu", g.conv(y, 6 * channels, 6 * channels, 3, stride, groups=6 * channels))
        y = g.conv(y, 6 * channels, channels, 1)
        x = g.op("Add", x, y) if stride == 1 else y
    return g.finish({"y": (x, [1, channels, size // 4, size // 4])})


def depthwise() -> onnx.ModelProto:
    """Depthwise and grouped convolutions of odd widths, strided and dilated, between pools and a resize."""
    g = Graph("depthwise", 6)
    x = g.op("HardSwish", g.conv(g.input("x", [2, 5, 19, 23]), 5, 21, 3))
    x = g.op("Relu", g.conv(x, 21, 21, 5, 1, groups=21))
    x = g.op("LeakyRelu", g.conv(x, 21, 21, 3, 2, groups=21), alpha=0.1)
    x = g.op("MaxPool", g.conv(x, 21, 42, 3, groups=3), kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    x = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Resize", x, "", g.constant(np.array([1, 1, 2, 2], np.float32)), mode="nearest")
    x = g.op("Concat", x, g.conv(x, 42, 13, 1), axis=1)
    y = g.op("GlobalAveragePool", g.conv(x, 55, 33, 3, 2))
    return g.finish({"y": (y, [2, 33, 1, 1])})


def recurrent() -> onnx.ModelProto:
    """An LSTM in both directions, then a GRU."""
    g = Graph("recurrent", 7)
    steps, batch, width, hidden = 5, 3, 7, 9
    x = g.input("x", [steps, batch, width])

    def cell(kind: str, x: str, width: int, gates: int, directions: int, **attrs: object) -> str:
        w, r = ([directions, gates * hidden, n] for n in (width, hidden))
        parts = [g.constant(g.weights(*shape, scale=0.4)) for shape in (w, r, [directions, 2 * gates * hidden])]
        return g.op(kind, x, *parts, hidden_size=hidden, outputs=1, **attrs)

    y = cell("LSTM", x, width, 4, 2, direction="bidirectional")
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.ints(steps, batch, 2 * hidden))
    y = cell("GRU", y, 2 * hidden, 3, 1, linear_before_reset=1)
    return g.finish({"y": (y, [steps, 1, batch, hidden])})


def transformer() -> onnx.ModelProto:
    return BUILDERS["bert"](True)


NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "winograd": winograd,
    "bands": bands,
    "depthwise": depthwise,
    "recurrent": recurrent,
    "transformer": transformer,
    "attention": lambda: separate(13, 2, 3, True),
    "joined attention": lambda: joined(21, 2, 2),
    "detector": lambda: BUILDERS["yolo"](True),
    "residual": lambda: BUILDERS["resnet50"](True),
    "trees": lambda: pinned(random_forest(9, MODES, 3), 17),
}
MANY = "many operators"  # of every family of random_families.py, the quantised ones among them


@functools.cache
def _many() -> tuple[onnx.ModelProto, Arrays, Arrays]:
    return merged(samples())


def case(name: str, work: Path) -> Case:
    """One of NETS, or MANY, with two different inputs (MANY has one)."""
    if name == MANY:
        graph, inputs, wanted = _many()
        return Case(model_of(graph), [inputs], [wanted])
    model = as_model(NETS[name](), work)
    given = [feeds(model, 1), feeds(model, 2)]
    return Case(model, given, [model.oracle(feed) for feed in given])


def off(found: Arrays, wanted: Arrays) -> float:
    """The largest difference relative to each tensor's largest value; half precision counts for a hundredth."""
    worst = 0.0
    for name, array in wanted.items():
        one, two = found[name].astype(np.float64), array.astype(np.float64)
        same = (one == two) | (np.isnan(one) & np.isnan(two))
        scale = np.abs(two[np.isfinite(two)]).max(initial=1e-3)
        error = float(np.abs(np.where(same, 0.0, one - two)).max(initial=0.0)) / scale
        worst = max(worst, error / 100 if array.dtype == np.float16 else error)
    return worst
