"""What a store of jobs does: small steps, each atomic, each fenced by status and attempt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from neo_cli.base.errors import NeoError
from neo_cli.jobs.job import Job, Runner

SORTS = {"Name": "name", "CreationTime": "created", "Status": "status"}


class StoreError(NeoError):
    """The store cannot be used: its file is unreadable, damaged, too new, or its disk is full."""


class StoreBusy(StoreError):
    """Nothing was changed, and the same step may go through later: the file is locked, or its disk is full."""


class TooManyJobs(Exception):
    """As many jobs wait or are under way as the limit of `Store.add` allows."""


class Query(NamedTuple):
    """What ListCompilationJobs asks for. Time bounds are exclusive; `after` is the keyset of the page before."""

    sort: str = "CreationTime"
    descending: bool = False
    limit: int = 100
    status: str | None = None
    contains: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    modified_after: float | None = None
    modified_before: float | None = None
    after: tuple[Any, str] | None = None


class Event(NamedTuple):
    """One move of one job."""

    seq: int
    attempt: int
    source: str | None
    target: str
    at: float
    detail: str


class Store(ABC):
    """Jobs, their events and their tags. Every method is one transaction; a method that changes nothing returns False."""

    @abstractmethod
    def add(self, job: Job, tags: Mapping[str, str], limit: int | None = None) -> bool:
        """Keep a new job with its first event; False when its name is taken.

        Raises TooManyJobs, and keeps nothing, when `limit` jobs or more have not ended.
        """

    @abstractmethod
    def get(self, name: str) -> Job | None:
        """The job, or None."""

    @abstractmethod
    def page(self, query: Query) -> list[Job]:
        """Up to `limit` jobs in order, ties broken by name."""

    @abstractmethod
    def claim(self, runner: Runner, now: float, lease: float, slots: int) -> Job | None:
        """Give the oldest waiting job to `runner` as its next attempt, INPROGRESS with a lease until `lease`.

        None when nothing waits, or when `slots` attempts are under way already.
        """

    @abstractmethod
    def renew(self, name: str, attempt: int, lease: float) -> str | None:
        """Prolong the attempt's lease; the job's status, or None when the attempt is not the current one any more."""

    @abstractmethod
    def note(self, name: str, attempt: int, extra: Mapping[str, Any], unless: str = "") -> bool:
        """Write what the attempt wants remembered, while it is the current one and the job is not `unless`."""

    @abstractmethod
    def move(
        self, name: str, source: str, target: str, attempt: int, now: float, detail: str = "", **changes: Any
    ) -> bool:
        """Move the job from `source` to `target` when it stands there in that attempt; `changes` are fields of Job."""

    @abstractmethod
    def delete(self, name: str) -> bool:
        """Forget a job that has ended, its events and its tags; False when it is not there or not ended."""

    @abstractmethod
    def events(self, name: str) -> list[Event]:
        """The job's moves, oldest first."""

    @abstractmethod
    def under_way(self) -> list[Job]:
        """Jobs that are INPROGRESS or STOPPING."""

    @abstractmethod
    def waiting(self) -> list[Job]:
        """Jobs that are STARTING, oldest first."""

    @abstractmethod
    def tags(self, name: str) -> dict[str, str]:
        """The job's tags, in key order."""

    @abstractmethod
    def tag(self, name: str, tags: Mapping[str, str], limit: int) -> bool:
        """Set tags, overwriting by key; False, and nothing done, when more than `limit` would be there."""

    @abstractmethod
    def untag(self, name: str, keys: list[str]) -> None:
        """Remove tags; keys that are not there are no error."""

    def close(self) -> None:  # noqa: B027  a store without resources has nothing to give back
        """Give the store's resources back."""
