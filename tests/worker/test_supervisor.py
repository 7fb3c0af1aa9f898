"""`neo-cli worker`: dead runners are replaced, a signal gives the work back, and runners end with their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neo_cli.jobs import life
from worker.conftest import House, wait_for


def supervisor(house: House) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "neo_cli", "worker", "--slots", "1"], env=house.environ, stderr=subprocess.DEVNULL
    )


def runner_of(process: subprocess.Popen[bytes], other_than: int = 0) -> int:
    """The runner's number, once it has set up its signals."""

    def look() -> int | None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in map(int, children):
            caught = [
                line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")
            ]
            if pid != other_than and caught and int(caught[0].split()[1], 16) >> (signal.SIGTERM - 1) & 1:
                return pid
        return None

    return int(wait_for(look))


@pytest.mark.slow
def test_jobs_are_done_and_dead_runners_replaced(house: House) -> None:
    house.create("a")
    process = supervisor(house)
    assert house.until("a", "COMPLETED", "FAILED") == "COMPLETED"
    first = runner_of(process)
    os.kill(first, signal.SIGKILL)
    second = runner_of(process, other_than=first)
    house.create("b")
    assert house.until("b", "COMPLETED", "FAILED") == "COMPLETED"
    process.terminate()
    assert process.wait(20) == 143
    assert life.state(life.identity(second)) is None


@pytest.mark.slow
def test_runners_end_with_their_supervisor(house: House) -> None:
    process = supervisor(house)
    runner = life.identity(runner_of(process))
    process.kill()
    process.wait()
    wait_for(lambda: life.state(runner) is None, 10)


def test_ctrl_c_is_130(house: House) -> None:
    process = supervisor(house)
    runner_of(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
