"""Work folders of attempts that ended without clearing up are removed by whoever works next."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from neo_cli.base.paths import home
from neo_cli.jobs.stores.base import Store


def work_folder(environ: Mapping[str, str], name: str, attempt: int) -> Path:
    """Where an attempt works; nobody else writes there."""
    return home("state", environ) / "work" / f"{name}-{attempt}"


def sweep(store: Store, environ: Mapping[str, str]) -> list[str]:
    """Remove the work folders of attempts that are not under way; their names.

    The folders are listed before the store is asked: an attempt that starts in between is not on the list.
    """
    root = home("state", environ) / "work"
    if not root.is_dir():
        return []
    there = [folder.name for folder in root.iterdir()]
    if not there:
        return []
    live = {f"{job.name}-{job.attempt}" for job in store.under_way()}
    gone = [name for name in there if name not in live]
    for name in gone:
        shutil.rmtree(root / name, ignore_errors=True)
    return gone
