"""Processes that work on one store and are killed at random: python tests/jobs/stress.py [--jobs N] [--kills N] [--seed N].

Each worker claims jobs, finishes, fails or gives them back, and writes what the store acknowledged into a file of its
own; the driver kills (KILL) or freezes (STOP) workers and starts others. Afterwards `judge` counts what the store's
promises were worth. The figures are printed as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

from neo_cli.jobs import life
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, MOVES, STARTING, TERMINAL, Job
from neo_cli.jobs.stores.base import Query, StoreError
from neo_cli.jobs.stores.sqlite import SqliteStore

LEASE = 0.3
T = TypeVar("T")


def worker(folder: Path, seed: int) -> None:
    """Until no job is left that has not ended."""
    choose = random.Random(seed)
    store, me = SqliteStore(str(folder / "jobs.db")), life.identity()
    with (folder / f"{me.pid}.acknowledged").open("a", buffering=1) as acknowledged:
        while turn(store, me, choose, folder, acknowledged):
            pass


def patiently(step: Callable[..., T], *arguments: Any, **more: Any) -> T:
    """A store that was busy for 10 seconds is asked again: it has said that nothing happened."""
    while True:
        try:
            return step(*arguments, **more)
        except StoreError as error:
            if "is busy" not in str(error):
                raise


def turn(store: SqliteStore, me: life.Runner, choose: random.Random, folder: Path, acknowledged: TextIO) -> bool:
    """Work on one job, if one waits; False when all have ended."""
    now = time.time()
    waiting = patiently(life.tend, store, now)
    job = patiently(store.claim, me, now, now + LEASE, 100)
    if job is None:
        if not waiting and not store.under_way():
            return False
        time.sleep(0.02)
        return True
    acknowledged.write(f"{job.name} {job.attempt} {INPROGRESS}\n")
    time.sleep(choose.random() * 0.1)
    patiently(store.renew, job.name, job.attempt, time.time() + LEASE)
    patiently(store.note, job.name, job.attempt, {"by": me.pid})
    time.sleep(choose.random() * 0.1)
    target = choose.choices((COMPLETED, FAILED, STARTING), (6, 2, 2))[0]
    artifact = f"{job.name}:{job.attempt}" if target == COMPLETED else None
    moved = patiently(store.move, job.name, INPROGRESS, target, job.attempt, time.time(), artifact=artifact)
    if moved:
        acknowledged.write(f"{job.name} {job.attempt} {target}\n")
    else:
        (folder / f"{me.pid}.fenced").touch()
    return True


def drive(folder: Path, processes: int, jobs: int, kills: int, seed: int) -> dict[str, int]:
    """Run the whole of it; the figures."""
    choose = random.Random(seed)
    store = SqliteStore(str(folder / "jobs.db"))
    for number in range(jobs):
        store.add(Job(f"j{number}", "arn", STARTING, float(number), float(number), {}), {})
    numbers = itertools.count(seed)

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, __file__, "--worker", str(folder), "--seed", str(next(numbers))])

    running = [start() for _ in range(processes)]
    killed = frozen = 0
    while killed + frozen < kills and any(job.status not in TERMINAL for job in store.page(Query(limit=jobs))):
        time.sleep(choose.random() * 0.2)
        at_work = [n for n in range(processes) if (folder / f"{running[n].pid}.acknowledged").is_file()]
        if not at_work:
            continue
        holders = {job.runner.pid for job in store.under_way() if job.runner is not None}
        holding = [n for n in at_work if running[n].pid in holders]
        victim = choose.choice(holding if holding and choose.random() < 0.7 else at_work)
        if choose.random() < 0.25:
            frozen += 1
            running[victim].send_signal(signal.SIGSTOP)  # whoever finds its lease over ends it; it may hold the lock
            threading.Timer(4 * LEASE, running[victim].send_signal, (signal.SIGCONT,)).start()
        else:
            killed += 1
            running[victim].kill()
        running.append(running[victim])
        running[victim] = start()
    for process in running[:processes]:
        process.wait()
    for process in running[processes:]:
        process.kill()
        process.wait()
    figures = judge(store, folder, jobs)
    store.close()
    return {"processes": processes, "killed": killed, "frozen": frozen, **figures}


def judge(store: SqliteStore, folder: Path, jobs: int) -> dict[str, int]:
    """Count broken promises; all but `transitions`, `fenced` and `lost_attempts` should be 0."""
    kept = {job.name: job for job in store.page(Query(limit=jobs + 1))}
    events = {name: store.events(name) for name in kept}
    seen = {(name, e.attempt, e.target) for name, chain in events.items() for e in chain}
    told = [line.split() for file in folder.glob("*.acknowledged") for line in file.read_text().splitlines()]
    illegal = sum(
        after.source != before.target or after.target not in MOVES[before.target] or after.seq != before.seq + 1
        for chain in events.values()
        for before, after in itertools.pairwise(chain)
    )
    attempts = sum(
        [e.attempt for e in chain if e.target == INPROGRESS] != list(range(1, kept[name].attempt + 1))
        for name, chain in events.items()
    )
    return {
        "transitions": len(seen),
        "fenced": len(list(folder.glob("*.fenced"))),
        "lost_attempts": sum(e.detail in ("its worker was lost", "lost too often") for c in events.values() for e in c),
        "jobs_lost": jobs - len(kept),
        "jobs_not_ended": sum(job.status not in TERMINAL for job in kept.values()),
        "ended_twice": sum(sum(e.target in TERMINAL for e in chain) != 1 for chain in events.values()),
        "status_is_not_last_event": sum(events[n][-1].target != job.status for n, job in kept.items()),
        "illegal_moves": illegal,
        "attempts_with_gaps": attempts,
        "acknowledged_lost": sum((name, int(attempt), target) not in seen for name, attempt, target in told),
        "wrong_artifact": sum(j.artifact != f"{n}:{j.attempt}" for n, j in kept.items() if j.status == COMPLETED),
        "damaged": int(store._db.run("PRAGMA integrity_check") != [("ok",)]),
    }


GOOD = ("processes", "killed", "frozen", "transitions", "fenced", "lost_attempts")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--jobs", 400), ("--kills", 80), ("--processes", 8), ("--seed", 1)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--worker", type=Path)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(drive(Path(folder), given.processes, given.jobs, given.kills, given.seed), indent=2))


if __name__ == "__main__":
    os.umask(0o077)
    main()
