"""Where neo-cli keeps its state, cache and configuration: $NEO_HOME, else the XDG folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_XDG = {
    "state": ("XDG_STATE_HOME", ".local/state"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
    "config": ("XDG_CONFIG_HOME", ".config"),
}


def home(kind: str, environ: Mapping[str, str]) -> Path:
    """The folder of `kind` ("state", "cache" or "config"); it may not exist yet.

    `$NEO_HOME` wins and holds all three side by side; relative XDG values are ignored, as the XDG
    base directory specification asks.
    """
    variable, default = _XDG[kind]
    if environ.get("NEO_HOME"):
        return Path(environ["NEO_HOME"]).expanduser().absolute() / kind
    base = environ.get(variable, "")
    root = Path(base) if base and Path(base).is_absolute() else Path(environ.get("HOME") or Path.home()) / default
    return root / "neo-cli"
