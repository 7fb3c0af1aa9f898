"""The van: `load(path).run({name: array})` with numpy and the artifact's own engine library, nothing else of the house."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neo_cli.runtime.errors import ArtifactError, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from neo_cli.runtime.model import Model

__all__ = ["ArtifactError", "RunError", "load"]


def load(path: str | Path, threads: int | None = None, *, accelerate: bool = False) -> Model:
    """The compiled model in `path`, a `.tar.gz` or an unpacked folder; `threads` wins over NEO_THREADS.

    `accelerate=True` runs the part for the target's GPU, where the artifact has one, instead of the CPU part.
    The manifest is verified, and a machine that lacks what the code needs is refused, both with ArtifactError.
    """
    from neo_cli.runtime.model import open_model

    return open_model(path, threads, accelerate=accelerate)
