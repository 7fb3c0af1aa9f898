"""`neo-cli worker`: run waiting jobs until told to end, on a machine that should only work."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from neo_cli.entry.context import Context


@click.command("worker")
@click.option("--slots", type=click.IntRange(min=1), help="jobs at once (NEO_SLOTS, else half the cores)")
@click.pass_obj
def command(context: Context, slots: int | None) -> None:
    """Run waiting jobs in this process's children until TERM or Ctrl-C (ours, not AWS's).

    The first signal gives running jobs back to the queue; they start again under another worker. A second one ends
    at once. Commands that create jobs start runners by themselves; this is for machines without a terminal.

    \b
    Examples:
      neo-cli worker --slots 4
    """
    from neo_cli.jobs import launch

    count = slots or launch.slots(context.environ)
    line = [sys.executable, "-m", "neo_cli.worker", "--stay", "--slots", str(count)]
    runners = [subprocess.Popen(line) for _ in range(count)]
    context.say(f"{count} runner{'s' if count > 1 else ''} at work; Ctrl-C ends them.")
    try:
        for runner in runners:
            runner.wait()
    except BaseException:
        for runner in runners:
            runner.terminate()
        for runner in runners:
            runner.wait()
        raise
