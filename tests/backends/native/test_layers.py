"""The table of steps (tests/bench/native_layers.py) counts a network's work as its ONNX graph has it."""

from __future__ import annotations

import math

import onnx
import pytest

from backends.graphs import as_model
from backends.native.test_networks import HERE, runs
from bench import native_layers
from bench.native_limits import SETS
from models.builders import BUILDERS
from neo_cli.targets.devices import targets


def multiply_adds(graph: onnx.ModelProto) -> int:
    """Of the convolutions and the last product, from the shapes that ONNX infers."""
    graph = onnx.shape_inference.infer_shapes(graph)
    sizes = {i.name: list(i.dims) for i in graph.graph.initializer}
    for v in (*graph.graph.value_info, *graph.graph.output):
        sizes[v.name] = [d.dim_value for d in v.type.tensor_type.shape.dim]
    total = 0
    for node in graph.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            total += math.prod(sizes[node.output[0]]) * math.prod(sizes[node.input[1]][1:])
    return total


@pytest.mark.parametrize("target", ["LINUX_X86_64", "ml_c5"])
def test_the_steps_work_is_the_graph_s(tmp_path, target):
    if not runs(target):
        pytest.skip(f"this machine does not run {HERE[target]} code")
    graph = BUILDERS["mobilenetv2"](True)
    found, limits = native_layers.measure(as_model(graph, tmp_path), targets()[target], tmp_path, 3)
    assert sum(row.macs for row in found) == multiply_adds(graph)
    assert all(row.limit > 0 and 0 < row.best <= row.median for row in found)
    assert limits.macs > 0 and set(limits.reads) and min(limits.reads.values()) > 0


def test_the_longer_of_both_is_the_limit():
    limits = native_layers.Limits(10e9, dict.fromkeys(SETS, 1e9), 1e9)
    assert native_layers.limit(1e9, 1000, 1000, 1000, limits) == (pytest.approx(100.0), "FMA")
    assert native_layers.limit(1e6, 10**9, 0, 10**9, limits) == (pytest.approx(1000.0), "bytes")
