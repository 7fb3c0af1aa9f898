"""Publication, exactly once: prepared in full, announced in the store under the fence, then made visible."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from neo_cli.base.errors import JobError
from neo_cli.jobs.job import COMPLETED, INPROGRESS, STOPPING, Job
from neo_cli.jobs.stores.base import Store
from neo_cli.worker.begun import Begun
from neo_cli.worker.locations.base import Prepared, join, location_of

NOTE = "publishing"


def publish(
    job: Job, result: Mapping[str, Any], store: Store, environ: Mapping[str, str], now: Callable[[], float],
    meanwhile: Callable[[Callable[[], Prepared], Callable[[Prepared], Any]], Prepared],
) -> bool:  # fmt: skip
    """Put artifact and report where the request wants them and COMPLETE the job; False when the fence says no.

    The artifact's commit comes last: who sees it sees its report as well. A stop that arrives after the announcement
    is too late. `meanwhile` does the slow steps and may end them. Raises JobError when the output cannot be written.
    """
    output = job.request["OutputConfig"]
    prepared, begun = list[Prepared](), Begun(environ, job.name, job.attempt)
    uris = {key: join(output["S3OutputLocation"], Path(result[key]).name) for key in ("report", "artifact")}
    mark = metadata(job, result["digest"])
    try:
        for key, uri in uris.items():
            location, there = location_of(uri, environ)
            step = partial(
                location.prepare, there, Path(result[key]), mark, output.get("KmsKeyId"), partial(begun.note, uri)
            )
            prepared.append(meanwhile(step, lambda made: made.abort()))
        facts = {
            "uri": uris["artifact"],
            "digest": result["digest"],
            "derived": result["derived"],
            "verified": result["verified"],
        }
        if not _announce(store, job, facts):
            return False
        for item in prepared:
            item.commit()
        prepared.clear()
    finally:
        for item in prepared:
            item.abort()
        begun.forget()
    return complete(store, job, facts, now())


def _announce(store: Store, job: Job, facts: Mapping[str, Any]) -> bool:
    current = store.get(job.name)
    if current is None or current.status != INPROGRESS or current.attempt != job.attempt:
        return False
    return store.note(job.name, job.attempt, {NOTE: dict(facts)})


def complete(store: Store, job: Job, facts: Mapping[str, Any], now: float) -> bool:
    """Write the verdict; also when a stop came after the announcement."""
    changes = {"artifact": facts["uri"], "digest": facts["digest"], "derived": facts["derived"], "ended": now}
    return any(
        store.move(job.name, source, COMPLETED, job.attempt, now, "published", **changes)
        for source in (INPROGRESS, STOPPING)
    )


def finish_earlier(job: Job, store: Store, environ: Mapping[str, str], now: float) -> bool:
    """Whether an attempt before this one had published already and died before its verdict: then write that."""
    facts = job.extra.get(NOTE)
    if not facts:
        return False
    with contextlib.suppress(JobError):
        location, there = location_of(facts["uri"], environ)
        if location.holds(there, {"neo-digest": facts["digest"]}):
            return complete(store, job, facts, now)
    return False


def metadata(job: Job, digest: str) -> dict[str, str]:
    """What a published object carries, by which its attempt is recognised."""
    return {"neo-job": job.name, "neo-attempt": str(job.attempt), "neo-digest": digest}
