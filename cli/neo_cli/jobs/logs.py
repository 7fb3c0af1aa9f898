"""Where a job's log lies, and its lines as they are read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neo_cli.base.paths import home


def log_path(environ: Mapping[str, str], name: str) -> Path:
    """The log of job `name`, JSON objects one a line; it stays when the job is deleted."""
    return home("state", environ) / "logs" / f"{name}.jsonl"
