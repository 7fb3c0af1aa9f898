"""`neo-cli worker` with jobs at work: drained, killed, its runners killed, its terminal closed; no job is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neo_cli.jobs import life
from neo_cli.jobs.job import COMPLETED, INPROGRESS, STARTING, Job
from reliability.test_faults import DONE, work
from worker.conftest import House, wait_for
from worker.test_attempt import finish, runner

# Read by every interpreter: a runner's fetch waits until the file `go` is there, so that a job takes as long as a test.
HELD = """
import sys
if sys.orig_argv[1:3] == ["-m", "neo_cli.worker"]:
    import os, time
    import neo_cli.worker.attempt, neo_cli.worker.loop, neo_cli.worker.locations.file as file
    neo_cli.worker.attempt.LEASE = neo_cli.worker.loop.LEASE = {lease}
    real = file.FileLocation.fetch
    def fetch(*given):
        open({at!r}, "a").close()
        while not os.path.exists({go!r}): time.sleep(0.05)
        return real(*given)
    file.FileLocation.fetch = fetch
"""


class Supervised:
    """A supervisor over a house whose jobs are held in their first step until `go`."""

    def __init__(self, house: House, slots: int, lease: float = 30.0) -> None:
        self.house, self.slots, self.started = house, slots, list[subprocess.Popen[bytes]]()
        folder = house.root / "path"
        folder.mkdir()
        code = HELD.format(at=str(house.root / "at"), go=str(house.root / "go"), lease=lease)
        (folder / "sitecustomize.py").write_text(code)
        house.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])

    def start(self) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "neo_cli", "worker", "--slots", str(self.slots)]
        process = subprocess.Popen(line, env=self.house.environ, stderr=subprocess.DEVNULL)
        self.started.append(process)
        return process

    def jobs(self, count: int) -> list[str]:
        names = [f"j{number}" for number in range(count)]
        for name in names:
            self.house.create(name)
        return names

    def at_work(self, count: int) -> list[Job]:
        """The jobs under way, once there are so many whose runners live."""

        def look() -> list[Job]:
            found = [j for j in self.house.store.under_way() if j.runner and life.state(j.runner) is not None]
            return found if len(found) == count and (self.house.root / "at").exists() else []

        return list(wait_for(look, 30))

    def go(self) -> None:
        (self.house.root / "go").touch()

    def done_once(self, names: list[str]) -> None:
        """Every job is COMPLETED, by one attempt, and nothing is left."""
        for name in names:
            assert self.house.until(name, COMPLETED, "FAILED", seconds=120) == COMPLETED
            ends = [e.target for e in self.house.store.events(name)].count(COMPLETED)
            assert ends == 1
        wait_for(lambda: work(self.house) == [], 20)


@pytest.fixture(params=[{}])
def supervised(house: House, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = Supervised(house, **{"slots": 2, **request.param})
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131), (signal.SIGINT, 130)]
)
def test_a_supervisor_that_is_told_to_end_gives_its_jobs_back(supervised: Supervised, number: int, code: int) -> None:
    """Cases 76 and 77: nothing more is claimed, nothing goes on, nothing is lost."""
    house, names = supervised.house, supervised.jobs(3)
    process = supervised.start()
    runners = [job.runner for job in supervised.at_work(2)]
    process.send_signal(number)
    assert process.wait(30) == code
    assert [life.state(r) for r in runners if r] == [None, None] and work(house) == []
    assert [house.status(name) for name in names] == [STARTING] * 3
    assert {e.detail for name in names for e in house.store.events(name) if e.target == STARTING} == {
        "", "its runner was told to end",
    }  # fmt: skip
    if number == signal.SIGTERM:
        assert finish(runner(house, DONE)) == 0
        supervised.done_once(names)


@pytest.mark.slow
def test_a_supervisor_that_is_killed_loses_nothing(supervised: Supervised) -> None:
    """Cases 44 and 69: the centre of this machine's work is gone; its runners see that and give their jobs back."""
    house, names = supervised.house, supervised.jobs(3)
    process = supervised.start()
    runners = [job.runner for job in supervised.at_work(2)]
    process.kill()
    process.wait()
    wait_for(lambda: not any(r and life.state(r) for r in runners), 20)
    assert [house.status(name) for name in names] == [STARTING] * 3 and work(house) == []
    again = supervised.start()
    supervised.at_work(2)
    supervised.go()
    supervised.done_once(names)
    again.terminate()
    assert again.wait(30) == 143


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGQUIT])
def test_a_runner_that_dies_with_a_job_is_replaced_and_the_job_done(supervised: Supervised, number: int) -> None:
    house, names = supervised.house, supervised.jobs(2)
    process = supervised.start()
    first = supervised.at_work(2)[0]
    assert first.runner is not None
    os.kill(first.runner.pid, number)
    wait_for(lambda: (j := house.store.get(first.name)) and j.attempt == 2 and j.status == INPROGRESS, 30)
    supervised.go()
    supervised.done_once(names)
    assert house.store.get(first.name).attempt == 2  # type: ignore[union-attr]
    process.terminate()
    assert process.wait(30) == 143
    assert not list(Path(house.environ["NEO_HOME"], "state").glob("begun/*"))


@pytest.mark.slow
@pytest.mark.parametrize("supervised", [{"slots": 1, "lease": 1.0}], indirect=True)
def test_the_only_runner_is_stopped_beyond_its_lease(supervised: Supervised) -> None:
    """Case 46 where no command comes by: the supervisor ends the runner and starts another."""
    house, names = supervised.house, supervised.jobs(1)
    process = supervised.start()
    first = supervised.at_work(1)[0]
    assert first.runner is not None
    os.kill(first.runner.pid, signal.SIGSTOP)
    wait_for(lambda: (j := house.store.get("j0")) and j.attempt == 2 and j.status == INPROGRESS, 60)
    assert life.state(first.runner) is None
    supervised.go()
    supervised.done_once(names)
    process.terminate()
    assert process.wait(30) == 143
