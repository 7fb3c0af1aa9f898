"""What attempts left that ended without clearing up is removed by whoever works next: folders, uploads, temporary files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from neo_cli.base.paths import home
from neo_cli.jobs.stores.base import Store
from neo_cli.worker import begun


def work_folder(environ: Mapping[str, str], name: str, attempt: int) -> Path:
    """Where an attempt works; nobody else writes there."""
    return home("state", environ) / "work" / f"{name}-{attempt}"


def remove(folder: Path) -> None:
    """Remove a work folder, whatever a model's code made of it: folders without rights, thousands of levels."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        pass
    if os.path.lexists(folder):
        for line in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            subprocess.run([*line, "--", str(folder)], stdin=subprocess.DEVNULL, capture_output=True)


def sweep(store: Store, environ: Mapping[str, str]) -> list[str]:
    """Remove the work folders of attempts that are not under way, and what they had begun to publish; their names.

    The folders are listed before the store is asked: an attempt that starts in between is not on the list.
    """
    root = home("state", environ) / "work"
    there, notes = _names(root), _names(begun.folder(environ))
    if not there and not notes:
        return []
    live = {f"{job.name}-{job.attempt}" for job in store.under_way()}
    gone = [name for name in there if name not in live]
    for name in gone:
        remove(root / name)
    for name in notes:
        if name.removesuffix(".new") not in live:
            begun.clear(begun.folder(environ) / name, environ)
    return gone


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
