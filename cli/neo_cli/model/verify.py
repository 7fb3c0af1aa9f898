"""A Model is well formed, or InternalError says which stage broke it."""

from __future__ import annotations

import onnx

from neo_cli.base.errors import InternalError
from neo_cli.model import proto
from neo_cli.model.model import Model


def verify(model: Model, stage: str = "load") -> Model:
    """Return `model` when names, order, types and shapes of its graph are consistent with what it declares."""
    fault = _fault(model)
    if fault:
        raise InternalError(f"After the stage '{stage}' the model is not well formed: {fault}.")
    return model


def _fault(model: Model) -> str | None:
    graph = model.graph.graph
    for what, declared, found in (
        ("inputs", model.inputs, graph.input),
        ("outputs", model.outputs, graph.output),
    ):
        if [t.name for t in declared] != [v.name for v in found]:
            return f"it declares the {what} {[t.name for t in declared]}, its graph has {[v.name for v in found]}"
        for tensor, value in zip(declared, found):
            if tensor.dtype != proto.dtype_name(value.type.tensor_type.elem_type):
                return f"'{tensor.name}' is declared {tensor.dtype} and is of another type in the graph"
    for tensor in model.inputs:
        if any(size != proto.FREE and size < 1 for size in tensor.shape) or proto.FREE in tensor.shape[1:]:
            return f"input '{tensor.name}' has the shape {list(tensor.shape)}"
    return _order(graph, set())


def _order(graph: onnx.GraphProto, outer: set[str]) -> str | None:
    """Every value is made once, and before it is used."""
    known = (
        {v.name for v in graph.input}
        | {t.name for t in graph.initializer}
        | {t.values.name for t in graph.sparse_initializer}
    )
    for node in graph.node:
        for name in node.input:
            if name and name not in known and name not in outer:
                return f"node '{node.name}' ({node.op_type}) reads '{name}', which nothing before it makes"
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                fault = _order(inner, outer | known)
                if fault:
                    return fault
        for name in node.output:
            if name and name in known:
                return f"'{name}' is made twice"
            known.add(name)
    for value in graph.output:
        if value.name not in known and value.name not in outer:
            return f"nothing makes the output '{value.name}'"
    return None
