"""The process ends at once and loses nothing: output, exit code, exit handlers, threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neo_cli import __version__


def python(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, **more)  # type: ignore[call-overload, no-any-return]


def test_output_and_exit_code_arrive() -> None:
    run = python("-m", "neo_cli", "--version")
    assert (run.returncode, run.stdout, run.stderr) == (0, f"neo-cli {__version__}\n", "")
    assert python("-m", "neo_cli", "describe-compilation-job").returncode == 252


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_closed_stream_is_no_error(stream: str) -> None:
    run = subprocess.run(
        ["sh", "-c", f'"$0" -m neo_cli --help {stream}>&-', sys.executable], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0 and "Traceback" not in run.stderr


def test_a_reader_that_leaves_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [sys.executable, "-m", "neo_cli", "--help"], stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")


LEAVE = """
import atexit, sys, threading, time
from neo_cli.__main__ import leave
atexit.register(lambda: print("tidied"))
if sys.argv[1] == "thread":
    threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
print("said", end=" ")
leave(7)
"""


@pytest.mark.parametrize(("mode", "said"), [("plain", "said tidied\n"), ("thread", "said thread\ntidied\n")])
def test_exit_handlers_run_and_threads_are_waited_for(mode: str, said: str, tmp_path: Path) -> None:
    run = python("-c", LEAVE, mode, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (7, said, "")
