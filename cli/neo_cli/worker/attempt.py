"""One attempt at one job: fetch, compile in a watched child, publish, and write the verdict under the fence."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InternalError, JobError
from neo_cli.jobs.job import FAILED, INPROGRESS, STARTING, STOPPED, STOPPING, Job
from neo_cli.jobs.logs import log_path
from neo_cli.jobs.places import path_of
from neo_cli.jobs.stores.base import Store, StoreBusy, StoreError
from neo_cli.worker import packages, publish
from neo_cli.worker.compiler import GRACE, Compiler
from neo_cli.worker.journal import Journal
from neo_cli.worker.limits import Limits
from neo_cli.worker.locations.base import Fetched, location_of
from neo_cli.worker.patience import PATIENCE, patient
from neo_cli.worker.sweep import remove, work_folder
from neo_cli.worker.watched import T, watched

LEASE, HEARTBEAT, LOOK = 30.0, 5.0, 0.25  # seconds: of a lease, between renewals, between looks at child and job
ARCHIVE_LIMIT = 16 * 2**30


class Fenced(Exception):
    """The job is not this attempt's any more: write nothing, leave nothing."""


class StopAsked(Exception):
    """The job is STOPPING."""


class TimeOver(Exception):
    """MaxRuntimeInSeconds, or MaxWaitTimeInSeconds, has passed."""


