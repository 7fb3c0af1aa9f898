"""The -wal and -shm files beside the store are deleted at the worst moments: nothing is lost in silence (case 53)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neo_cli.jobs.job import STARTING, Job
from neo_cli.jobs.stores import driver
from neo_cli.jobs.stores.base import Query, StoreError
from neo_cli.jobs.stores.sqlite import SqliteStore

STRACE = shutil.which("strace")
CALLS = "pwrite64,fdatasync,ftruncate"
KEPT = 30  # enough that a job more makes SQLite divide a page: the damage that is hard to see
WRITER = """
import sys
from neo_cli.jobs.job import Job, STARTING
from neo_cli.jobs.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
def add(name): store.add(Job(name, 'arn', STARTING, 1.0, 1.0, {'x': 'y' * 200}), {})
for number in range(int(sys.argv[2])): add(f'kept{number}')
print('ready', flush=True)
for line in sys.stdin: add(line.strip()); print('added', flush=True)
"""


def writer(file: Path, kept: int) -> subprocess.Popen[str]:
    line = [sys.executable, "-c", WRITER, str(file), str(kept)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def names(file: Path) -> set[str]:
    """Those that every index knows, in a store that is sound."""
    store = SqliteStore(str(file))
    try:
        pages = [{job.name for job in store.page(Query(sort=sort, limit=999))} for sort in ("Name", "CreationTime")]
        assert pages[0] == pages[1] and store._db.run("PRAGMA integrity_check") == [("ok",)]
        return pages[0]
    finally:
        store.close()


def killed_at(file: Path, call: int) -> tuple[bool, set[str]]:
    """A writer that is killed at its `call`th write to the disk: whether it was, and what it had acknowledged."""
    process = writer(file, KEPT)
    rule = ["-e", f"trace={CALLS}", "-e", f"inject={CALLS}:signal=KILL:when={call}"]
    tracer = subprocess.Popen([STRACE, "-f", "-qq", "-o", "/dev/null", *rule, "-p", str(process.pid)])  # type: ignore[list-item]
    while "TracerPid:\t0\n" in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.005)
    out, _ = process.communicate("one\ntwo\n", timeout=60)
    tracer.wait(30)
    done = dict(zip(("one", "two"), out.split()))
    return process.returncode == -9, {*done, *(f"kept{number}" for number in range(KEPT))}


def kills(folder: Path, step: int) -> dict[str, int]:
    """A kill at every `step`th write until a job has got through, the files beside deleted each time: how often all
    that was acknowledged was there, how often the damage was told, how often neither."""
    figures = {"whole": 0, "told": 0, "silent": 0}
    for call in range(step, 99, step):
        file = folder / str(call) / "jobs.db"
        killed, acknowledged = killed_at(file, call)
        for end in ("-wal", "-shm"):
            Path(f"{file}{end}").unlink()
        try:
            figures["whole" if names(file) >= acknowledged else "silent"] += 1
        except AssertionError:
            figures["silent"] += 1
        except StoreError as error:
            figures["told"] += "is damaged; move it away" in str(error)
        if not killed or "one" in acknowledged:
            break
    return figures


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("step", [pytest.param(4, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)])
def test_a_kill_at_any_write_and_the_log_deleted(tmp_path: Path, step: int) -> None:
    """Between the commit and its way into the main file, and in the middle of that way: told, or all there."""
    figures = kills(tmp_path, step)
    assert figures["whole"] and figures["told"] and figures["silent"] == 0, figures


@pytest.mark.parametrize("ends", [("-wal",), ("-shm",), ("-wal", "-shm")])
def test_files_that_are_deleted_under_an_open_store_end_its_use(tmp_path: Path, ends: tuple[str, ...]) -> None:
    """Whoever had it open says so and writes no more, also after a newcomer began files of his own."""
    file = tmp_path / "jobs.db"
    old = SqliteStore(str(file))
    for number in range(KEPT):
        old.add(Job(f"kept{number}", "arn", STARTING, 1.0, 1.0, {"x": "y" * 200}), {})
    for end in ends:
        Path(f"{file}{end}").unlink()
    new = writer(file, 0)
    for number in range(10):
        assert new.stdin is not None and new.stdout is not None
        new.stdin.write(f"new{number}\n")
        new.stdin.flush()
        assert new.stdout.readline() == "added\n"
        for act in (lambda: old.get("kept1"), lambda: old.add(Job("lost", "arn", STARTING, 1.0, 1.0, {}), {})):
            with pytest.raises(StoreError, match="was removed while it was in use: nothing was written"):
                act()
    old.close()
    new.communicate(timeout=60)
    assert names(file) == {*(f"kept{n}" for n in range(KEPT)), *(f"new{n}" for n in range(10))}


def test_the_whole_file_is_read_only_when_the_log_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed store keeps its log; a hundred thousand jobs are not checked by every command."""
    file, asked, real = tmp_path / "jobs.db", list[str](), driver.Connection.run

    def run(self: driver.Connection, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        asked.append(statement)
        return real(self, statement, values)

    monkeypatch.setattr(driver.Connection, "run", run)
    for _ in range(3):
        store = SqliteStore(str(file))
        store.add(Job("a", "arn", STARTING, 1.0, 1.0, {}), {})
        store.close()
    assert not [statement for statement in asked if "integrity" in statement]
    Path(f"{file}-wal").unlink()
    SqliteStore(str(file)).close()
    assert [statement for statement in asked if "integrity" in statement] == ["PRAGMA integrity_check(1)"]
