"""The store's file under hostile circumstances, and the clock's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from neo_cli.jobs.job import COMPLETED, INPROGRESS, STARTING, STOPPED, STOPPING, Job, Runner
from neo_cli.jobs.stores.base import Query, StoreError
from neo_cli.jobs.stores.sqlite import SqliteStore
from reliability.others import locked_out
from reliability.test_faults import small_disk

WRITER = """
import os, sys
from neo_cli.jobs.job import Job, STARTING
from neo_cli.jobs.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
for number in range(20): store.add(Job(f"j{number}", "arn", STARTING, float(number), 1.0, {}), {})
print("written", flush=True)
input()
"""


def job(name: str, at: float = 1.0) -> Job:
    return Job(name, "arn", STARTING, at, at, {})


def test_a_read_only_disk_is_told_and_what_is_there_stays(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2048):
        store = SqliteStore(str(tmp_path / "disk" / "jobs.db"))
        store.add(job("a"), {})
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", str(tmp_path / "disk")], check=True)
        with pytest.raises(StoreError, match=r"jobs\.db cannot be (written|opened|used)"):
            store = SqliteStore(str(tmp_path / "disk" / "jobs.db"))
            store.add(job("b"), {})
        subprocess.run(["mount", "-o", "remount,rw", str(tmp_path / "disk")], check=True)
        store = SqliteStore(str(tmp_path / "disk" / "jobs.db"))
        assert [j.name for j in store.page(Query())] == ["a"]
        store.close()


def test_a_log_of_writes_that_someone_deletes_takes_no_job_along(tmp_path: Path) -> None:
    """Case 53: jobs that were acknowledged are in the main file, whatever becomes of -wal and -shm."""
    file = tmp_path / "jobs.db"
    line = [sys.executable, "-c", WRITER, str(file)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    for end in ("-wal", "-shm"):
        Path(str(file) + end).unlink(missing_ok=True)
    store = SqliteStore(str(file))
    assert len(store.page(Query())) == 20 and store._db.run("PRAGMA integrity_check") == [("ok",)]
    store.close()


def test_a_frozen_writer_is_waited_for_and_then_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 52's neighbour: whoever holds the file for too long is told about; nothing is broken afterwards."""
    from neo_cli.jobs.stores import driver

    monkeypatch.setattr(driver, "BUSY_SECONDS", 0.3)
    code = WRITER.replace('print("written"', 'store._db.run("BEGIN IMMEDIATE"); print("written"')
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "jobs.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdin is not None
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    store = SqliteStore(str(tmp_path / "jobs.db"))
    with pytest.raises(StoreError, match="is busy: another process has held it"):
        store.add(job("late"), {})
    assert len(store.page(Query())) == 20  # readers are not held up
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert store.add(job("late"), {})
    store.close()


def test_a_lease_that_ran_out_is_taken_up_again_by_its_owner(tmp_path: Path) -> None:
    """Case 74: the machine slept; nobody took the job meanwhile. When somebody did, the owner is fenced."""
    store, me = SqliteStore(str(tmp_path / "jobs.db")), Runner("h", "b", 1, 1)
    store.add(job("a"), {})
    assert store.claim(me, 1.0, 31.0, 1)
    assert store.renew("a", 1, 9_000.0) == INPROGRESS
    assert store.move("a", INPROGRESS, STARTING, 1, 9_001.0)
    assert store.claim(Runner("h", "b", 2, 2), 9_002.0, 9_032.0, 1)
    assert store.renew("a", 1, 9_999.0) is None and not store.move("a", INPROGRESS, COMPLETED, 1, 9_003.0)
    store.close()


def test_order_does_not_depend_on_the_clock(tmp_path: Path) -> None:
    """Case 72: jobs of one instant, and of a clock that went back, are listed by (created, name), each once."""
    store = SqliteStore(str(tmp_path / "jobs.db"))
    for name, at in (("c", 5.0), ("a", 5.0), ("z", 1.0), ("b", 5.0)):
        store.add(job(name, at), {})
    first = store.page(Query(limit=2))
    rest = store.page(Query(limit=9, after=(first[-1].created, first[-1].name)))
    assert [j.name for j in (*first, *rest)] == ["z", "a", "b", "c"]
    store.close()


