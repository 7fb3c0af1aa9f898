"""The job record and the moves it may make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

STARTING, INPROGRESS, COMPLETED = "STARTING", "INPROGRESS", "COMPLETED"
FAILED, STOPPING, STOPPED = "FAILED", "STOPPING", "STOPPED"

# Going back from INPROGRESS to STARTING is a lost attempt that is tried again.
MOVES: Mapping[str, frozenset[str]] = {
    STARTING: frozenset({INPROGRESS, STOPPED, FAILED}),
    INPROGRESS: frozenset({COMPLETED, FAILED, STOPPING, STARTING}),
    STOPPING: frozenset({STOPPED, COMPLETED}),  # COMPLETED when publication had begun before the stop came
    COMPLETED: frozenset(),
    FAILED: frozenset(),
    STOPPED: frozenset(),
}
TERMINAL = frozenset(status for status, after in MOVES.items() if not after)

DAY = 86_400
LOSSES = 3  # a job whose worker was lost so often is FAILED


class Runner(NamedTuple):
    """Who works on an attempt: enough to tell a live process from a stranger that got its number later."""

    host: str
    boot: str
    pid: int
    start: int  # clock ticks after boot, field 22 of /proc/<pid>/stat


@dataclass(frozen=True)
class Job:
    """One compilation job. Times are epoch seconds; `request` is the CreateCompilationJob request as it was sent,
    with local places made absolute. `attempt` is the fencing token: who holds an older one writes nothing."""

    name: str
    arn: str
    status: str
    created: float
    modified: float
    request: Mapping[str, Any]
    attempt: int = 0
    started: float | None = None
    ended: float | None = None
    lease: float | None = None
    runner: Runner | None = None
    reason: str | None = None
    artifact: str | None = None
    digest: str | None = None
    derived: str | None = None
    image: str | None = None
    trusted: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)  # what the worker notes: input version, verified, ...

    @property
    def stopping(self) -> Mapping[str, Any]:
        condition: Mapping[str, Any] = self.request.get("StoppingCondition") or {}
        return condition

    @property
    def max_runtime(self) -> int:
        """Seconds of work before the job is FAILED with TimeOut; a day when the request says nothing."""
        return int(self.stopping.get("MaxRuntimeInSeconds", DAY))

    @property
    def pending_deadline(self) -> float | None:
        """When a job that still waits is FAILED: the earlier of MaxPendingTime and MaxWaitTime."""
        bounds = [self.stopping[k] for k in ("MaxPendingTimeInSeconds", "MaxWaitTimeInSeconds") if k in self.stopping]
        return self.created + min(bounds) if bounds else None

    @property
    def run_deadline(self) -> float | None:
        """The wall-clock second after which the attempt is over, for whoever finds it without its runner."""
        if self.started is None:
            return None
        limit = self.started + self.max_runtime
        wait = self.stopping.get("MaxWaitTimeInSeconds")
        return limit if wait is None else min(limit, self.created + wait)
