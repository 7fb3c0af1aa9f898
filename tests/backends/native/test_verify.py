"""The table of what must hold between stages catches what a faulty stage would leave behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neo_cli.backends.native import verify
from neo_cli.backends.native.cpus import SSE
from neo_cli.backends.native.emit import Program, emit
from neo_cli.backends.native.ir import Graph, Layout, Node, Value
from neo_cli.backends.native.memory import Buffer
from neo_cli.base.errors import InternalError


def chain(length: int = 4) -> Graph:
    values = [Value(f"v{i}", "float32", (1, 8)) for i in range(length + 1)]
    nodes = [Node("Relu", f"relu{i}", [values[i]], [values[i + 1]], version=14) for i in range(length)]
    return Graph("chain", [values[0]], [values[-1]], nodes)


def program() -> Program:
    return emit(chain(), SSE, ())


def test_a_sound_graph_and_program_pass():
    assert verify.graph(chain(), "import").nodes
    assert verify.program(program(), "emit").plan.buffers


def test_a_value_read_before_it_is_made():
    graph = chain()
    graph.nodes.reverse()
    with pytest.raises(InternalError, match="before it is made"):
        verify.graph(graph, "fusion")


def test_an_output_that_nobody_makes():
    graph = chain()
    graph.nodes.pop()
    with pytest.raises(InternalError, match="nothing makes the output"):
        verify.graph(graph, "fusion")


def test_a_plain_operator_before_a_blocked_tensor():
    graph = chain()
    graph.nodes[1].outputs[0].layout = Layout(4)
    with pytest.raises(InternalError, match="knows rows only"):
        verify.graph(graph, "layout")


def test_an_output_of_the_caller_in_blocks():
    graph = chain(1)
    graph.outputs[0].layout = Layout(4)
    with pytest.raises(InternalError, match="the caller's"):
        verify.graph(graph, "layout")


def test_a_border_that_a_convolution_needs():
    x, y = (Value(n, "float32", (1, 4, 5, 5), layout=Layout(4)) for n in "xy")
    w = Value("w", "float32", (4, 4, 3, 3), np.zeros((4, 4, 3, 3), np.float32))
    attrs = {"pads": (1, 1, 1, 1), "strides": (1, 1), "dilations": (1, 1), "group": 1, "last": False}
    row = Value("row", "float32", (1, 4, 5, 5))
    nodes = [Node("fast.Reorder", "in", [row], [x]), Node("fast.Conv", "conv", [x, w, None, None], [y], attrs)]
    out = Value("out", "float32", (1, 4, 5, 5))
    graph = Graph("g", [row], [out], [*nodes, Node("fast.Reorder", "back", [y], [out])])
    with pytest.raises(InternalError, match="needs a border"):
        verify.graph(graph, "layout")


def test_a_buffer_that_dies_too_early_or_lies_on_another():
    made = program()
    first = made.plan.buffers[0]
    made.plan.buffers[0] = replace(first, last=first.first)
    with pytest.raises(InternalError, match="lives too short"):
        verify.program(made, "emit")
    made = program()
    made.plan.buffers.append(Buffer("intruder", made.plan.buffers[0].start, 64, 0, 9))
    with pytest.raises(InternalError, match="overlap"):
        verify.program(made, "emit")
