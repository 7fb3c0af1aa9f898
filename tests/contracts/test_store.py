"""Every entry of STORES keeps the contract of a Store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.table import lookup
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, MOVES, STARTING, STOPPED, STOPPING, Job, Runner
from neo_cli.jobs.stores import STORES
from neo_cli.jobs.stores.base import Query, Store, TooManyJobs

ME, OTHER = Runner("here", "boot", 1, 1), Runner("there", "boot", 2, 2)


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = lookup(STORES, request.param)(str(tmp_path / "jobs.db"))
    yield made
    made.close()


def job(name: str, created: float = 1.0, **fields: Any) -> Job:
    request = {
        "CompilationJobName": name,
        "OutputConfig": {"TargetDevice": "ml_c5", "S3OutputLocation": "file:///ü"},
        "StoppingCondition": {},
    }
    return Job(
        name,
        f"arn:x:compilation-job/{name}",
        STARTING,
        created,
        created,
        {**request, **fields.pop("request", {})},
        **fields,
    )


def test_a_job_comes_back_as_it_was_kept(store: Store) -> None:
    kept = job("a", trusted=True, image="i", extra={"k": [1, "ü"]})
    assert store.add(kept, {"k": "v"})
    assert store.get("a") == kept and store.get("b") is None
    assert store.tags("a") == {"k": "v"}
    assert [(e.seq, e.source, e.target) for e in store.events("a")] == [(1, None, STARTING)]


def test_a_name_is_taken_once(store: Store) -> None:
    assert store.add(job("a"), {}) and not store.add(job("a", 2.0), {})
    assert store.get("a").created == 1.0  # type: ignore[union-attr]


def test_jobs_that_have_not_ended_are_limited(store: Store) -> None:
    """Those that wait, run and stop count; a name that is taken is told first, and a refused job leaves nothing."""
    for name in "abc":
        assert store.add(job(name), {}, limit=3)
    store.claim(ME, 2.0, 5.0, 2)
    store.claim(ME, 2.0, 5.0, 2)
    store.move("b", INPROGRESS, STOPPING, 1, 3.0)
    with pytest.raises(TooManyJobs):
        store.add(job("d"), {"k": "v"}, limit=3)
    assert store.get("d") is None and store.tags("d") == {} and store.events("d") == []
    assert not store.add(job("a"), {}, limit=3)
    store.move("b", STOPPING, STOPPED, 1, 4.0)
    assert store.add(job("d"), {}, limit=3)


def test_creators_at_once_never_exceed_the_limit(store: Store) -> None:
    added = list[str]()

    def create(who: int) -> None:
        for number in range(10):
            try:
                store.add(job(f"j{who}-{number}"), {}, limit=7)
                added.append(f"j{who}-{number}")
            except TooManyJobs:
                continue

    threads = [threading.Thread(target=create, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(added) == 7 == len(store.waiting())


def test_what_may_not_be_noted_while_a_stop_goes_on(store: Store) -> None:
    store.add(job("a"), {})
    store.claim(ME, 2.0, 5.0, 1)
    assert store.note("a", 1, {"x": 1}, unless=STOPPING)
    store.move("a", INPROGRESS, STOPPING, 1, 3.0)
    assert not store.note("a", 1, {"x": 2}, unless=STOPPING) and store.note("a", 1, {"y": 3})
    assert store.get("a").extra == {"x": 1, "y": 3}  # type: ignore[union-attr]


def test_the_oldest_waiting_job_is_claimed_within_the_slots(store: Store) -> None:
    for name, created in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        store.add(job(name, created), {})
    first = store.claim(ME, 10.0, 40.0, 2)
    assert first is not None and (
        first.name,
        first.attempt,
        first.status,
        first.runner,
        first.lease,
        first.started,
    ) == ("a", 1, INPROGRESS, ME, 40.0, 10.0)
    assert store.claim(OTHER, 11.0, 41.0, 2).name == "b"  # type: ignore[union-attr]
    assert store.claim(ME, 12.0, 42.0, 2) is None
    assert [j.name for j in store.waiting()] == ["c"] and {j.name for j in store.under_way()} == {"a", "b"}


def test_an_older_attempt_is_fenced(store: Store) -> None:
    store.add(job("a"), {})
    store.claim(ME, 2.0, 5.0, 1)
    assert store.move("a", INPROGRESS, STARTING, 1, 6.0, "lost", lease=None, runner=None)
    again = store.claim(OTHER, 7.0, 40.0, 1)
    assert again is not None and again.attempt == 2 and again.started == 2.0
    assert store.renew("a", 1, 50.0) is None and not store.note("a", 1, {"x": 1})
    assert not store.move("a", INPROGRESS, COMPLETED, 1, 8.0)
    assert store.renew("a", 2, 50.0) == INPROGRESS and store.note("a", 2, {"x": 1})
    assert store.move("a", INPROGRESS, COMPLETED, 2, 9.0, "done", artifact="u", digest="d", ended=9.0)
    assert store.get("a").extra == {"x": 1}  # type: ignore[union-attr]
    assert [(e.attempt, e.target) for e in store.events("a")] == [
        (0, STARTING),
        (1, INPROGRESS),
        (1, STARTING),
        (2, INPROGRESS),
        (2, COMPLETED),
    ]


@pytest.mark.parametrize("source", MOVES)
def test_moves_that_are_not_in_the_table_are_refused(store: Store, source: str) -> None:
    store.add(job("a"), {})
    for target in set(MOVES) - MOVES[source]:
        with pytest.raises(ValueError, match="no job moves from"):
            store.move("a", source, target, 0, 2.0)


def test_a_move_from_another_status_changes_nothing(store: Store) -> None:
    store.add(job("a"), {})
    assert not store.move("a", INPROGRESS, FAILED, 0, 2.0)
    assert store.get("a").status == STARTING and len(store.events("a")) == 1  # type: ignore[union-attr]


def test_only_ended_jobs_are_deleted_with_all_that_belongs_to_them(store: Store) -> None:
    store.add(job("a"), {"k": "v"})
    assert not store.delete("a") and not store.delete("none")
    store.move("a", STARTING, STOPPED, 0, 2.0)
    assert store.delete("a")
    assert store.get("a") is None and store.tags("a") == {} and store.events("a") == []
    assert store.add(job("a"), {}) and store.tags("a") == {}


def test_tags_are_overwritten_by_key_and_limited(store: Store) -> None:
    store.add(job("a"), {"a": "1"})
    assert store.tag("a", {"b": "2", "a": "3"}, 2)
    assert not store.tag("a", {"c": "4"}, 2)
    assert store.tags("a") == {"a": "3", "b": "2"}
    store.untag("a", ["a", "none"])
    assert store.tags("a") == {"b": "2"}


def test_a_stop_reaches_the_runner(store: Store) -> None:
    store.add(job("a"), {})
    store.claim(ME, 2.0, 5.0, 1)
    store.move("a", INPROGRESS, STOPPING, 1, 3.0)
    assert store.renew("a", 1, 9.0) == STOPPING


@pytest.mark.parametrize("sort", ["Name", "CreationTime", "Status"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_join_to_the_whole_list(store: Store, sort: str, descending: bool) -> None:
    for number in range(23):
        store.add(job(f"j{number:02}", float(number // 3)), {})
        if number % 4 == 0:
            store.move(f"j{number:02}", STARTING, FAILED, 0, 50.0 + number)
    whole = store.page(Query(sort=sort, descending=descending))
    field = {"Name": "name", "CreationTime": "created", "Status": "status"}[sort]
    assert [j.name for j in whole] == [
        j.name for j in sorted(whole, key=lambda j: (getattr(j, field), j.name), reverse=descending)
    ]
    seen, after = [], None
    while True:
        page = store.page(Query(sort=sort, descending=descending, limit=5, after=after))
        seen += page
        if len(page) < 5:
            break
        after = (getattr(page[-1], field), page[-1].name)
    assert seen == whole and len(whole) == 23


def test_filters(store: Store) -> None:
    for number in range(10):
        store.add(job(f"{'even' if number % 2 == 0 else 'odd'}-{number}", float(number)), {})
    store.move("odd-3", STARTING, FAILED, 0, 100.0)

    def names(**fields: Any) -> list[str]:
        return [j.name for j in store.page(Query(**fields))]

    assert names(status=FAILED) == ["odd-3"]
    assert names(contains="even") == ["even-0", "even-2", "even-4", "even-6", "even-8"] and names(contains="%") == []
    assert names(created_after=7.0) == ["even-8", "odd-9"] and names(created_before=1.0) == ["even-0"]
    assert names(modified_after=50.0) == ["odd-3"] and len(names(modified_before=50.0)) == 9
    assert names(status=STARTING, contains="odd", created_after=4.0) == ["odd-5", "odd-7", "odd-9"]


def test_two_claimers_never_get_one_job(store: Store) -> None:
    for number in range(40):
        store.add(job(f"j{number}", float(number)), {})
    taken: list[str] = []

    def claim() -> None:
        while (found := store.claim(ME, 2.0, 5.0, 100)) is not None:
            taken.append(found.name)

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"j{n}" for n in range(40))


def test_one_of_many_creators_gets_the_name(store: Store) -> None:
    won = []
    threads = [threading.Thread(target=lambda: won.append(store.add(job("a"), {}))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 1
