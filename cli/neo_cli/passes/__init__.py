"""PASSES: name -> `run(model, target) -> Model`, in the order in which `optimize` takes them."""

from __future__ import annotations

from collections.abc import Callable

from neo_cli.base.table import resolve
from neo_cli.model import memory, proto
from neo_cli.model.model import Log, Model
from neo_cli.model.verify import verify
from neo_cli.targets.devices import Target

PASSES = {
    "slim": "neo_cli.passes.slim:run",
    "shapes": "neo_cli.passes.shapes:run",
}


def optimize(model: Model, target: Target, log: Log, keep: Callable[[str, Model], None]) -> Model:
    """The model after every pass; each says what it changed, and its result is verified and offered to `keep`."""
    for name, path in PASSES.items():
        before = proto.statistics(model.graph)
        model = verify(resolve(path)(model, target), name)
        memory.give_back()
        after = proto.statistics(model.graph)
        log(f"pass {name}: {_told(before)} -> {_told(after)}")
        keep(name, model)
    return model


def _told(statistics: dict) -> str:
    return f"{statistics['nodes']} nodes, {statistics['weight_bytes'] / 1e6:.1f} MB of weights"
