"""native: ONNX to C to one library for any CPU, by a compiler of our own. `compile(model, target, options, work) -> Build`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neo_cli.model.build import Build

if TYPE_CHECKING:
    from neo_cli.model.model import Model
    from neo_cli.targets.devices import Target


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """compiled.so (compiled.dll) and compiled.params; OperatorNotImplemented names the node that has no rule."""
    from neo_cli.backends.native.compiler import compile as build

    return build(model, target, options, work)
