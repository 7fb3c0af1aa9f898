"""Steps at the job store that are tried again while it is busy or its disk is full."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from neo_cli.jobs.stores.base import Store, StoreBusy

PATIENCE = 120.0  # seconds; each try waits for the lock itself
FIRST, LONGEST = 0.1, 5.0  # seconds between tries, doubled each time
T = TypeVar("T")


def patiently(
    step: Callable[[], T],
    enough: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The step's result. Raises StoreBusy after PATIENCE seconds, or when `enough` says so between two tries."""
    pause, limit = FIRST, clock() + PATIENCE
    while True:
        try:
            return step()
        except StoreBusy:
            if enough() or clock() + pause > limit:
                raise
        sleep(pause)
        pause = min(2 * pause, LONGEST)


def patient(store: Store, enough: Callable[[], bool] = lambda: False) -> Store:
    """The same store, each of whose steps is tried patiently."""
    return cast(Store, _Patient(store, enough))


class _Patient:
    def __init__(self, store: Store, enough: Callable[[], bool]) -> None:
        self._store, self._enough = store, enough

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *given, **more: patiently(lambda: method(*given, **more), self._enough)
