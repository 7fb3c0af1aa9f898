"""Timestamps, colour, the pager, readers that leave and disks that are full."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.entry.context import Context
from neo_cli.entry.output.stream import PagerError, Sink, pager_command
from neo_cli.entry.output.timestamps import iso8601


@pytest.fixture
def new_york(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_timestamps_are_local_with_microseconds(new_york: None) -> None:
    assert iso8601(1700000000.123) == "2023-11-14T17:13:20.123000-05:00"
    assert iso8601(1690000000) == "2023-07-22T00:26:40-04:00"
    assert iso8601("2023-11-14T22:13:20Z") == "2023-11-14T17:13:20-05:00"
    assert iso8601("Tue, 14 Nov 2023 22:13:20 GMT") == "2023-11-14T17:13:20-05:00"
    assert iso8601("soon") == "soon"
    assert iso8601(1e20) == 1e20


@given(st.floats(0, 4e9))
def test_a_timestamp_reads_back(seconds: float) -> None:
    text = iso8601(seconds)
    assert datetime.fromisoformat(text) == datetime.fromtimestamp(seconds, UTC)


@pytest.mark.parametrize(
    ("environ", "config", "options", "command"),
    [
        ({}, "", {}, "less"),
        ({"PAGER": "more"}, "", {}, "more"),
        ({"PAGER": "more"}, "cli_pager = most", {}, "most"),
        ({"PAGER": "more", "AWS_PAGER": "cat"}, "cli_pager = most", {}, "cat"),
        ({"PAGER": "more", "AWS_PAGER": ""}, "", {}, ""),
        ({"PAGER": "more"}, "cli_pager =", {}, ""),
        ({"PAGER": "more"}, "", {"no_cli_pager": True}, ""),
    ],
)
def test_which_pager(environ: dict[str, str], config: str, options: Any, command: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[default]\n{config}\n")
    context = Context(environ={"AWS_CONFIG_FILE": str(tmp_path / "config"), **environ}, options=options)
    assert pager_command(context) == command


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pager_gets_the_text_and_starts_only_for_some(tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    environ = {**os.environ, "AWS_PAGER": f"sh -c 'cat > {shown}'"}
    with Sink(Context(environ=environ, stdout=Terminal())):
        pass
    assert not shown.exists()
    with Sink(Context(environ=environ, stdout=Terminal())) as sink:
        sink.write("é\n")
    assert shown.read_text(encoding="utf-8") == "é\n"


def test_a_pager_that_is_left_early_is_no_error() -> None:
    environ = {**os.environ, "AWS_PAGER": "true"}
    for write in ("write", "write_all"):
        with Sink(Context(environ=environ, stdout=Terminal())) as sink:
            getattr(sink, write)("x" * 300_000)


def test_a_pager_that_is_not_there_is_named() -> None:
    context = Context(environ={"AWS_PAGER": "nosuchpager"}, stdout=Terminal())
    with pytest.raises(PagerError, match=r"^Unable to redirect output to pager.*\n\[Errno 2\].*nosuchpager"):
        with Sink(context) as sink:
            sink.write("x")
    assert PagerError.code == "Pager" and PagerError.exit == 253


CHILD = """
import sys
from neo_cli.entry.context import Context
from neo_cli.entry.output import emit
emit("ListTags", [{"Tags": [{"Key": "k", "Value": "v" * 100000}]}], None, Context(environ={}, options={"output": sys.argv[1]}))
"""


def child(output: str, target: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, output]
    return subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True, timeout=60)


@pytest.mark.parametrize("output", ["json", "yaml", "table"])
def test_whole_documents_pass_over_a_full_disk_as_with_aws(output: str) -> None:
    with open("/dev/full", "w") as full:
        run = child(output, full)
    assert (run.returncode, run.stderr) == (0, "")


def test_text_does_not_pass_over_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        run = child("text", full)
    assert run.returncode != 0 and "No space left on device" in run.stderr


@pytest.mark.parametrize("output", ["json", "table"])
def test_a_reader_that_has_left_is_no_error(output: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = child(output, writing)
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, "")
