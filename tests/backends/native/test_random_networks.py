"""Random small networks through the whole compiler: every tensor is ONNX Runtime's, and the plan changes no bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.graphs import as_model, error, feeds
from backends.native.kernel_cases import inferred
from backends.native.random_networks import networks
from backends.native.test_networks import HERE, runs
from models.builders import Graph
from neo_cli.backends.native import check, compiler
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.targets.devices import targets

ACTIVATIONS = [
    "Relu",
    "Sigmoid",
    "Tanh",
    "Erf",
    "HardSwish",
    "LeakyRelu",
    "Elu",
    "HardSigmoid",
    "Exp",
    "Softplus",
    "Neg",
]


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1), target=st.sampled_from([t for t in HERE if runs(t)]),
    options=st.sampled_from([{}, {}, {"winograd": "off"}, {"bands": "off"}]),
)  # fmt: skip
def test_random_networks_agree_in_every_tensor(tmp_path_factory: pytest.TempPathFactory, seed, target, options):
    work = tmp_path_factory.mktemp("networks")
    record = targets()[target]
    cpu, model = cpu_of(record), as_model(networks(seed), work)
    whole, packed = (compiler.lower(model, cpu, record, options, compiler.Stages(work), keep) for keep in (True, False))
    feed = feeds(model, seed % 97)
    errors = check.check_all(model, whole, record, cpu, feed, work, tolerance=1e-4)
    assert len(errors) > 12
    check.check_plan(packed, whole, record, cpu, feed, work)


@pytest.mark.parametrize("target", ["LINUX_X86_64", pytest.param("ml_c5", marks=pytest.mark.slow)])
def test_nan_goes_where_onnx_runtime_has_it(start, target):
    """In blocks behind a convolution, and in rows; one NaN in, and the same elements are NaN."""
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    g, outputs = Graph("nan", 9), {}
    x = g.input("x", [1, 19, 5, 7])
    flat = g.op("Reshape", x, g.ints(19, 35))
    limits = [g.constant(np.float32(v), "limit") for v in (-1.0, 1.0)]
    for kind in [*ACTIVATIONS, "Clip"]:
        extra = limits if kind == "Clip" else []
        outputs[f"image_{kind}"] = g.op(kind, g.conv(x, 19, 18, 1), *extra)
        outputs[f"window_{kind}"] = g.op(kind, g.conv(x, 19, 18, 3), *extra)
        outputs[f"rows_{kind}"] = g.op(kind, flat, *extra)
        outputs[f"product_{kind}"] = g.op(kind, g.dense(flat, 35, 6), *extra)
    outputs["depthwise"] = g.op("Relu", g.conv(x, 19, 19, 3, groups=19))
    outputs["softmax"] = g.op("Softmax", flat, axis=-1)
    outputs["product softmax"] = g.op("Softmax", g.dense(flat, 35, 6), axis=-1)
    model, engine = start(inferred(g, outputs), threads=2, target=target)
    feed = feeds(model)
    feed["x"][0, 3, 2, 4] = np.nan
    found, wanted = engine.run(feed), model.oracle(feed)
    assert [k for k in wanted if not np.array_equal(np.isnan(found[k]), np.isnan(wanted[k]))] == []
    clean = (
        {k: np.nan_to_num(v, nan=0.0) for k, v in found.items()},
        {k: np.nan_to_num(v, nan=0.0) for k, v in wanted.items()},
    )
    assert error(*clean) < 1e-5
