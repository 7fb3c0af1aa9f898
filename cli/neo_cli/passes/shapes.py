"""Every value's shape that can be known before running is written into the graph."""

from __future__ import annotations

from dataclasses import replace

from neo_cli.model import proto
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target


def run(model: Model, target: Target) -> Model:
    """The model with inferred shapes, its declared outputs too; the graph is changed in place, weights are not copied."""
    before = {value.name: proto.dims(value) for value in model.graph.graph.output}
    proto.infer(model.graph)
    for value in model.graph.graph.output:  # what the graph said is kept where inference has no rule
        known = tuple(n if n > 0 else o for n, o in zip(proto.dims(value), before[value.name])) or before[value.name]
        if known != proto.dims(value):
            proto.pin(value, known)
    return replace(model, outputs=proto.tensors(model.graph.graph.output))
