"""What an attempt has begun to publish, written down outside the store, so that a killed attempt's pieces are found."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from neo_cli.base.errors import JobError
from neo_cli.base.paths import home
from neo_cli.jobs.settings import NOTE, kept, over
from neo_cli.worker.lent import lent
from neo_cli.worker.locations.base import location_of

RETRY, TRIES = 600.0, 10


def folder(environ: Mapping[str, str]) -> Path:
    """Notes lie beside the store, where no model's code can write."""
    return home("state", environ) / "begun"


class Begun:
    """One attempt's note; gone again once nothing unfinished lies anywhere."""

    def __init__(self, environ: Mapping[str, str], name: str, attempt: int) -> None:
        self._environ, self._pieces = environ, list[tuple[str, str]]()
        self.file = folder(environ) / f"{name}-{attempt}"

    def note(self, uri: str, piece: str) -> None:
        """Remember that `piece` (an upload, a temporary file) of `uri` lies there, before anything is sent."""
        self._pieces.append((uri, piece))
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = self.file.with_name(self.file.name + ".new")
        temporary.write_text(json.dumps({"settings": kept(self._environ), "pieces": self._pieces}), encoding="utf-8")
        os.replace(temporary, self.file)

    def forget(self) -> None:
        """Everything was finished."""
        self.file.unlink(missing_ok=True)


def clear(file: Path, environ: Mapping[str, str]) -> None:
    """Remove what a note of a gone attempt names, and the note. A place that cannot be asked now, because it is away or
    the credentials have expired, is asked again by later runners: TRIES times, RETRY seconds apart."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(file.read_text(encoding="utf-8"))
        tries = int(found.get("tries", 0))
        if tries and time.time() - file.stat().st_mtime < RETRY:
            return
        with lent(over(environ, {NOTE: found["settings"]})) as own:
            left = [(uri, piece) for uri, piece in found["pieces"] if not _discarded(uri, piece, own)]
        if left and tries + 1 < TRIES:
            file.write_text(json.dumps({**found, "pieces": left, "tries": tries + 1}), encoding="utf-8")
            return
    file.unlink(missing_ok=True)


def _discarded(uri: str, piece: str, environ: Mapping[str, str]) -> bool:
    try:
        location, there = location_of(uri, environ)
        location.discard(there, piece)
    except JobError:
        return False
    return True