def test_stop_against_finish_and_two_claims(tmp_path: Path, rounds: int = 1000) -> None:
    """Cases 63 and 65: one end, one owner, whoever is faster."""
    stores = [SqliteStore(str(tmp_path / "jobs.db")) for _ in range(2)]
    for store in stores:
        store._db.run("PRAGMA synchronous=OFF")  # the order of commits is what matters here
    for number in range(rounds):
        name, gate = f"j{number}", threading.Barrier(2)
        stores[0].add(job(name), {})
        claims: list[Job | None] = [None, None]
        moved: list[bool] = [False, False]

        def act(
            i: int, name: str = name, gate: threading.Barrier = gate, claims: list = claims, moved: list = moved
        ) -> None:  # type: ignore[type-arg]
            gate.wait()
            claims[i] = stores[i].claim(Runner("h", "b", i, i), 2.0, 9.0, 100)
            gate.wait()
            target = COMPLETED if i else STOPPING
            moved[i] = stores[i].move(name, INPROGRESS, target, 1, 3.0)
            if moved[i] and not i:
                assert stores[i].move(name, STOPPING, STOPPED, 1, 4.0)

        threads = [threading.Thread(target=act, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [c is not None for c in claims].count(True) == 1
        assert moved.count(True) == 1
        ends = [e.target for e in stores[0].events(name) if e.target in (COMPLETED, STOPPED)]
        assert ends == [COMPLETED if moved[1] else STOPPED]
    for store in stores:
        store.close()


# The second time as nobody: that user may not be able to read this interpreter, which has loaded all it needs by then.
AS_NOBODY = """
import io, os, sys
from neo_cli.entry.context import Context
from neo_cli.entry.main import run
def listed(home):
    out, err = io.StringIO(), io.StringIO()
    environ = {"NEO_HOME": home, "PATH": os.defpath, "HOME": home}
    return run(Context(("list-compilation-jobs",), environ, io.StringIO(), out, err)), out.getvalue(), err.getvalue()
assert listed(sys.argv[1])[0] == 0
if sys.argv[3:]: os.setgid(65534); os.setuid(65534)
code, out, err = listed(sys.argv[2])
sys.stdout.write(out); sys.stderr.write(err); sys.exit(code)
"""


def _listed(good: Path, home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", AS_NOBODY, str(good), str(home), *more]
    return subprocess.run(line, capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("content", [b"no database" * 500, b"SQLite format 3\0" + bytes(4080)])
def test_a_store_that_cannot_be_used_ends_a_command_with_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Case 52 at the command line: exit code 255, no traceback, and the file is as it was."""
    file = tmp_path / "state" / "jobs.db"
    file.parent.mkdir()
    file.write_bytes(content)
    done = _listed(tmp_path / "good", tmp_path)
    assert done.returncode == 255 and done.stdout == "", done
    assert done.stderr.strip().count("\n") == 0 and str(file) in done.stderr and "Traceback" not in done.stderr
    assert file.read_bytes() == content


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make somebody else's file")
@pytest.mark.skipif(bool(locked_out()), reason=f"others may not enter {locked_out()}")
def test_somebody_elses_store_is_left_alone() -> None:
    """Case 52, wrong owner: nobody opens root's store."""
    with tempfile.TemporaryDirectory(prefix="neo-owner-") as name:
        home = Path(name)
        home.chmod(0o755)
        store = SqliteStore(str(home / "state" / "jobs.db"))
        store.add(job("a"), {})
        store.close()
        (home / "state").chmod(0o755)
        for file in (home / "state").iterdir():
            file.chmod(0o600)
        before = (home / "state" / "jobs.db").read_bytes()
        done = _listed(home / "good", home, "nobody")
        assert done.returncode == 255 and "jobs.db cannot be opened" in done.stderr, done
        assert done.stderr.strip().count("\n") == 0 and (home / "state" / "jobs.db").read_bytes() == before


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_times_in_any_zone_and_after_2038(tmp_path: Path, zone: str) -> None:
    """Case 75: what is printed names its offset and is the same instant."""
    from datetime import datetime

    code = (
        "import sys; from neo_cli.jobs.stores.sqlite import SqliteStore; from neo_cli.jobs.job import Job, STARTING\n"
        "SqliteStore(sys.argv[1]).add(Job('a', 'arn', STARTING, 2200000000.5, 2200000000.5, {'OutputConfig': {}}), {})"
    )
    home = tmp_path / "home"
    (home / "state").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", code, str(home / "state" / "jobs.db")], check=True)
    environ = {"NEO_HOME": str(home), "PATH": os.defpath, "TZ": zone, "HOME": str(tmp_path), "NEO_SLOTS": "1"}
    store = SqliteStore(str(home / "state" / "jobs.db"))
    store.move("a", STARTING, STOPPED, 0, time.time())
    store.close()
    line = [
        sys.executable,
        "-m",
        "neo_cli",
        "describe-compilation-job",
        "--compilation-job-name",
        "a",
        "--query",
        "CreationTime",
        "--output",
        "text",
    ]
    text = subprocess.run(line, env=environ, capture_output=True, text=True, check=True).stdout.strip()
    assert datetime.fromisoformat(text).timestamp() == 2200000000.5 and text[-6] in "+-"
