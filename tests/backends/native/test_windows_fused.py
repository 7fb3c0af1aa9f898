"""Zeros before a convolution, cuts behind it, taps on padding alone and splits of channels cost no step of their own."""

from __future__ import annotations

import numpy as np
import pytest

from backends.graphs import error, feeds
from models.builders import Graph


def ran(start, g: Graph, outputs: dict, **options: object) -> str:
    """The network compiled, checked against ONNX Runtime, as the text of its last stage."""
    model, engine = start(g.finish({f"out_{k}": v for k, v in outputs.items()}), threads=2, **options)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 5e-6
    return (engine.library.path.parent.parent / "build0" / "3-layout.txt").read_text()


def test_signals_padded_before_and_cut_behind(start):
    g = Graph("causal", 3)
    zero = g.constant(np.float32(0), "zero")
    x = g.op("Pad", g.input("x", [2, 5, 31]), g.ints(0, 0, 6, 0, 0, 0), zero)
    x = g.op("Conv", x, g.constant(g.weights(16, 5, 3, scale=0.3)), kernel_shape=[3], dilations=[3])
    y = g.op("Conv", x, g.constant(g.weights(7, 16, 4, scale=0.2)), kernel_shape=[4], pads=[3, 3])
    y = g.op("Relu", g.op("Slice", y, g.ints(0), g.ints(-3), g.ints(2)))
    z = g.op("Conv", x, g.constant(g.weights(7, 16, 3, scale=0.2)), kernel_shape=[3], strides=[2], pads=[2, 2])
    z = g.op("Slice", z, g.ints(3), g.ints(1000), g.ints(2))
    up = g.op("ConvTranspose", y, g.constant(g.weights(7, 4, 5, scale=0.2)), kernel_shape=[5], strides=[2])
    up = g.op("Slice", up, g.ints(1), g.ints(-2), g.ints(-1))
    text = ran(start, g, {"up": (up, [2, 4, 62]), "z": (z, [2, 7, 14])})
    assert "Pad(" not in text
    assert "Slice(" not in text


def test_images_and_volumes_padded_before(start):
    g = Graph("same", 3)
    x = g.op("Pad", g.input("x", [1, 3, 12, 9]), g.ints(0, 0, 0, 1, 0, 0, 1, 2))
    w = g.constant(g.weights(24, 3, 3, 3, scale=0.3))
    x = g.op("Relu", g.op("Conv", x, w, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 0]))
    v = g.op("Pad", g.input("v", [2, 3, 4, 6, 5]), g.ints(0, 0, 2, 1, 0, 0, 0, 0, 1, 2))
    v = g.op("Conv", v, g.constant(g.weights(9, 3, 2, 2, 2, scale=0.3)), kernel_shape=[2, 2, 2])
    v = g.op("Slice", v, g.ints(1, 2), g.ints(5, 7), g.ints(2, 3))
    text = ran(start, g, {"x": (x, [1, 24, 6, 5]), "v": (v, [2, 9, 4, 5, 6])})
    assert "Pad(" not in text
    assert "Slice(" not in text


@pytest.mark.parametrize("mode", ["reflect", "ones"])
def test_other_padding_stays(start, mode):
    g = Graph("other", 3)
    value = [g.constant(np.float32(1), "one")] if mode == "ones" else []
    attrs = {} if mode == "ones" else {"mode": mode}
    x = g.op("Pad", g.input("x", [1, 3, 12, 9]), g.ints(0, 0, 1, 1, 0, 0, 1, 2), *value, **attrs)
    x = g.op("Conv", x, g.constant(g.weights(8, 3, 3, 3, scale=0.3)), kernel_shape=[3, 3])
    assert "Pad(" in ran(start, g, {"x": (x, [1, 8, 12, 10])})


def test_taps_that_meet_only_padding_are_dropped(start):
    g = Graph("dead", 3)
    x = g.op(
        "Conv",
        g.input("x", [1, 6, 1, 1]),
        g.constant(g.weights(8, 6, 3, 3, scale=0.3)),
        kernel_shape=[3, 3],
        pads=[1] * 4,
    )
    w = g.constant(g.weights(8, 6, 3, 3, 3, scale=0.2))
    y = g.op("Conv", g.input("y", [1, 6, 1, 5, 5]), w, kernel_shape=[3] * 3, pads=[1] * 6, strides=[2] * 3)
    z = g.op("Conv", g.input("z", [1, 6, 4, 4]), g.constant(g.weights(8, 6, 3, 3, scale=0.2)), kernel_shape=[3, 3],
             dilations=[6, 6], pads=[6] * 4)  # fmt: skip
    text = ran(start, g, {"x": (x, [1, 8, 1, 1]), "y": (y, [1, 8, 1, 3, 3]), "z": (z, [1, 8, 4, 4])})
    for shape in ("8x6x1x1]", "8x6x1x3x3]"):
        assert shape in text
    assert text.count("8x6x1x1]") == 2


def test_channels_split_at_whole_blocks_stay_where_they_are(start):
    g = Graph("split", 3)
    x = g.conv(g.input("x", [1, 3, 9, 7]), 3, 48, 3)
    names = ["a", "b"]
    g.nodes.append(_split(x, names, g.ints(16, 32)))
    inner = ["c", "d"]
    g.nodes.append(_split("b", inner, g.ints(16, 16)))
    y = g.op("Concat", g.op("Mul", g.op("Tanh", "a"), g.op("Sigmoid", "c")), "d", axis=1)
    y = g.conv(y, 32, 5, 3)
    text = ran(start, g, {"y": (y, [1, 5, 9, 7])})
    assert "Split(" not in text
    assert text.count("fast.Reorder") == 2


def _split(x: str, names: list[str], sizes: str):
    from onnx import helper

    return helper.make_node("Split", [x, sizes], names, name=f"split_{x}", axis=1)
