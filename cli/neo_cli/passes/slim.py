"""Shape arithmetic, constants, dead and repeated nodes are gone (onnxslim)."""

from __future__ import annotations

import contextlib
import io

import onnx
from onnx import helper

from neo_cli.model import proto
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target

LARGE = 1 << 20  # bytes; onnxslim copies weights several times
# Where a weight is read as it stands, with nothing to fold into it.
READERS = {("MatMul", 0), ("MatMul", 1), ("Gemm", 1), ("Gather", 0)}


def run(model: Model, target: Target) -> Model:
    """The same function with fewer nodes; the model as it was, with a line in the log, where onnxslim cannot read it."""
    import onnxslim

    weights = _set_aside(model.graph.graph)
    lean = _without(model.graph, weights)
    interface = _interface(lean)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            slimmed = onnxslim.slim(lean)
    except Exception as error:  # onnxslim raises whatever its shape inference met
        model.source.log(f"onnxslim does not take this model and is left out: {type(error).__name__}: {error}")
        return model
    if slimmed is None or _interface(slimmed) != interface:
        model.source.log("onnxslim changed the model's inputs or outputs and is left out")
        return model
    slimmed.graph.ClearField("doc_string")
    kept = [v for v in slimmed.graph.input if v.name not in weights]
    used = {name for node in proto.nodes(slimmed.graph) for name in node.input}
    del slimmed.graph.input[:]
    slimmed.graph.input.extend(kept)
    slimmed.graph.initializer.extend(t for t in model.graph.graph.initializer if t.name in weights & used)
    return model.with_graph(slimmed)


def _interface(model: onnx.ModelProto) -> list[list[str]]:
    return [sorted(v.name for v in model.graph.input), [v.name for v in model.graph.output]]


def _set_aside(graph: onnx.GraphProto) -> set[str]:
    """Names of the large weights that only READERS read."""
    large = {t.name for t in graph.initializer if proto.bytes_of(t) >= LARGE}
    for node in proto.nodes(graph):
        for position, name in enumerate(node.input):
            if name in large and (node.op_type, position) not in READERS:
                large.discard(name)
    return large - {v.name for v in graph.output}


def _without(model: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """A copy in which these weights are inputs of the graph, so that nothing copies their data."""
    lean = onnx.ModelProto(ir_version=model.ir_version)
    for field in ("opset_import", "metadata_props"):
        getattr(lean, field).extend(getattr(model, field))
    graph, source = lean.graph, model.graph
    graph.name = source.name
    for field in ("node", "input", "output", "value_info", "sparse_initializer", "quantization_annotation"):
        getattr(graph, field).extend(getattr(source, field))
    for tensor in source.initializer:
        if tensor.name in names:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        else:
            graph.initializer.append(tensor)
    return lean