@dataclass
class Attempt:
    """Works on `job`. `clock` is monotonic and measures run time; `now` is wall time for the record.

    `store` answers or raises at once, for the looks that come again; `_steady` keeps trying, for what must be written.
    """

    job: Job
    store: Store
    environ: Mapping[str, str]
    now: Callable[[], float] = lambda: round(time.time(), 3)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    interrupted: Callable[[], bool] = lambda: False
    _began: float = field(default=0.0, init=False)
    _renewed: float = field(default=0.0, init=False)
    _seen: float = field(default=0.0, init=False)  # when the store last answered

    def __post_init__(self) -> None:
        self._steady = patient(self.store)

    def run(self) -> None:
        """Take the job to its end, or give it back when this runner was told to end."""
        job = self.job
        self._began = self._renewed = self._seen = self.clock()
        folder = work_folder(self.environ, job.name, job.attempt)
        journal = Journal(log_path(self.environ, job.name), job.name, job.attempt, self.now)
        journal.line(f"attempt {job.attempt} begins")
        try:
            remove(folder)
            folder.mkdir(parents=True, mode=0o700)
            if not self._finished_earlier():
                self._work(folder, journal)
        except Fenced:
            journal.line("the job is another attempt's now; nothing is written", "WARNING")
        except StopAsked:
            self._close(STOPPING, STOPPED, journal, "stopped")
        except TimeOver:
            self._fail(TimedOut(f"The job did not complete within {self._limit():.0f} seconds."), journal)
        except JobError as error:
            self._fail(error, journal)
        except InterruptedError:
            told = "its runner was told to end"
            self._steady.move(
                job.name, INPROGRESS, STARTING, job.attempt, self.now(), told, lease=None, runner=None
            )  # fmt: skip
        except OSError as error:
            self._fail(InternalError(f"The worker cannot work: {error}."), journal)
        except StoreError:
            raise
        except Exception as error:  # a mistake of ours: it would come again
            journal.line(traceback.format_exc(), "ERROR")
            self._fail(InternalError(f"The worker failed: {type(error).__name__}: {error}"), journal)
        finally:
            remove(folder)
            journal.close()

    def _finished_earlier(self) -> bool:
        with contextlib.suppress(JobError):  # a place that is away now may be back when the artifact is made again
            return publish.finish_earlier(self.job, self._steady, self.environ, self.now())
        return False

    def _work(self, folder: Path, journal: Journal) -> None:
        request = self._meanwhile(lambda: packages.resolve(self.job.request, self.environ))
        uri = request["InputConfig"]["S3Uri"]
        archive = (Path(path_of(uri)).name if uri.startswith("file://") else uri.rsplit("/", 1)[-1]) or "model.tar.gz"
        journal.line(f"stage: fetch: {uri}")
        location, there = location_of(uri, self.environ)
        fetched: Fetched = self._meanwhile(lambda: location.fetch(there, folder / archive, ARCHIVE_LIMIT))
        if fetched.version:
            self._steady.note(self.job.name, self.job.attempt, {"input_version": fetched.version})
        self._publish(self._compile(replace(self.job, request=request), archive, folder, journal), journal)

    def _compile(self, job: Job, archive: str, folder: Path, journal: Journal) -> Mapping[str, Any]:
        limits = Limits(self.environ, folder)
        compiler = Compiler.start(job, archive, folder, self.environ, journal)
        try:
            self._steady.note(self.job.name, self.job.attempt, compiler.mark())
            while compiler.running():
                self._look()
                limits.look()
                self.sleep(LOOK)
        except BaseException as ending:
            compiler.end(0.0 if isinstance(ending, Fenced) else GRACE)
            raise
        compiler.end(0.5)
        self._look()
        result = compiler.result()
        if "reason" in result:
            raise Told(result["reason"])
        return result

    def _publish(self, result: Mapping[str, Any], journal: Journal) -> None:
        journal.line("stage: publish")
        left = self._limit() - (self.clock() - self._began)
        renewal = min(publish.RENEWAL, 0.9 * left)  # so that the reason is not the time that ran out over it
        if not publish.publish(
            self.job, result, self._steady, self.environ, self.now, self._meanwhile, journal.line, renewal
        ):  # fmt: skip
            self._look()
            raise Fenced
        journal.line("COMPLETED")

    def _meanwhile(self, work: Callable[[], T], undo: Callable[[T], Any] | None = None) -> T:
        """The result of a slow step; the lease is renewed and the job looked at while it goes on."""
        return watched(work, self._look, LOOK, undo)

    def _look(self) -> None:
        """Renew the lease when it is time; notice a stop, the time-out, the fence, and a runner told to end."""
        if self.interrupted():
            raise InterruptedError
        status = self._status()
        if status == STOPPING:
            raise StopAsked
        if status != INPROGRESS:
            raise Fenced
        if self.clock() - self._began >= self._limit():
            raise TimeOver

    def _status(self) -> str | None:
        """The job's status while it is this attempt's. A store that is busy or full is borne for a while: a runner
        that lives keeps its job."""
        clock, job = self.clock(), self.job
        try:
            if clock - self._renewed >= HEARTBEAT:
                status = self.store.renew(job.name, job.attempt, self.now() + LEASE)
                self._renewed = clock
            else:
                current = self.store.get(job.name)
                status = current.status if current is not None and current.attempt == job.attempt else None
        except StoreBusy:
            if clock - self._seen >= PATIENCE:
                raise
            return INPROGRESS
        self._seen = clock
        return status

    def _limit(self) -> float:
        """Seconds of work this attempt may take: what earlier attempts and the wait have used is gone."""
        job = self.job
        claimed = job.modified
        used = claimed - (job.started if job.started is not None else claimed)
        limit = job.max_runtime - used
        wait = job.stopping.get("MaxWaitTimeInSeconds")
        return max(0.0, limit if wait is None else min(limit, job.created + wait - claimed))

    def _fail(self, error: JobError, journal: Journal) -> None:
        journal.line(error.reason, "ERROR")
        now = self.now()
        changes = {"reason": error.reason, "ended": now}
        if not self._steady.move(self.job.name, INPROGRESS, FAILED, self.job.attempt, now, "failed", **changes):
            self._close(STOPPING, STOPPED, journal, "stopped while it failed")

    def _close(self, source: str, target: str, journal: Journal, detail: str) -> None:
        now = self.now()
        with contextlib.suppress(ValueError):
            if self._steady.move(self.job.name, source, target, self.job.attempt, now, detail, ended=now):
                journal.line(target)


class TimedOut(JobError):
    """The job took longer than its StoppingCondition allows."""

    prefix = "ClientError: TimeOut: "


class Told(JobError):
    """A failure whose whole reason came from the compiler child."""

    prefix = ""
