"""Three- and one-dimensional convolutions and the steps between them are ONNX Runtime's, and stay on blocked layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.graphs import as_model, error, feeds
from backends.native.test_networks import HERE, runs
from backends.native.windows import Case, draw, graph
from models.builders import Graph
from neo_cli.backends.native import compile
from neo_cli.targets.devices import targets


def cases(rank: int, seed: int, count: int) -> list[Case]:
    random = np.random.default_rng(seed)
    return [draw(random, rank, transposed=False, largest=9 if rank == 3 else 30) for _ in range(count)]


def steps(batch: int = 1) -> onnx.ModelProto:
    """What lies between convolutions of volumes: norm, pooling, sum, product, concatenation, repetition, global pooling."""
    g = Graph("steps", 4)

    def conv(x: str, cin: int, cout: int, kernel: int = 3) -> str:
        w = g.constant(g.weights(cout, cin, *[kernel] * 3, scale=(2 / cin / kernel**3) ** 0.5))
        return g.op("Conv", x, w, kernel_shape=[kernel] * 3, pads=[kernel // 2] * 6)

    x = conv(g.input("x", [batch, 3, 7, 9, 11]), 3, 32)
    y = g.op("MaxPool", x, kernel_shape=[3, 3, 3], strides=[2, 2, 2], pads=[1] * 6)
    y = conv(g.op("Relu", g.norm(y, 32)), 32, 16)
    z = g.op("AveragePool", x, kernel_shape=[3, 2, 3], strides=[2, 2, 2], pads=[1, 1, 1, 1, 0, 1], count_include_pad=0)
    z = g.op("Sigmoid", conv(z, 32, 16, 1))
    gate = g.op("Sigmoid", conv(g.op("GlobalAveragePool", y), 16, 16, 1))
    both = g.op("Concat", g.op("Mul", y, gate), g.op("Add", y, z), axis=1)
    scales = g.constant(np.array([1, 1, 2, 2, 3], np.float32), "scales")
    up = g.op(
        "Resize", both, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    out = conv(up, 32, 5)
    top = g.op("GlobalMaxPool", conv(both, 32, 8))
    return g.finish({"y": (out, [batch, 5, 8, 10, 18]), "top": (top, [batch, 8, 1, 1, 1])})


@pytest.mark.slow
@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("rank", [1, 3])
def test_random_convolutions(start, target, rank):
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    drawn = cases(rank, rank, 12)
    model, engine = start(graph(drawn), threads=2, target=target)
    feed = feeds(model)
    found, wanted = engine.run(feed), model.oracle(feed)
    for index, case in enumerate(drawn):
        name = f"y{index}"
        assert error({name: found[name]}, {name: wanted[name]}) < 1e-5, case


@pytest.mark.slow
@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("batch", [1, 2])
def test_steps_between_volumes(tmp_path: Path, target, batch):
    """Every tensor, not the outputs alone."""
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    model = as_model(steps(batch), tmp_path)
    build = compile(model, targets()[target], {"check_all": True}, tmp_path)
    assert "tensors compared" in build.notes[-1]
    text = (tmp_path / "3-layout.txt").read_text()
    assert text.count("fast.Reorder") == 3  # the input and the two outputs


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize("target", ["ml_m6g", "LINUX_ARM_EABIHF", "LINUX_ARM_EABI", "ANDROID_X86"])
def test_other_processors_agree(tmp_path: Path, target):
    for index, made in enumerate((graph(cases(3, 5, 5) + cases(1, 6, 4)), steps())):
        folder = tmp_path / str(index)
        folder.mkdir()
        model = as_model(made, folder)
        build = compile(model, targets()[target], {}, folder)
        if build.emulate is None:
            pytest.skip("qemu-user is not installed here")
        feed = feeds(model)
        assert error(build.emulate(feed), model.oracle(feed)) < 1e-5


def test_the_bits_do_not_depend_on_the_number_of_threads(start):
    found = []
    for threads in (1, 2, 5):
        model, engine = start(steps(), threads=threads)
        found.append(engine.run(feeds(model)))
    wanted = model.oracle(feeds(model))
    assert error(found[0], wanted) < 1e-5
    assert all(np.array_equal(found[0][key], other[key]) for other in found[1:] for key in wanted)
