"""What becomes of jobs whose runner is gone, whose time is over, or who waited too long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from jobs.conftest import Clock, request_for
from neo_cli.jobs import life
from neo_cli.jobs.job import FAILED, INPROGRESS, STARTING, STOPPED, STOPPING, Runner
from neo_cli.jobs.service import Service

NOW = 1_700_000_000.0


def claimed(service: Service, runner: Runner, **members: object) -> None:
    service.call("CreateCompilationJob", request_for("a", **members))
    assert service.store.claim(runner, NOW, NOW + 30, 1)


def gone() -> Runner:
    """A process of this boot that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    runner = life.identity(process.pid)
    process.wait()
    return runner


def status(service: Service) -> str:
    return service.store.get("a").status  # type: ignore[union-attr]


def test_a_dead_runners_job_waits_again_and_is_failed_at_the_third_loss(service: Service) -> None:
    claimed(service, gone())
    for attempt in (1, 2):
        assert life.tend(service.store, NOW + 1) == 1
        assert status(service) == STARTING
        assert service.store.claim(gone(), NOW + 1, NOW + 30, 1).attempt == attempt + 1  # type: ignore[union-attr]
    life.tend(service.store, NOW + 2)
    job = service.store.get("a")
    assert (
        job is not None
        and job.status == FAILED
        and job.reason == "InternalServerError: The worker of the job was lost 3 times."
    )


def test_a_live_runner_keeps_its_job_although_the_clock_jumped(service: Service) -> None:
    claimed(service, life.identity())
    life.tend(service.store, NOW + 3600)
    assert status(service) == INPROGRESS


def test_a_pid_that_belongs_to_a_stranger_now_is_left_alone(service: Service) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    me = life.identity(process.pid)
    claimed(service, Runner(me.host, me.boot, me.pid, me.start - 1))
    life.tend(service.store, NOW + 1)
    assert status(service) == STARTING and process.poll() is None
    process.communicate(b"\n")


def test_another_boot_means_gone(service: Service) -> None:
    me = life.identity()
    claimed(service, Runner(me.host, "another-boot", me.pid, me.start))
    life.tend(service.store, NOW + 1)
    assert status(service) == STARTING


def test_another_machines_job_is_judged_by_its_lease(service: Service) -> None:
    claimed(service, Runner("elsewhere", "b", 1, 1))
    life.tend(service.store, NOW + 29)
    assert status(service) == INPROGRESS
    life.tend(service.store, NOW + 31)
    assert status(service) == STARTING


def test_a_stopped_process_loses_its_job_with_its_lease(service: Service) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    claimed(service, life.identity(process.pid))
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while life.state(service.store.get("a").runner) != "T" and time.monotonic() < deadline:  # type: ignore[union-attr,arg-type]
        time.sleep(0.01)
    life.tend(service.store, NOW + 29)
    assert status(service) == INPROGRESS
    life.tend(service.store, NOW + 31)
    assert status(service) == STARTING
    assert process.wait(5) == -signal.SIGKILL
    process.stdin.close()  # type: ignore[union-attr]


def test_what_a_lost_attempt_left_running_is_ended(service: Service) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    claimed(service, gone())
    service.store.note("a", 1, {"child": life.identity(child.pid)._asdict()})
    life.tend(service.store, NOW + 1)
    assert child.wait(5) == -signal.SIGKILL
    child.stdin.close()  # type: ignore[union-attr]


def test_a_lost_attempt_that_was_to_stop_is_stopped(service: Service) -> None:
    claimed(service, gone())
    service.store.move("a", INPROGRESS, STOPPING, 1, NOW + 1)
    life.tend(service.store, NOW + 2)
    assert status(service) == STOPPED


def test_a_lost_attempt_beyond_its_time_is_failed(service: Service) -> None:
    claimed(service, gone(), StoppingCondition={"MaxRuntimeInSeconds": 60})
    life.tend(service.store, NOW + 61)
    job = service.store.get("a")
    assert (
        job is not None
        and job.reason == "ClientError: TimeOut: The job did not complete within 60 seconds (MaxRuntimeInSeconds)."
    )


@pytest.mark.parametrize(
    ("condition", "seconds"),
    [({"MaxPendingTimeInSeconds": 7200}, 7200), ({"MaxWaitTimeInSeconds": 1000, "MaxRuntimeInSeconds": 900}, 1000)],
)
def test_a_job_that_waits_too_long_is_failed(
    service: Service, clock: Clock, condition: dict[str, int], seconds: int
) -> None:
    service.call("CreateCompilationJob", request_for("a", StoppingCondition=condition))
    assert life.tend(service.store, clock.now + seconds - 1) == 1
    assert life.tend(service.store, clock.now + seconds) == 0
    job = service.store.get("a")
    assert (
        job is not None
        and job.status == FAILED
        and job.reason is not None
        and job.reason.startswith("ClientError: TimeOut: The job waited longer")
    )


def test_the_identity_of_a_process() -> None:
    assert life.state(life.identity()) in ("R", "S")
    assert life.identity().pid == os.getpid() and life.state(gone()) is None


def test_what_an_attempt_had_announced_is_left_to_one_runner(service: Service) -> None:
    claimed(service, gone())
    service.store.note("a", 1, {life.ANNOUNCED: {"uri": "file:///out/a"}})
    assert life.tend(service.store, NOW + 1) == 0 and status(service) == INPROGRESS

    def undecided() -> list[str]:
        return [job.name for job in life.undecided(service.store, NOW + 1)]

    assert undecided() == ["a"]
    service.store.note("a", 1, {life.DECIDER: life.identity()._asdict()})
    assert undecided() == []
    service.store.note("a", 1, {life.DECIDER: gone()._asdict()})
    assert undecided() == ["a"]
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    service.store.note("a", 1, {life.DECIDER: life.identity(process.pid)._asdict()})
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while undecided() == [] and time.monotonic() < deadline:
        time.sleep(0.01)
    assert undecided() == ["a"]
    process.kill()
    process.communicate()
