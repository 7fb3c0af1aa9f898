"""Rules for operators that run other subgraphs of the file: IF and WHILE, as ONNX's If and Loop."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from neo_cli.frontends.tflite_convert import Converter, rule
from neo_cli.frontends.tflite_file import File, Operation


def _types(graph: File, indices: list[int], names: list[str]) -> list[onnx.ValueInfoProto]:
    """Values of a subgraph as the rules compute them: quantised ones in float."""
    found = []
    for index, name in zip(indices, names, strict=True):
        tensor = graph.tensors[index]
        dtype = "float32" if tensor.quantization is not None or tensor.dtype == "float16" else tensor.dtype
        found.append(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), tensor.shape)
        )
    return found


def _closed(graph: File, nodes: list[onnx.NodeProto], results: list[str], name: str) -> list[onnx.ValueInfoProto]:
    """The results under names of their own, as a subgraph of ONNX must make what it gives."""
    outputs = [f"{name}.result{k}" for k in range(len(results))]
    nodes += [helper.make_node("Identity", [r], [o], name=o) for r, o in zip(results, outputs)]
    return _types(graph, graph.outputs, outputs)


@rule("IF")
def branch(c: Converter, op: Operation) -> None:
    numbers = [op.options.number(k) for k in range(2)] if op.options else [0, 0]
    inputs = [c.value(i) for i in op.inputs[1:]]
    graphs = []
    for number in numbers:
        nodes: list[onnx.NodeProto] = []
        graph, results = c.part(number, inputs, nodes)
        name = f"{c.prefix}branch_{c.count}"
        graphs.append(helper.make_graph(nodes, name, [], _closed(graph, nodes, results, name)))
    condition = c.node("Reshape", [c.value(op.inputs[0]), c.const([1])])
    first = c.node("If", [condition], outputs=len(op.outputs), then_branch=graphs[0], else_branch=graphs[1])
    for output, name in zip(op.outputs, c.outputs_of(first, len(op.outputs)), strict=True):
        c.define(output, name)


@rule("WHILE")
def loop(c: Converter, op: Operation) -> None:
    """The condition is asked once before the loop and at the end of each turn."""
    condition, body = [op.options.number(k) for k in range(2)] if op.options else [0, 0]
    initial = [c.value(i) for i in op.inputs]
    _, start = c.part(condition, initial, c.nodes)
    nodes: list[onnx.NodeProto] = []
    name = f"{c.prefix}loop_{c.count}"
    carried = [f"{name}.{k}" for k in range(len(initial))]
    graph, results = c.part(body, carried, nodes)
    _, more = c.part(condition, results, nodes)
    outputs = _closed(graph, nodes, results, name)
    turn, on = (helper.make_tensor_value_info(f"{name}.{n}", k, []) for n, k in (("turn", 7), ("on", 9)))
    go_on = helper.make_tensor_value_info(f"{name}.more", onnx.TensorProto.BOOL, [])
    scalar = c.const(np.zeros(0, np.int64))
    nodes.append(helper.make_node("Reshape", [more[0], scalar], [go_on.name], name=go_on.name))
    inputs = [turn, on, *_types(graph, graph.inputs, carried)]
    inner = helper.make_graph(nodes, name, inputs, [go_on, *outputs])
    first = c.node("Loop", ["", c.node("Reshape", [start[0], scalar]), *initial], outputs=len(op.outputs), body=inner)
    for output, made in zip(op.outputs, c.outputs_of(first, len(op.outputs)), strict=True):
        c.define(output, made)
