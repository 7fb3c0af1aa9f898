"""What a back end returns: files for the artifact's root and what its runtime engine must know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Build:
    """One compiled form of a model.

    `files` maps a name in the artifact's root to the file on disk; `engine` names the entry of
    `neo_cli.runtime.engines.ENGINES` that runs it; `settings` is written into meta/artifact.json for that engine.
    """

    backend: str
    engine: str
    files: Mapping[str, Path]
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    cpu_features: tuple[str, ...] = ()  # the runtime refuses a machine that lacks one, with a sentence
    notes: tuple[str, ...] = ()
    temps: Mapping[str, Path] = field(default_factory=dict)  # stage texts for NEO_SAVE_TEMPS
    # Runs the build where its target cannot run: {name: array} -> {name: array} under an emulator or interpreter.
    # None when there is no such means here; `emulator` says what it is ("qemu-aarch64", "interpreted ML program").
    emulate: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None
    emulator: str = ""
    accelerator: Build | None = None  # the GPU part that lies beside this CPU part in the artifact
    verified: str = ""  # of an accelerator: "emulated" or "compiled only"
