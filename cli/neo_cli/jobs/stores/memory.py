"""Jobs in this process's memory: for tests, and the plainest statement of what a store does."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from neo_cli.jobs.job import INPROGRESS, MOVES, STARTING, STOPPING, TERMINAL, Job, Runner
from neo_cli.jobs.stores.base import SORTS, Event, Query, Store, TooManyJobs


class MemoryStore(Store):
    """Every method holds one lock."""

    def __init__(self, place: str = "") -> None:
        self._jobs: dict[str, Job] = {}
        self._events: dict[str, list[Event]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._lock = threading.RLock()

    def add(self, job: Job, tags: Mapping[str, str], limit: int | None = None) -> bool:
        with self._lock:
            if job.name in self._jobs:
                return False
            if limit is not None and sum(j.status not in TERMINAL for j in self._jobs.values()) >= limit:
                raise TooManyJobs
            self._jobs[job.name], self._events[job.name], self._tags[job.name] = job, [], dict(tags)
            self._record(job, None, job.status, job.created, "")
            return True

    def get(self, name: str) -> Job | None:
        return self._jobs.get(name)

    def page(self, query: Query) -> list[Job]:
        field = SORTS[query.sort]
        with self._lock:
            jobs = [j for j in self._jobs.values() if _matches(j, query)]
        jobs.sort(key=lambda j: (getattr(j, field), j.name), reverse=query.descending)
        if query.after is not None:
            last = query.after
            jobs = [
                j
                for j in jobs
                if ((getattr(j, field), j.name) < last if query.descending else (getattr(j, field), j.name) > last)
            ]
        return jobs[: query.limit]

    def claim(self, runner: Runner, now: float, lease: float, slots: int) -> Job | None:
        with self._lock:
            waiting = self.waiting()
            if not waiting or len(self.under_way()) >= slots:
                return None
            job = waiting[0]
            started = job.started if job.started is not None else now
            taken = replace(
                job,
                status=INPROGRESS,
                attempt=job.attempt + 1,
                runner=runner,
                lease=lease,
                started=started,
                modified=now,
            )
            self._jobs[job.name] = taken
            self._record(taken, STARTING, INPROGRESS, now, f"{runner.host}:{runner.pid}")
            return taken

    def renew(self, name: str, attempt: int, lease: float) -> str | None:
        with self._lock:
            job = self._jobs.get(name)
            if job is None or job.attempt != attempt or job.status not in (INPROGRESS, STOPPING):
                return None
            self._jobs[name] = replace(job, lease=lease)
            return job.status

    def note(self, name: str, attempt: int, extra: Mapping[str, Any], unless: str = "") -> bool:
        with self._lock:
            job = self._jobs.get(name)
            if job is None or job.attempt != attempt or job.status not in {INPROGRESS, STOPPING} - {unless}:
                return False
            self._jobs[name] = replace(job, extra={**job.extra, **extra})
            return True

    def move(
        self, name: str, source: str, target: str, attempt: int, now: float, detail: str = "", **changes: Any
    ) -> bool:
        if target not in MOVES[source]:
            raise ValueError(f"no job moves from {source} to {target}")
        with self._lock:
            job = self._jobs.get(name)
            if job is None or job.status != source or job.attempt != attempt:
                return False
            self._jobs[name] = replace(job, status=target, modified=now, **changes)
            self._record(self._jobs[name], source, target, now, detail)
            return True

    def delete(self, name: str) -> bool:
        with self._lock:
            job = self._jobs.get(name)
            if job is None or job.status not in TERMINAL:
                return False
            for table in (self._jobs, self._events, self._tags):
                table.pop(name)  # type: ignore[attr-defined]
            return True

    def events(self, name: str) -> list[Event]:
        return list(self._events.get(name, []))

    def under_way(self) -> list[Job]:
        with self._lock:
            return [j for j in self._jobs.values() if j.status in (INPROGRESS, STOPPING)]

    def waiting(self) -> list[Job]:
        with self._lock:
            return sorted((j for j in self._jobs.values() if j.status == STARTING), key=lambda j: (j.created, j.name))

    def tags(self, name: str) -> dict[str, str]:
        with self._lock:
            return dict(sorted(self._tags.get(name, {}).items()))

    def tag(self, name: str, tags: Mapping[str, str], limit: int) -> bool:
        with self._lock:
            merged = {**self._tags.get(name, {}), **tags}
            if len(merged) > limit:
                return False
            self._tags[name] = merged
            return True

    def untag(self, name: str, keys: list[str]) -> None:
        with self._lock:
            for key in keys:
                self._tags.get(name, {}).pop(key, None)

    def _record(self, job: Job, source: str | None, target: str, at: float, detail: str) -> None:
        events = self._events[job.name]
        events.append(Event(len(events) + 1, job.attempt, source, target, at, detail))


def _matches(job: Job, query: Query) -> bool:
    bounds = (
        (query.created_after, job.created, True), (query.created_before, job.created, False),
        (query.modified_after, job.modified, True), (query.modified_before, job.modified, False),
    )  # fmt: skip
    if any(bound is not None and not (value > bound if after else value < bound) for bound, value, after in bounds):
        return False
    return (query.status is None or job.status == query.status) and (
        query.contains is None or query.contains in job.name
    )
