"""The runner's life: take the next waiting job while a slot is free, work on it, end when none waits."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType

from neo_cli.jobs import launch, life, settings
from neo_cli.jobs.opened import open_store
from neo_cli.jobs.stores.base import Store, StoreError
from neo_cli.worker import publish, tree
from neo_cli.worker.attempt import LEASE, Attempt
from neo_cli.worker.lent import lent
from neo_cli.worker.patience import patient, patiently
from neo_cli.worker.sweep import sweep
from neo_cli.worker.watched import settle

SETTLE = 60.0  # seconds for transfers of jobs that ended before them


class Interruption:
    """Remembers TERM, INT and QUIT, and that the supervisor has gone: the attempt is given back, no other is taken."""

    def __init__(self, supervisor: int | None = None) -> None:
        self.asked = False
        self._supervisor = supervisor

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._ask)
        for number in (signal.SIGHUP, signal.SIGPIPE):  # a closed terminal or pipe is nothing to a runner
            signal.signal(number, signal.SIG_IGN)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked or (self._supervisor is not None and os.getppid() != self._supervisor)


def run(
    environ: Mapping[str, str], interrupted: Callable[[], bool], *, stay: bool = False, slots: int | None = None
) -> int:
    """Work until nothing waits (or until told to end, with `stay`); the number of attempts made."""
    tree.adopt_orphans()
    raw = patiently(lambda: open_store(environ), interrupted)
    store, attempts, me = patient(raw, interrupted), 0, life.identity()
    try:
        while not interrupted():
            now = round(time.time(), 3)
            life.tend(store, now)
            for lost in life.undecided(store, now):
                publish.decide(lost, store, environ, now)
            job = store.claim(me, now, now + LEASE, slots or launch.slots(environ))
            if job is None:
                if not stay:
                    break
                time.sleep(0.5)
                continue
            sweep(store, environ)
            with lent(settings.over(environ, job.extra)) as own:
                Attempt(job, raw, own, interrupted=interrupted).run()
            attempts += 1
            _fill(store, environ)
    finally:
        settle(SETTLE)
        with contextlib.suppress(StoreError):  # what a transfer left that came to its end after its job
            sweep(raw, environ)
        raw.close()
    return attempts


def _fill(store: Store, environ: Mapping[str, str]) -> None:
    """With more than one slot free, this runner alone is not enough: start another for what waits beyond one job."""
    if len(store.waiting()) > 1 and len(store.under_way()) + 1 < launch.slots(environ):
        launch.start(environ)
