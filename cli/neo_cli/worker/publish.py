"""Publication, exactly once: prepared in full, announced in the store under the fence, then made visible."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError, InternalError, JobError
from neo_cli.base.paths import home
from neo_cli.jobs import life, settings
from neo_cli.jobs.job import COMPLETED, INPROGRESS, STOPPING, Job
from neo_cli.jobs.stores.base import Store
from neo_cli.worker import begun
from neo_cli.worker.lent import lent
from neo_cli.worker.locations.base import CredentialsExpired, Prepared, join, location_of

RENEWAL, PAUSE = 900.0, 2.0  # seconds: that expired credentials are waited for, between looks at them
SILENT = 3600.0  # seconds that a place may give no answer to what became of a lost attempt's artifact


def publish(
    job: Job, result: Mapping[str, Any], store: Store, environ: Mapping[str, str], now: Callable[[], float],
    meanwhile: Callable[..., Any], say: Callable[[str], None] = lambda text: None, renewal: float = RENEWAL,
) -> bool:  # fmt: skip
    """Put artifact and report where the request wants them and COMPLETE the job; False when the fence says no.

    The artifact's commit comes last: who sees it sees its report as well. A stop that arrives after the announcement
    is too late. `meanwhile(step, undo)` does the slow steps and may end them. Expired credentials are waited for, at
    most `renewal` seconds. Raises JobError when the output cannot be written.
    """
    output, patience, visible = job.request["OutputConfig"], _Renewal(meanwhile, say, renewal), False
    prepared, noted = list[Prepared](), begun.Begun(environ, job.name, job.attempt)
    uris = {key: join(output["S3OutputLocation"], Path(result[key]).name) for key in ("report", "artifact")}
    mark = metadata(job, result["digest"])
    try:
        for key, uri in uris.items():
            location, there = location_of(uri, environ)
            step = partial(
                location.prepare, there, Path(result[key]), mark, output.get("KmsKeyId"), partial(noted.note, uri)
            )
            prepared.append(patience.through(partial(meanwhile, step, lambda made: made.abort())))
        facts = {"uri": uris["artifact"], **{key: result[key] for key in ("digest", "derived", "verified")}}
        if not _announce(store, job, facts):
            return False
        for item in prepared:
            patience.through(item.commit)  # in this thread: once it is sent, no stop comes between
        visible = True
        prepared.clear()
    except CredentialsExpired as error:
        raise InternalError(f"{error.message} The artifact is kept in {_keep(job, result, environ)}.") from error
    finally:
        for item in prepared:
            item.abort()
        if visible and not patience.waited:
            noted.forget()
        else:  # also the pieces of a try whose credentials did not even suffice to take them away
            begun.clear(noted.file, environ)
    return complete(store, job, facts, now())


class _Renewal:
    """Steps that wait, all together at most `seconds`, until expired credentials are renewed by whoever does so."""

    def __init__(self, meanwhile: Callable[..., Any], say: Callable[[str], None], seconds: float) -> None:
        self._meanwhile, self._say, self._seconds, self._limit = meanwhile, say, seconds, 0.0

    @property
    def waited(self) -> bool:
        return self._limit > 0

    def through(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except CredentialsExpired as error:
                if not self.waited:
                    self._limit = time.monotonic() + self._seconds
                    self._say(f"{error.message} New ones are waited for.")
                if time.monotonic() >= self._limit:
                    raise
            self._meanwhile(partial(time.sleep, PAUSE))


def _keep(job: Job, result: Mapping[str, Any], environ: Mapping[str, str]) -> Path:
    """Copy artifact and report to a folder that outlives the attempt: hours of compilation are not thrown away."""
    folder = home("state", environ) / "kept" / job.name
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for key in ("report", "artifact"):
        shutil.copyfile(result[key], folder / Path(result[key]).name)
    return folder


def _announce(store: Store, job: Job, facts: Mapping[str, Any]) -> bool:
    """The point after which a stop is too late; False when one came before, or when the attempt is fenced."""
    return store.note(job.name, job.attempt, {life.ANNOUNCED: facts}, unless=STOPPING)


def complete(store: Store, job: Job, facts: Mapping[str, Any], now: float) -> bool:
    """Write the verdict; also when a stop came after the announcement."""
    changes = {"artifact": facts["uri"], "digest": facts["digest"], "derived": facts["derived"], "ended": now}
    return any(
        store.move(job.name, source, COMPLETED, job.attempt, now, "published", **changes)
        for source in (INPROGRESS, STOPPING)
    )


def finish_earlier(job: Job, store: Store, environ: Mapping[str, str], now: float) -> bool:
    """Whether an attempt before this one had published already and died before its verdict: then write that.

    Raises JobError when its place cannot be asked.
    """
    facts = job.extra.get(life.ANNOUNCED)
    if not facts:
        return False
    location, there = location_of(facts["uri"], environ)
    return location.holds(there, {"neo-digest": facts["digest"]}) and complete(store, job, facts, now)


def decide(job: Job, store: Store, environ: Mapping[str, str], now: float) -> None:
    """What a lost attempt that had announced its artifact comes to: COMPLETED when that is visible; else its pieces
    are removed first, so that it cannot become visible any more, and the loss is treated like any other. While the
    place is away nothing is decided, for SILENT seconds after the lease."""
    if not store.note(job.name, job.attempt, {life.DECIDER: life.identity()._asdict()}):
        return
    life.end_leftovers(job)
    begun.clear(begun.folder(environ) / f"{job.name}-{job.attempt}", environ)
    with lent(settings.over(environ, job.extra)) as own:
        try:
            if finish_earlier(job, store, own, now):
                return
        except InputError:
            pass  # refused for good: whether anything lies there cannot be known
        except JobError:
            if now < (job.lease or 0) + SILENT:
                store.note(job.name, job.attempt, {life.DECIDER: None, life.ASKED: now})
                return
    life.recover(store, job, now)


def metadata(job: Job, digest: str) -> dict[str, str]:
    """What a published object carries, by which its attempt is recognised."""
    return {"neo-job": job.name, "neo-attempt": str(job.attempt), "neo-digest": digest}
