"""`neo-cli logs`: what a job of the local engine has logged, and with --follow what it goes on to log."""

from __future__ import annotations

import json
import time
from typing import IO, TYPE_CHECKING

import click

from neo_cli.base.errors import NeoError, ResourceNotFound

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

LOOK = 0.3  # seconds between looks at a log that is followed
ENDED = ("COMPLETED", "STOPPED", "FAILED")


@click.command("logs")
@click.option("--compilation-job-name", "name", required=True, metavar="NAME", help="the job")
@click.option("--follow", "-f", is_flag=True, help="go on until the job has ended")
@click.option("--json", "raw", is_flag=True, help="the lines as they are kept: one JSON object each")
@click.pass_obj
def command(context: Context, name: str, follow: bool, raw: bool) -> None:
    """Show what a job has logged (ours; on AWS look at CloudWatch's /aws/sagemaker/CompilationJobs).

    \b
    Examples:
      neo-cli logs --compilation-job-name ocr-det
      neo-cli logs --compilation-job-name ocr-det --follow
    """
    from neo_cli.clients.base import engine

    if engine(context).value == "aws":
        raise NeoError(
            "Logs of jobs on AWS are in CloudWatch, log group /aws/sagemaker/CompilationJobs, a stream a job."
        )
    try:
        _show(context, name, follow, raw)
    except KeyboardInterrupt:
        if follow:
            context.say(f"The job {name} goes on.")
        raise


def _show(context: Context, name: str, follow: bool, raw: bool) -> None:
    from neo_cli.clients import client_for
    from neo_cli.jobs.logs import log_path

    file, client = log_path(context.environ, name), client_for(context)
    try:
        status = client.call("DescribeCompilationJob", {"CompilationJobName": name})["CompilationJobStatus"]
    except ResourceNotFound:
        if not file.is_file():
            raise
        status = ENDED[0]  # deleted; its log stays
    while not file.is_file():
        if not follow or status in ENDED:
            return
        time.sleep(LOOK)
        status = client.call("DescribeCompilationJob", {"CompilationJobName": name})["CompilationJobStatus"]
    with file.open("rb") as stream:
        _drain(context, stream, raw)
        while follow and status not in ENDED:
            time.sleep(LOOK)
            status = client.call("DescribeCompilationJob", {"CompilationJobName": name})["CompilationJobStatus"]
            _drain(context, stream, raw)


def _drain(context: Context, stream: IO[bytes], raw: bool) -> None:
    """Print the complete lines there are; a line that is still being written is left for the next look."""
    while True:
        place = stream.tell()
        line = stream.readline()
        if not line.endswith(b"\n"):
            stream.seek(place)
            context.stdout.flush()
            return
        text = line.decode("utf-8", "replace")
        context.stdout.write(text if raw else _plain(text))


def _plain(line: str) -> str:
    try:
        record = json.loads(line)
        stamp = time.strftime("%H:%M:%S", time.localtime(record["ts"]))
        level = "" if record["level"] == "INFO" else record["level"] + " "
        return f"{stamp} {level}{record['msg']}\n"
    except (ValueError, KeyError, TypeError):
        return line
