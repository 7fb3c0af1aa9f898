"""Whether a runner still lives, and what becomes of jobs whose runner does not or whose time is over."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from neo_cli.jobs.job import FAILED, INPROGRESS, LOSSES, STARTING, STOPPED, STOPPING, Job, Runner
from neo_cli.jobs.stores.base import Store

MARK = "NEO_ATTEMPT"  # in the environment of an attempt's processes
ANNOUNCED = "publishing"  # the key of Job.extra under which an attempt says what it is about to make visible
DECIDER = "decider"  # the key of Job.extra for the runner that finds out what became of such an attempt
ASKED = "asked"  # and for the time at which its place gave no answer; it is asked again after a minute
AGAIN = 60.0
KILLS = "memory_kills"  # the key of Job.extra for what the kernel had counted when the compiler started
STOPPED_STATES = "Tt"  # of /proc/<pid>/stat: stopped by a signal or a debugger


def boot() -> str:
    """This boot's identity: process numbers of another one mean nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def memory_kills() -> int | None:
    """How many processes the kernel has ended for want of memory since the boot; None where it does not say."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def identity(pid: int | None = None) -> Runner:
    """The identity of a process of this machine; `start` is 0 when it is gone."""
    number = os.getpid() if pid is None else pid
    found = _stat(number)
    return Runner(platform.node(), boot(), number, found[1] if found else 0)


def state(runner: Runner) -> str | None:
    """The process state letter of a runner of this machine; None when it is gone, a zombie, or a stranger."""
    if runner.host != platform.node() or runner.boot != boot():
        return None
    found = _stat(runner.pid)
    if found is None or found[1] != runner.start or found[0] == "Z":
        return None
    return found[0]


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rsplit(")", 1)[1].split()
    return fields[0], int(fields[19])


def tend(store: Store, now: float) -> int:
    """Reap lost attempts and jobs that waited too long; the number of jobs that wait afterwards.

    What an attempt had announced may be visible or not; such a job is left to a runner (`undecided`).
    """
    for job in store.under_way():
        if _lost(job, now) and ANNOUNCED not in job.extra:
            recover(store, job, now)
    waiting = 0
    for job in store.waiting():
        deadline = job.pending_deadline
        if deadline is not None and now >= deadline:
            reason = "ClientError: TimeOut: The job waited longer than its StoppingCondition allows (MaxPendingTimeInSeconds, MaxWaitTimeInSeconds)."
            store.move(job.name, STARTING, FAILED, job.attempt, now, "waited too long", reason=reason, ended=now)
        else:
            waiting += 1
    return waiting


def undecided(store: Store, now: float) -> list[Job]:
    """Jobs whose attempt is lost and had announced what it published: a runner looks there before it says more.

    Not those at which a live runner is looking already: a place that answers slowly needs one of them.
    """
    return [job for job in store.under_way() if ANNOUNCED in job.extra and _lost(job, now) and not _looked_at(job, now)]


def _looked_at(job: Job, now: float) -> bool:
    decider = job.extra.get(DECIDER)
    if decider is None:
        return ASKED in job.extra and 0 <= now - job.extra[ASKED] < AGAIN
    return state(Runner(**decider)) not in (None, *STOPPED_STATES)


def _lost(job: Job, now: float) -> bool:
    """Dead, or stopped for longer than its lease. A live runner keeps its job even when the clock jumped."""
    if job.runner is None:
        return True
    if job.runner.host != platform.node():  # another machine's: the lease is all there is to go by
        return job.lease is None or now > job.lease
    letter = state(job.runner)
    return letter is None or (letter in STOPPED_STATES and job.lease is not None and now > job.lease)


def recover(store: Store, job: Job, now: float) -> None:
    """What a lost attempt comes to: STOPPED when that was asked for, FAILED when its time or its tries are over,
    else STARTING again. What the attempt left running is ended first."""
    end_leftovers(job)
    losses = int(job.extra.get("losses", 0)) + 1
    why = " for want of memory" if _starved(job) else ""
    extra = {**job.extra, "losses": losses}
    deadline = job.run_deadline
    if job.status == STOPPING:
        store.move(job.name, STOPPING, STOPPED, job.attempt, now, "its worker was lost while it stopped", ended=now)
    elif deadline is not None and now >= deadline:
        reason = (
            f"ClientError: TimeOut: The job did not complete within {job.max_runtime} seconds (MaxRuntimeInSeconds)."
        )
        store.move(job.name, INPROGRESS, FAILED, job.attempt, now, "time is over", reason=reason, ended=now)
    elif losses >= LOSSES:
        reason = f"InternalServerError: The worker of the job was lost {losses} times{why}."
        store.move(
            job.name, INPROGRESS, FAILED, job.attempt, now, "lost too often", reason=reason, ended=now, extra=extra
        )
    else:
        store.move(
            job.name,
            INPROGRESS,
            STARTING,
            job.attempt,
            now,
            f"its worker was lost{why}",
            extra=extra,
            lease=None,
            runner=None,
        )


def _starved(job: Job) -> bool:
    """Whether the kernel has ended processes for want of memory since the attempt began."""
    before, after = job.extra.get(KILLS), memory_kills()
    same = job.runner is not None and job.runner.boot == boot()
    return same and before is not None and after is not None and after > before


def end_leftovers(job: Job) -> None:
    """Kill the lost runner when it is merely stopped, the compiler it started, and what that started in its turn."""
    if job.runner is not None and state(job.runner) is not None:
        _kill(job.runner.pid)
    child = job.extra.get("child")
    if child and state(Runner(**child)) is not None:
        _kill(child["pid"])
    if job.runner is not None and job.runner.host == platform.node():
        for pid in marked(token(job)):
            _kill(pid)


def token(job: Job) -> str:
    """The value of MARK in the environment of all processes of an attempt; no other attempt has it."""
    runner = job.runner
    return f"{runner.pid}-{runner.start}-{job.name}-{job.attempt}" if runner else ""


def marked(value: str) -> list[int]:
    """This user's processes whose environment carries the token, in whatever session they are."""
    wanted, found = f"{MARK}={value}".encode(), []
    for entry in Path("/proc").glob("[0-9]*") if value else ():
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # another user's, or gone
            continue
    return found


def _kill(pid: int) -> None:
    import signal

    for send in (lambda: os.killpg(pid, signal.SIGKILL), lambda: os.kill(pid, signal.SIGKILL)):
        try:
            send()
        except (ProcessLookupError, PermissionError):
            continue
