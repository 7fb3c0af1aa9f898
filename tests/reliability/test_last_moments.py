"""A stop, a time-out or a kill in the moments in which an artifact becomes visible: what is said is what lies there."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any, cast

import pytest

from neo_cli.base.errors import InputError, InternalError, JobError, ValidationException
from neo_cli.jobs import launch, life
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, STARTING, STOPPED, STOPPING, TERMINAL, Job, Runner
from neo_cli.jobs.service import Service
from neo_cli.jobs.stores.base import Store
from neo_cli.jobs.stores.sqlite import SqliteStore
from neo_cli.worker import publish
from neo_cli.worker.locations.file import FileLocation
from reliability.test_faults import DONE, work
from worker.conftest import House
from worker.test_attempt import reason, runner

# The runner is asked to stop and then killed: before anything is visible, or when all is.
DIE = """
import os, neo_cli.worker.attempt as a, neo_cli.worker.publish as p, neo_cli.worker.locations.file as f
from neo_cli.jobs.opened import open_store
def die(*given):
    store = open_store(os.environ)
    assert 'publishing' in store.get('a').extra
    store.move('a', 'INPROGRESS', {target!r}, 1, 1.0, **{changes!r}) if {target!r} else None
    os.kill(os.getpid(), 9)
{where} = die
"""
BEFORE, AFTER = "f.PreparedFile.commit", "p.complete"
DIGEST = hashlib.blake2b(b"model-ml_c4.tar.gz").hexdigest()
FINISHED = DONE.replace('"d" * 64', repr(DIGEST))
AGAIN = "raise ValueError('compiled again')"


def killed(house: House, where: str, target: str = "", **changes: Any) -> None:
    """A runner that died there; the job stands as `target`."""
    dead = runner(house, FINISHED, before=DIE.format(where=where, target=target, changes=changes))
    dead.communicate(timeout=60)
    assert dead.returncode == -9


def left(house: House) -> list[str]:
    """What is not a result: hidden files beside the output, work folders, notes."""
    state = Path(house.environ["NEO_HOME"], "state")
    return [*(n for n in house.output if n.startswith(".")), *work(house), *map(str, state.glob("begun/*"))]


def test_stopped_and_killed_when_the_artifact_is_visible_is_completed(house: House) -> None:
    house.create("a")
    killed(house, AFTER, STOPPING)
    life.tend(house.store, time.time())
    assert house.status("a") == STOPPING  # nobody says STOPPED while an artifact of the job lies there
    launch.look(house.store, house.environ, time.time())  # its slot is taken by the dead attempt; a runner comes
    assert house.until("a", COMPLETED, STOPPED, FAILED) == COMPLETED
    job = house.store.get("a")
    assert job is not None and job.attempt == 1 and job.digest == DIGEST
    assert [e.target for e in house.store.events("a")] == [STARTING, INPROGRESS, STOPPING, COMPLETED]


def test_stopped_and_killed_before_anything_is_visible_is_stopped(house: House) -> None:
    house.create("a")
    killed(house, BEFORE, STOPPING)
    assert runner(house, AGAIN).communicate()[1] == b""
    assert house.status("a") == STOPPED and house.output == [] and left(house) == []


@pytest.mark.parametrize("why", ["TimeOut", "lost 3 times"])
@pytest.mark.parametrize("where", [BEFORE, AFTER])
def test_what_is_visible_is_completed_although_time_or_tries_are_over(house: House, where: str, why: str) -> None:
    house.create("a", StoppingCondition={"MaxRuntimeInSeconds": 1 if why == "TimeOut" else 120})
    killed(house, where)
    if why == "TimeOut":
        time.sleep(1)
    else:
        house.store.note("a", 1, {"losses": 2})
    assert runner(house, AGAIN).communicate()[1] == b""
    if where == AFTER:
        assert house.status("a") == COMPLETED and len(house.output) == 2
    else:
        assert why in reason(house, "a") and house.output == []
    assert left(house) == []


def test_nothing_is_decided_while_the_output_gives_no_answer(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.create("a")
    killed(house, AFTER, STOPPING)
    job, start = house.store.get("a"), time.time()
    assert job is not None and life.undecided(house.store, start) == [job]

    def away(*given: object) -> bool:
        raise InternalError("S3 could not be reached")

    with monkeypatch.context() as patch:
        patch.setattr(FileLocation, "holds", away)
        publish.decide(job, house.store, house.environ, start)
    assert house.status("a") == STOPPING and life.undecided(house.store, start + 1) == []
    (again,) = life.undecided(house.store, start + life.AGAIN)
    publish.decide(again, house.store, house.environ, start + life.AGAIN)
    assert house.status("a") == COMPLETED


@pytest.mark.parametrize("error, after", [(InternalError("away"), publish.SILENT), (InputError("403"), 0.0)])
def test_a_place_that_never_answers_is_waited_for_so_long(
    house: House, monkeypatch: pytest.MonkeyPatch, error: JobError, after: float
) -> None:
    house.create("a")
    killed(house, BEFORE, STOPPING)
    job = house.store.get("a")
    assert job is not None and job.lease is not None

    def away(*given: object) -> bool:
        raise error

    monkeypatch.setattr(FileLocation, "holds", away)
    publish.decide(job, house.store, house.environ, job.lease + after)
    assert house.status("a") == STOPPED


class Signalling:
    """A store, and a way through a publication: the `step`th thing that is done there opens the gate."""

    def __init__(self, store: Store, step: int) -> None:
        self._store, self._left, self.gate = store, step, threading.Event()

    def pass_by(self) -> None:
        self._left -= 1
        if self._left < 0:
            self.gate.set()

    def meanwhile(self, step: Any, undo: Any = None) -> Any:
        self.pass_by()
        return step()

    def __getattr__(self, name: str) -> Any:
        self.pass_by()
        return getattr(self._store, name)


STEPS = 5  # before the first file is prepared, the second, the announcement, the verdict, and when all is done
RESULT = {"digest": "d", "derived": None, "verified": "ran"}


def race(folder: Path, rounds: int) -> dict[str, int]:
    """Stop against publication: how many jobs ended so and so, and how many contradict what lies there."""
    stores = [SqliteStore(str(folder / "jobs.db")) for _ in range(2)]
    for store in stores:
        store._db.run("PRAGMA synchronous=OFF")  # the order of commits is what matters here
    for name in ("r", "m.tar.gz"):
        (folder / name).write_text(name)
    figures = {COMPLETED: 0, STOPPED: 0, "contradictions": 0}
    for number in range(rounds):
        name, out = f"j{number}", folder / "out" / str(number)
        request = {"OutputConfig": {"S3OutputLocation": f"file://{out}"}}
        stores[0].add(Job(name, "arn", STARTING, 1.0, 1.0, request), {})
        job = stores[0].claim(Runner("h", "b", 1, 1), 2.0, 9.0, 100)
        assert job is not None
        finished = _both(stores, job, folder, number % STEPS)
        if not finished:
            assert stores[0].move(name, STOPPING, STOPPED, 1, 4.0)
        kept = stores[0].get(name)
        assert kept is not None
        there = sorted(os.listdir(out)) if out.exists() else []
        ends = [e.target for e in stores[0].events(name) if e.target in TERMINAL]
        right = there == (["m.tar.gz", "r"] if finished else []) and ends == [COMPLETED if finished else STOPPED]
        figures["contradictions"] += not right or kept.status != ends[0]
        figures[kept.status] += 1
    for store in stores:
        store.close()
    return figures


def _both(stores: list[SqliteStore], job: Job, folder: Path, step: int) -> bool:
    """Publish by one connection; stop by the other, from that step on. Whether the publication won."""
    way, finished = Signalling(stores[0], step), list[bool]()
    result = {**RESULT, "artifact": str(folder / "m.tar.gz"), "report": str(folder / "r")}
    environ = {"NEO_HOME": str(folder / "home")}

    def work() -> None:
        finished.append(publish.publish(job, result, cast(Store, way), environ, lambda: 3.0, way.meanwhile))
        way.pass_by()

    thread = threading.Thread(target=work)
    thread.start()
    assert way.gate.wait(60)
    try:
        Service(stores[1], lambda: 3.0).call("StopCompilationJob", {"CompilationJobName": job.name})
    except ValidationException as refusal:
        assert "is COMPLETED; only" in refusal.message
    thread.join()
    return finished[0]


@pytest.mark.parametrize("rounds", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_stop_against_publication(tmp_path: Path, rounds: int) -> None:
    """Case 63 with the artifact: a job is COMPLETED and its artifact is there, or STOPPED and it is not."""
    figures = race(tmp_path, rounds)
    assert figures["contradictions"] == 0 and figures[COMPLETED] and figures[STOPPED], figures
