"""The door for vendor compilers: a plug-in package fills the entry point group `neo_cli.compilers`.

A plug-in declares, for the tool a device record names in `plugin`, a function with the signature of every other back
end, `compile(model, target, options, work) -> Build`:

    [project.entry-points."neo_cli.compilers"]
    neuronx-cc = "my_package.neuron:compile"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from neo_cli.base.errors import TargetUnavailable
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target

GROUP = "neo_cli.compilers"


def refusal(target: Target) -> str | None:
    """Why nothing can be compiled for `target` here; None when it can be, by us or by an installed plug-in."""
    if target.refuse and not _found(target):
        return target.refuse
    return None


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """Compile with the plug-in that `target.plugin` names; raises TargetUnavailable when there is none."""
    found = _found(target)
    if not found:
        raise TargetUnavailable(target.refuse or f"No plug-in provides a compiler for {target.name}.")
    build: Build = found[0].load()(model, target, options, work)
    return build


def _found(target: Target) -> list[Any]:
    return list(entry_points(group=GROUP, name=target.plugin)) if target.plugin else []
