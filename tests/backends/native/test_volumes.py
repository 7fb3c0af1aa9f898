"""Three- and one-dimensional convolutions and the steps between them are ONNX Runtime's, and stay on blocked layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.graphs import as_model, error, feeds
from backends.native.test_networks import runs
from backends.native.windows import WIDTHS, Case, agree, draw, graph
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
    scale, shift = (g.constant(g.weights(16, scale=1.0)) for _ in range(2))
    y = g.op("LeakyRelu", g.op("InstanceNormalization", y, scale, shift))
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
@pytest.mark.parametrize("target", WIDTHS)
@pytest.mark.parametrize("rank", [1, 3])
def test_random_convolutions(start, target, rank):
    drawn = cases(rank, rank, 5)
    agree(start, target, graph(drawn), 1e-5, {f"y{index}": case for index, case in enumerate(drawn)})


@pytest.mark.slow
@pytest.mark.parametrize(("target", "batch"), [("LINUX_X86_64", 1), ("ml_m4", 2), ("ml_c5", 1)])
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
@pytest.mark.parametrize(
    "target", ["ml_m6g", "LINUX_ARM_EABIHF", pytest.param("LINUX_ARM_EABI", marks=pytest.mark.long), "ANDROID_X86"]
)
def test_other_processors_agree(tmp_path: Path, target):
    made = steps() if target in ("LINUX_ARM_EABI", "LINUX_ARM_EABIHF") else graph(cases(3, 5, 3) + cases(1, 6, 3))
    model = as_model(made, tmp_path)
    build = compile(model, targets()[target], {}, tmp_path)
    if build.emulate is None:
        pytest.skip("qemu-user is not installed here")
    feed = feeds(model)
    assert error(build.emulate(feed), model.oracle(feed)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
def test_winograd_of_volumes_agrees_with_direct_within_its_tolerance(start, batch):
    case = Case(
        False,
        (32, 48),
        batch,
        1,
        (5, 13, 11),
        (3, 3, 3),
        "ar",
        {"strides": [1] * 3, "dilations": [2, 1, 1], "pads": [2, 1, 1] * 2},
    )
    made = graph([case], after=False)
    (model, fast), (_, plain) = start(made, threads=2), start(made, winograd="off")
    assert "winograd_in" in (fast.library.path.parent.parent / "build0" / "5-compiled.c").read_text()
    feed = feeds(model)
    wanted = model.oracle(feed)
    assert error(plain.run(feed), wanted) < 2e-6
    assert error(fast.run(feed), wanted) < 5e-5


def test_very_many_passes_are_a_loop(start, monkeypatch):
    """The same bits as from steps of their own, on any number of threads."""
    from neo_cli.backends.native import schedule
    from neo_cli.backends.native.fast import winograd

    monkeypatch.setattr(schedule, "winograd_pass", lambda *sizes: 7)
    case = Case(
        False, (16, 16), 2, 1, (3, 20, 18), (3, 3, 3), "r", {"strides": [1] * 3, "dilations": [1] * 3, "pads": [1] * 6}
    )
    made, found = graph([case], after=False), []
    for passes, threads in ((1000, 1), (1, 1), (1, 3)):
        monkeypatch.setattr(winograd, "PASSES", passes)
        model, engine = start(made, threads=threads)
        found.append(engine.run(feeds(model))["y0"])
    texts = [(engine.library.path.parent.parent / f"build{i}" / "5-compiled.c").read_text() for i in (0, 1)]
    assert ["first += 7" in text for text in texts] == [False, True]
    assert error({"y0": found[0]}, model.oracle(feeds(model))) < 5e-5
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_slices_are_images_to_the_bit(start):
    """A convolution within slices is that of as many images: two layouts of one arithmetic."""
    random = np.random.default_rng(0)
    data = random.standard_normal((6, 19, 9, 10), np.float32)
    found = []
    for shape, kernel in (((6, 19, 9, 10), (3, 3)), ((1, 19, 6, 9, 10), (1, 3, 3))):
        g = Graph("slices", 2)
        w = g.weights(21, 19, 3, 3, scale=0.1).reshape(21, 19, *kernel)
        pads = [k // 2 for k in kernel] * 2
        y = g.op("Relu", g.op("Conv", g.input("x", shape), g.constant(w), kernel_shape=list(kernel), pads=pads))
        _, engine = start(g.finish({"y": (y, [shape[0], 21, *shape[2:]])}), winograd="off")
        x = data if len(shape) == 4 else np.ascontiguousarray(data.transpose(1, 0, 2, 3)[None])
        y = engine.run({"x": x})["y"]
        found.append(y if len(shape) == 4 else y[0].transpose(1, 0, 2, 3))
    assert np.array_equal(*found)


def test_the_bits_do_not_depend_on_the_number_of_threads(start):
    found = []
    for threads in (1, 2, 5):
        model, engine = start(steps(), threads=threads)
        found.append(engine.run(feeds(model)))
    wanted = model.oracle(feeds(model))
    assert error(found[0], wanted) < 1e-5
    assert all(np.array_equal(found[0][key], other[key]) for other in found[1:] for key in wanted)
