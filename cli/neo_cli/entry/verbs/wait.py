"""`neo-cli wait compilation-job-completed-or-stopped`: until a job has ended; 255 and the reason when it FAILED."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from neo_cli.base.errors import NeoError

if TYPE_CHECKING:
    from neo_cli.clients.base import Client
    from neo_cli.entry.context import Context

ENDED = ("COMPLETED", "STOPPED", "FAILED")
FIRST, GROWTH, LONGEST = 0.2, 1.5, {"local": 1.0, "aws": 15.0}  # seconds between looks


class JobFailed(NeoError):
    """The job that was waited for has FAILED; exit 255, as an AWS waiter."""


@click.group("wait")
def command() -> None:
    """Wait until a job has ended (ours; AWS has no waiter for compilation jobs)."""


@command.command("compilation-job-completed-or-stopped")
@click.option("--compilation-job-name", "name", required=True, metavar="NAME", help="the job")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="give up after so long; the job goes on"
)
@click.pass_obj
def completed_or_stopped(context: Context, name: str, timeout: float | None) -> None:
    """Until the job is COMPLETED or STOPPED (exit 0) or FAILED (exit 255, the reason on standard error).

    Ctrl-C ends the waiting, not the job.

    \b
    Examples:
      neo-cli wait compilation-job-completed-or-stopped --compilation-job-name ocr-det
    """
    from neo_cli.clients import client_for
    from neo_cli.clients.base import engine

    kind = str(engine(context).value)
    job = wait(context, client_for(context), name, LONGEST[kind], timeout)
    if job["CompilationJobStatus"] == "FAILED":
        raise JobFailed(
            f"Waiter CompilationJobCompletedOrStopped failed: the job {name} FAILED: {job.get('FailureReason', '')}"
        )


def wait(
    context: Context, client: Client, name: str, longest: float, timeout: float | None = None,
    sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:  # fmt: skip
    """The described job, once it has ended; says each change of status on a terminal's standard error."""
    began, pause, said = clock(), FIRST, ""
    try:
        while True:
            job = client.call("DescribeCompilationJob", {"CompilationJobName": name})
            status = str(job["CompilationJobStatus"])
            if status != said and context.interactive:
                context.say(f"{name}: {status} after {clock() - began:.0f} s")
            said = status
            if status in ENDED:
                return job
            if timeout is not None and clock() - began >= timeout:
                raise NeoError(
                    f"Waiter CompilationJobCompletedOrStopped failed: Max attempts exceeded: the job {name} is still {status}."
                )
            sleep(pause)
            pause = min(pause * GROWTH, longest)
    except KeyboardInterrupt:
        context.say(f"The job {name} goes on; `neo-cli stop-compilation-job --compilation-job-name {name}` stops it.")
        raise
