"""What can go wrong with an artifact, each with one clear sentence."""

from __future__ import annotations


class ArtifactError(Exception):
    """The artifact cannot be used: damaged, unknown, or made for another machine."""


class RunError(ValueError):
    """The inputs do not fit the model; the sentence lists the model's own inputs."""
