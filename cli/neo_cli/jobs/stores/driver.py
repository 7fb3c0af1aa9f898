"""SQLite, by apsw where it is installed, else by a standard library that is new enough: one thin Connection.

SQLite before 3.51.3 may damage a database in WAL mode when two connections write and checkpoint at once; apsw brings
its own, newer SQLite. Only one of the two is imported: each costs a command 2 ms.
"""

from __future__ import annotations

import os
from _thread import RLock  # threading is slower to import and has no other
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neo_cli.jobs.stores.base import StoreBusy, StoreError

FIXED = (3, 51, 3)
BUSY_SECONDS = 10.0


class Connection:
    """An open database: `run` one statement, `write` a transaction that holds the write lock from its first line."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, RLock()
        self._beside: tuple[int, ...] = ()  # the -wal and -shm files that this connection uses
        orphan = _size(path) > 0 and _size(f"{path}-wal") == 0
        try:
            import apsw

            self._errors: type[Exception] = apsw.Error
        except ImportError:
            self._errors = _standard(path)
        with self._told():
            if "apsw" in self._errors.__module__:
                self._raw: Any = apsw.Connection(str(path))
                self._raw.set_busy_timeout(int(BUSY_SECONDS * 1000))
                _keep_log(self._raw, apsw.SQLITE_FCNTL_PERSIST_WAL)
            else:
                import sqlite3

                self._raw = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self.run("PRAGMA journal_mode=WAL")
            self.run("PRAGMA synchronous=FULL")
            # Each commit goes on into the main file at once: whoever deletes the -wal file beside it takes no job along.
            self.run("PRAGMA wal_autocheckpoint=1")
            if orphan and self.run("PRAGMA integrity_check(1)") != [("ok",)]:
                raise StoreError(DAMAGED.format(path=path))
            self.run("PRAGMA user_version")  # from here on both files are there
            self._beside = _beside(path)

    def run(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Execute one statement and return its rows."""
        with self._lock, self._told():
            if self._beside and not self._in_transaction() and _beside(self.path) != self._beside:
                raise StoreError(REMOVED.format(path=self.path))
            return list(self._raw.execute(statement, tuple(values)))

    def script(self, text: str) -> None:
        """Execute several statements."""
        for statement in filter(str.strip, text.split(";")):
            self.run(statement)

    @contextmanager
    def write(self) -> Iterator[None]:
        """BEGIN IMMEDIATE ... COMMIT; an error inside rolls back, where SQLite has not done so itself."""
        with self._lock:  # a transaction is one thread's; others wait until it has ended
            self.run("BEGIN IMMEDIATE")
            try:
                yield
                self.run("COMMIT")
            except BaseException:
                if self._in_transaction():
                    self.run("ROLLBACK")
                raise

    def close(self) -> None:
        self._raw.close()

    def _in_transaction(self) -> bool:
        return bool(self._raw.in_transaction)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            text = str(error).lower()
            for mark, sentence in REASONS.items():
                if mark in text:
                    kind = StoreBusy if mark in PASSING else StoreError
                    raise kind(sentence.format(path=self.path)) from error
            raise StoreError(f"The job store {self.path} cannot be used: {error}.") from error


def _keep_log(raw: Any, operation: int) -> None:
    """Let the -wal file stay when the last connection closes. When it is not there, somebody took it away, perhaps in
    the middle of a change; only then the file is read as a whole to see whether it is sound."""
    from array import array

    on = array("i", [1])
    raw.file_control("main", operation, on.buffer_info()[0])


def _size(path: Path | str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _beside(path: Path) -> tuple[int, ...]:
    """Which files lie there as -wal and -shm; others than before mean that two writers no longer see each other."""
    try:
        return os.stat(f"{path}-wal").st_ino, os.stat(f"{path}-shm").st_ino
    except OSError:
        return (0,)


def _standard(path: Path) -> type[Exception]:
    """The error class of the standard library's SQLite, where that is new enough to be trusted."""
    import sqlite3

    if sqlite3.sqlite_version_info < FIXED:
        raise StoreError(f"The job store {path} needs apsw: Python's own SQLite {sqlite3.sqlite_version} is too old.")
    return sqlite3.Error


DAMAGED = "The job store {path} is damaged; move it away and neo-cli will start a new one."
REMOVED = "A file beside the job store {path} (-wal, -shm) was removed while it was in use: nothing was written. Run it again."
PASSING = ("full", "locked", "busy")
REASONS = {
    "not a database": "The job store {path} is not a database; move it away and neo-cli will start a new one.",
    "malformed": DAMAGED,
    "full": "The disk is full: the job store {path} cannot be written.",
    "readonly": "The job store {path} cannot be written: it is read-only.",
    "read-only": "The job store {path} cannot be written: it is read-only.",
    "unable to open": "The job store {path} cannot be opened.",
    "cantopen": "The job store {path} cannot be opened.",
    "locked": "The job store {path} is busy: another process has held it for more than 10 seconds.",
    "busy": "The job store {path} is busy: another process has held it for more than 10 seconds.",
}
