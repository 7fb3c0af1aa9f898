"""The store that this environment means, opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from neo_cli.base.paths import home
from neo_cli.base.table import lookup
from neo_cli.jobs.stores import STORES
from neo_cli.jobs.stores.base import Store

DEFAULT = "sqlite"


def place(environ: Mapping[str, str]) -> Path:
    """The file of the job store."""
    return home("state", environ) / "jobs.db"


def open_store(environ: Mapping[str, str]) -> Store:
    """The job store under $NEO_HOME or the XDG state folder; raises StoreError."""
    store: Store = lookup(STORES, DEFAULT)(str(place(environ)))
    return store
