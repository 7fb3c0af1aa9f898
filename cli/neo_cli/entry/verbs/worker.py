"""`neo-cli worker`: run waiting jobs until told to end, on a machine that should only work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

LOOK, BACK_OFF = 0.2, 2.0  # seconds between looks at the runners; before one that ended is started again
TEND = 5.0  # seconds between looks at the store: a runner that is stopped cannot look for itself


@click.command("worker")
@click.option("--slots", type=click.IntRange(min=1), help="jobs at once (NEO_SLOTS, else half the cores)")
@click.pass_obj
def command(context: Context, slots: int | None) -> None:
    """Run waiting jobs in this process's children until TERM or Ctrl-C (ours, not AWS's).

    The first signal gives running jobs back to the queue; they start again under another worker. A second one ends
    at once. Exit code 143 after TERM, 130 after Ctrl-C. A runner that dies is replaced. Commands that create jobs
    start runners by themselves; this is for machines without a terminal.

    \b
    Examples:
      neo-cli worker --slots 4
    """
    from neo_cli.jobs import launch

    count = slots or launch.slots(context.environ)
    told = Told()
    told.install()
    runners = [_start(count, context) for _ in range(count)]
    context.say(f"{count} runner{'s' if count > 1 else ''} at work; Ctrl-C ends them.")
    tended = time.monotonic()
    try:
        while not told.signals:
            _replace_dead(runners, count, context)
            if time.monotonic() - tended >= TEND:
                _tend(context)
                tended = time.monotonic()
            time.sleep(LOOK)
    finally:
        _end(runners, told)
    raise click.exceptions.Exit(128 + told.signals[0])


class Told:
    """The signals that asked this command to end, in order."""

    def __init__(self) -> None:
        self.signals: list[int] = []

    def install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)


def _start(count: int, context: Context) -> subprocess.Popen[bytes]:
    """A runner in a session of its own: Ctrl-C reaches it through this command alone, as TERM."""
    line = [sys.executable, "-m", "neo_cli.worker", "--stay", "--slots", str(count), "--parent", str(os.getpid())]
    return subprocess.Popen(line, env=dict(context.environ), start_new_session=True)


def _replace_dead(runners: list[subprocess.Popen[bytes]], count: int, context: Context) -> None:
    for place, runner in enumerate(runners):
        if runner.poll() is not None:
            context.say(f"A runner ended with code {runner.returncode}; another takes its place.")
            time.sleep(BACK_OFF)
            runners[place] = _start(count, context)


def _tend(context: Context) -> None:
    """Take lost jobs back; runners that are stopped beyond their lease are ended, and replaced after that."""
    from neo_cli.jobs import life
    from neo_cli.jobs.opened import open_store
    from neo_cli.jobs.stores.base import StoreError

    try:
        store = open_store(context.environ)
        try:
            life.tend(store, time.time())
        finally:
            store.close()
    except StoreError as error:
        context.say(error.message)


def _end(runners: list[subprocess.Popen[bytes]], told: Told) -> None:
    """TERM to every runner; KILL when a second signal comes while they clear up."""
    for runner in runners:
        runner.terminate()
    while any(runner.poll() is None for runner in runners):
        if len(told.signals) > 1:
            for runner in runners:
                runner.kill()
        time.sleep(LOOK / 4)
