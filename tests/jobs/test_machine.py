"""Any sequence of store operations: SQLite answers as the plain memory store, and what it kept obeys the rules."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from neo_cli.jobs.job import COMPLETED, INPROGRESS, MOVES, STARTING, STOPPING, TERMINAL, Job, Runner
from neo_cli.jobs.stores.base import SORTS, Query, TooManyJobs
from neo_cli.jobs.stores.memory import MemoryStore
from neo_cli.jobs.stores.sqlite import SqliteStore

NAMES = st.sampled_from(["a", "b", "c-1", "d"])
TIMES = st.integers(0, 5).map(float)
ATTEMPTS = st.integers(0, 3)
RUNNERS = st.sampled_from([Runner("h", "b", 1, 1), Runner("h", "b", 2, 2)])
TAGS = st.dictionaries(st.sampled_from("xyz"), st.text(max_size=3), max_size=3)


class StoreMachine(RuleBasedStateMachine):
    """Every rule asks both stores the same and compares the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.file = str(Path(self.folder.name) / "jobs.db")
        self.real, self.model = SqliteStore(self.file), MemoryStore()
        self.real._db.run("PRAGMA synchronous=OFF")  # nobody pulls the plug here

    def teardown(self) -> None:
        self.real.close()
        self.folder.cleanup()

    def both(self, method: str, *arguments: Any, **more: Any) -> Any:
        real, model = (getattr(store, method)(*arguments, **more) for store in (self.real, self.model))
        assert real == model, (method, arguments, more)
        return real

    @rule(name=NAMES, at=TIMES, tags=TAGS, limit=st.none() | st.integers(0, 3))
    def add(self, name: str, at: float, tags: dict[str, str], limit: int | None) -> None:
        answers = list[Any]()
        for store in (self.real, self.model):
            try:
                answers.append(store.add(Job(name, f"arn/{name}", STARTING, at, at, {"n": name}), tags, limit))
            except TooManyJobs:
                answers.append("too many")
        assert answers[0] == answers[1]
        if answers[0] is True and limit is not None:
            assert len(self.real.waiting()) + len(self.real.under_way()) <= limit

    @rule(runner=RUNNERS, at=TIMES, slots=st.integers(1, 3))
    def claim(self, runner: Runner, at: float, slots: int) -> None:
        self.both("claim", runner, at, at + 30, slots)

    @rule(name=NAMES, attempt=ATTEMPTS, at=TIMES)
    def renew(self, name: str, attempt: int, at: float) -> None:
        self.both("renew", name, attempt, at)

    @rule(name=NAMES, attempt=ATTEMPTS, value=st.integers(), unless=st.sampled_from(["", STOPPING]))
    def note(self, name: str, attempt: int, value: int, unless: str) -> None:
        self.both("note", name, attempt, {"v": value}, unless)

    @rule(name=NAMES, move=st.sampled_from(sorted((a, b) for a in MOVES for b in MOVES[a])), attempt=ATTEMPTS, at=TIMES)
    def move(self, name: str, move: tuple[str, str], attempt: int, at: float) -> None:
        self.both("move", name, *move, attempt, at, "why", ended=at if move[1] in TERMINAL else None)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        self.both("delete", name)

    @rule(name=NAMES, tags=TAGS, limit=st.integers(1, 3))
    def tag(self, name: str, tags: dict[str, str], limit: int) -> None:
        if self.model.get(name):
            self.both("tag", name, tags, limit)

    @rule(name=NAMES, keys=st.lists(st.sampled_from("xyz")))
    def untag(self, name: str, keys: list[str]) -> None:
        self.both("untag", name, keys)

    @rule(
        sort=st.sampled_from(sorted(SORTS)),
        descending=st.booleans(),
        status=st.sampled_from([None, *MOVES]),
        after=TIMES,
    )
    def page(self, sort: str, descending: bool, status: str | None, after: float) -> None:
        self.both("page", Query(sort=sort, descending=descending, status=status, created_after=after, limit=3))

    @rule()
    def reopen(self) -> None:
        self.real.close()
        self.real = SqliteStore(self.file)
        self.real._db.run("PRAGMA synchronous=OFF")

    @invariant()
    def stands_as_its_events_say(self) -> None:
        self.both("waiting")
        assert sorted(job.name for job in self.real.under_way()) == sorted(job.name for job in self.model.under_way())
        for job in self.both("page", Query()):
            events = self.both("events", job.name)
            assert [e.seq for e in events] == list(range(1, len(events) + 1))
            assert events[-1].target == job.status and events[-1].attempt == job.attempt
            for before, after in pairwise(events):
                assert after.source == before.target and after.target in MOVES[before.target]
            assert sum(e.target in TERMINAL for e in events) == (job.status in TERMINAL)
            self.both("tags", job.name)


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
test_stores_agree = StoreMachine.TestCase


def test_stop_and_finish_race_to_one_end(tmp_path: Path) -> None:
    """Whoever commits first decides; the other is told."""
    import threading

    stores = [SqliteStore(str(tmp_path / "jobs.db")) for _ in range(2)]
    rounds = 200
    for store in stores:
        store._db.run("PRAGMA synchronous=OFF")
    for number in range(rounds):
        name = f"j{number}"
        stores[0].add(Job(name, "arn", STARTING, 1.0, 1.0, {}), {})
        assert stores[0].claim(Runner("h", "b", 1, 1), 1.0, 2.0, 1) is not None
        gate, answers = threading.Barrier(2), {}

        def act(store: SqliteStore, target: str, gate: Any = gate, answers: Any = answers, name: str = name) -> None:
            gate.wait()
            answers[target] = store.move(name, INPROGRESS, target, 1, 3.0)

        threads = [threading.Thread(target=act, args=pair) for pair in zip(stores, (COMPLETED, STOPPING))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers.values()) == [False, True]
        if answers[STOPPING]:
            assert stores[1].move(name, STOPPING, "STOPPED", 1, 4.0)
        job = stores[0].get(name)
        assert job is not None and job.status == (COMPLETED if answers[COMPLETED] else "STOPPED")
    for store in stores:
        store.close()
