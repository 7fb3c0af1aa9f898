"""The van: `load(path).run({name: array})` with numpy and the artifact's own engine library, nothing else of the house."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neo_cli.runtime.errors import ArtifactError, RunError

if TYPE_CHECKING:
    from pathlib import Path

    from neo_cli.runtime.model import Model

__all__ = ["ArtifactError", "RunError", "load"]


def load(path: str | Path, threads: int | None = None, device: str = "auto") -> Model:
    """The compiled model in `path`, a `.tar.gz` or an unpacked folder.

    `threads` wins over NEO_THREADS; without either, all cores run a model, and one runs a small one.
    `device` is "cpu", "gpu" (the GPU part, or ArtifactError where the artifact has none), or "auto": the GPU part where
    the artifact has one, its engine and a GPU are here and its answer equals the CPU part's on a seeded input; else the
    CPU part, with a sentence in the model's `warnings`.
    The manifest is verified, and a machine that lacks what the code needs is refused, both with ArtifactError.
    """
    from neo_cli.runtime.model import open_model

    return open_model(path, threads, device)
