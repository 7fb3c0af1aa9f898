"""Shape arithmetic, constants, dead and repeated nodes are gone (onnxslim)."""

from __future__ import annotations

import contextlib
import io

import onnx

from neo_cli.model.model import Model
from neo_cli.targets.devices import Target


def run(model: Model, target: Target) -> Model:
    """The same function with fewer nodes; the model as it was, with a line in the log, where onnxslim cannot read it."""
    import onnxslim

    copy = onnx.ModelProto()
    copy.CopyFrom(model.graph)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            slimmed = onnxslim.slim(copy)
    except Exception as error:  # onnxslim raises whatever its shape inference met
        model.source.log(f"onnxslim does not take this model and is left out: {type(error).__name__}: {error}")
        return model
    if slimmed is None or not _same_interface(slimmed, model.graph):
        model.source.log("onnxslim changed the model's inputs or outputs and is left out")
        return model
    slimmed.graph.ClearField("doc_string")
    return model.with_graph(slimmed)


def _same_interface(one: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    def names(model: onnx.ModelProto) -> list[list[str]]:
        return [[v.name for v in values] for values in (model.graph.input, model.graph.output)]

    return names(one) == names(other)
