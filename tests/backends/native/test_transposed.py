"""Transposed convolutions of every stride, padding, dilation and group, on blocked layouts, are ONNX Runtime's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from backends.native.windows import WIDTHS, Case, agree, draw, graph
from models.builders import Graph
from neo_cli.backends.native import compile
from neo_cli.targets.devices import targets


def cases(rank: int, seed: int, count: int) -> list[Case]:
    random = np.random.default_rng(seed)
    return [draw(random, rank, transposed=True, largest=8 if rank == 3 else 12) for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("rank", [2, 3])
def test_random_transposed_convolutions(start, target, rank):
    drawn = cases(rank, rank, 5) + cases(1, 1, 2)
    agree(start, target, graph(drawn), 1e-5, {f"y{index}": case for index, case in enumerate(drawn)})


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "ml_m6g",
        pytest.param("LINUX_ARM_EABIHF", marks=pytest.mark.long),
        "LINUX_ARM_EABI",
        pytest.param("ANDROID_X86", marks=pytest.mark.long),
    ],
)
def test_other_processors_agree(tmp_path: Path, target):
    model = as_model(graph(cases(2, 5, 4) + cases(3, 6, 1)), tmp_path)
    build = compile(model, targets()[target], {}, tmp_path)
    if build.emulate is None:
        pytest.skip("qemu-user is not installed here")
    feed = feeds(model)
    assert error(build.emulate(feed), model.oracle(feed)) < 1e-5


def test_a_transposed_convolution_takes_in_norm_and_activation_and_stays_blocked(start):
    g = Graph("up", 3)
    x = g.conv(g.input("x", [1, 3, 9, 7]), 3, 20, 3)
    w = g.constant(g.weights(20, 12, 4, 4, scale=0.1))
    y = g.op("Relu", g.norm(g.op("ConvTranspose", x, w, kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4), 12))
    model, engine = start(g.finish({"y": (g.conv(y, 12, 5, 3), [1, 5, 18, 14])}), threads=2)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 5e-6
    text = (Path(engine.library.path).parent.parent / "build0" / "3-layout.txt").read_text()
    assert " = ConvTranspose(" not in text
    assert text.count("fast.Reorder") == 2  # in and out
    assert "BatchNormalization(" not in text


def test_a_growing_image_is_not_made_in_bands(start):
    """Expansion, depthwise step and projection go in bands of rows, but not when the step writes every second pixel."""
    g = Graph("growing", 3)
    x = g.op("Relu", g.conv(g.input("x", [1, 16, 80, 80]), 16, 96, 1))
    w = g.constant(g.weights(96, 1, 4, 4, scale=0.2))
    x = g.op("ConvTranspose", x, w, kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4, group=96)
    model, engine = start(g.finish({"y": (g.conv(x, 96, 16, 1), [1, 16, 160, 160])}), threads=2)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 5e-6


def test_pixels_that_no_tap_reaches_are_the_bias(start):
    g = Graph("gaps", 3)
    w, b = g.constant(g.weights(4, 6, 2, 2, scale=0.5)), g.constant(g.weights(6, scale=1.0), "b")
    y = g.op("ConvTranspose", g.input("x", [2, 4, 3, 5]), w, b, kernel_shape=[2, 2], strides=[3, 4])
    model, engine = start(g.finish({"y": (y, [2, 6, 8, 18])}))
    feed = feeds(model)
    found = engine.run(feed)
    assert error(found, model.oracle(feed)) < 1e-6
    assert np.ptp(found["y"][0, 1, 2]) == 0
