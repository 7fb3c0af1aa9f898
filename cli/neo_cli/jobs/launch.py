"""Start a runner when jobs wait and a slot is free; there is no daemon, so every local command looks."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from neo_cli.base.errors import ConfigurationError
from neo_cli.base.paths import home
from neo_cli.jobs import life
from neo_cli.jobs.stores.base import Store


def slots(environ: Mapping[str, str]) -> int:
    """How many jobs run at once: NEO_SLOTS, else half the cores, at least one."""
    text = environ.get("NEO_SLOTS", "")
    if not text:
        return max(1, (os.cpu_count() or 1) // 2)
    if not text.isdigit() or int(text) < 1:
        raise ConfigurationError(f"NEO_SLOTS is '{text}'; it must be a whole number of at least 1.")
    return int(text)


def look(store: Store, environ: Mapping[str, str], now: float) -> None:
    """Reap what is lost, then start one runner when a job waits and a slot is free."""
    waiting = life.tend(store, now)
    if life.undecided(store, now) or (waiting and len(store.under_way()) < slots(environ)):
        start(environ)


def start(environ: Mapping[str, str]) -> int:
    """Start `python -m neo_cli.worker` in a session of its own, away from the terminal; returns its pid."""
    import subprocess

    state = home("state", environ)
    state.mkdir(parents=True, exist_ok=True)
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [environ.get("PYTHONPATH")])]
    with (state / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "neo_cli.worker"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            env={**environ, "PYTHONPATH": os.pathsep.join(paths)}, start_new_session=True,
        )  # fmt: skip
    process.returncode = 0  # the runner outlives this command; nobody waits for it
    return process.pid
