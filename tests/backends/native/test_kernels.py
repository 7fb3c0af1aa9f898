"""Convolutions, products and their endings of odd sizes, compared with ONNX Runtime on this machine's vector widths."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.graphs import error, feeds
from models.builders import Graph

SIZES = [1, 3, 7, 17]


def conv(
    cin: int,
    cout: int,
    size: tuple[int, int],
    kernel: int,
    stride: int,
    dilation: int,
    groups: int,
    ends: str,
    batch: int = 1,
) -> onnx.ModelProto:
    g = Graph("conv", 7)
    x = g.input("x", [batch, cin, *size])
    w = g.constant(g.weights(cout, cin // groups, kernel, kernel, scale=(2 / (cin // groups * kernel**2)) ** 0.5))
    b = g.constant(g.weights(cout, scale=0.3), "b")
    pad = dilation * (kernel // 2)
    window = {"strides": [stride] * 2, "dilations": [dilation] * 2, "pads": [pad] * 4, "group": groups}
    y = g.op("Conv", x, w, b, kernel_shape=[kernel] * 2, **window)
    if "s" in ends:
        y = g.op("Mul", y, g.op("Sigmoid", y))
    if "a" in ends:
        other = g.op(
            "Conv",
            x,
            g.constant(g.weights(cout, cin // groups, kernel, kernel, scale=0.2)),
            kernel_shape=[kernel] * 2,
            **window,
        )
        y = g.op("Add", other, y)
    if "r" in ends:
        y = g.op("Relu", y)
    out = [(s + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for s in size]
    return g.finish({"y": (y, [batch, cout, *out])})


@st.composite
def cases(draw: st.DrawFn) -> dict:
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 0]))
    cin, cout = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    if groups:
        cin, cout = cin * groups, cout * groups
    else:  # depthwise
        groups = cout = cin
    kernel = draw(st.sampled_from([1, 1, 3, 3, 5]))
    size = (draw(st.integers(kernel, 20)), draw(st.integers(kernel, 33)))
    return {
        "cin": cin, "cout": cout, "size": size, "kernel": kernel, "groups": groups,
        "stride": draw(st.sampled_from([1, 1, 2])), "dilation": draw(st.sampled_from([1, 1, 2])),
        "ends": draw(st.sampled_from(["", "r", "s", "a", "ar", "as", "sar"])), "batch": draw(st.sampled_from([1, 1, 2])),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("target", ["LINUX_X86_64", "ml_c5"])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(case=cases())
def test_random_convolutions(start, tmp_path_factory, target, case):
    from backends.native.test_networks import runs

    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    model, engine = start(conv(**case), threads=2, target=target)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 1e-4, case


@pytest.mark.parametrize("ends", ["ar", "s"])
def test_a_convolution_of_many_remainders(start, ends):
    model, engine = start(conv(19, 21, (9, 17), 3, 1, 1, 1, ends), threads=2)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("size", [(8, 8), (13, 11), (28, 28)])
def test_winograd_agrees_with_direct_within_its_tolerance(start, size):
    from neo_cli.backends.native import schedule
    from neo_cli.backends.native.cpus import SSE

    graph = conv(64, 64, size, 3, 1, 1, 1, "r")
    assert schedule.algorithm(SSE, 64, 64, *size, 4) > 0
    (model, fast), (_, plain) = start(graph, winograd="off"), start(graph)
    feed = feeds(model)
    wanted = model.oracle(feed)
    assert error(fast.run(feed), wanted) < 2e-6
    assert error(plain.run(feed), wanted) < 5e-5


@pytest.mark.parametrize("rows", SIZES)
def test_products_of_odd_sizes(start, rows):
    g = Graph("product", 3)
    x = g.input("x", [rows, 37])
    y = g.dense(g.op("Tanh", g.dense(x, 37, 19)), 19, 5)
    model, engine = start(g.finish({"y": (y, [rows, 5])}), threads=2)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 5e-6


def test_activations_over_their_whole_range(start):
    g = Graph("activations", 3)
    x = g.input("x", [4, 8, 8, 8])
    y = g.op("Conv", x, g.constant(np.eye(8, dtype=np.float32)[:, :, None, None]), kernel_shape=[1, 1])
    kinds = ["Sigmoid", "Tanh", "Erf", "HardSwish", "LeakyRelu", "Elu", "HardSigmoid"]
    outputs = {kind: (g.op(kind, y), [4, 8, 8, 8]) for kind in kinds}
    model, engine = start(g.finish(outputs))
    values = np.concatenate([np.linspace(-100, 100, 1024), np.linspace(-5, 5, 1024)]).astype(np.float32)
    feed = {"x": values.reshape(4, 8, 8, 8)}
    wanted, found = model.oracle(feed), engine.run(feed)
    for kind in kinds:
        assert np.allclose(found[kind], wanted[kind], rtol=2e-6, atol=2e-6), kind
