"""`wait` and `logs` against a store whose jobs the test moves: exit codes, reasons, following, Ctrl-C."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from neo_cli.entry.context import Context
from neo_cli.entry.main import run
from neo_cli.entry.verbs import logs as logs_verb
from neo_cli.entry.verbs import wait as wait_verb
from neo_cli.jobs import life
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, STARTING, STOPPED, Job
from neo_cli.jobs.logs import log_path
from neo_cli.jobs.opened import open_store

NAME = ("--compilation-job-name", "j")
WAIT = ("wait", "compilation-job-completed-or-stopped", *NAME)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Desk:
    """A home with one job, worked on by this very process, and command lines in it."""

    def __init__(self, home: Path) -> None:
        self.environ = {"NEO_HOME": str(home), "PATH": "/usr/bin:/bin"}
        self.store = open_store(self.environ)
        now = time.time()
        request = {"CompilationJobName": "j", "OutputConfig": {}, "StoppingCondition": {}}
        self.store.add(Job("j", "arn", STARTING, now, now, request), {})
        assert self.store.claim(life.identity(), now, now + 30, 1) is not None

    def end(self, status: str, **changes: Any) -> None:
        if status == STOPPED:
            self.store.move("j", INPROGRESS, "STOPPING", 1, time.time())
        self.store.move("j", "STOPPING" if status == STOPPED else INPROGRESS, status, 1, time.time(), **changes)

    def log(self, *messages: str) -> None:
        file = log_path(self.environ, "j")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as stream:
            for text in messages:
                stream.write(json.dumps({"ts": 0.0, "level": "INFO", "job": "j", "msg": text}) + "\n")

    def __call__(self, *argv: str, terminal: bool = False) -> tuple[int, str, str]:
        kind = Terminal if terminal else io.StringIO
        out, err = kind(), kind()
        code = run(Context(argv, self.environ, kind(), out, err))
        return code, out.getvalue(), err.getvalue()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("status", [COMPLETED, STOPPED])
def test_a_job_that_ended_well_is_silence_and_zero(desk: Desk, status: str) -> None:
    desk.end(status, ended=1.0)
    assert desk(*WAIT) == (0, "", "")


def test_a_failed_job_is_255_and_its_reason(desk: Desk) -> None:
    desk.end(FAILED, reason="ClientError: InputConfiguration: No model file found.")
    code, out, err = desk(*WAIT)
    assert (code, out) == (255, "") and "the job j FAILED: ClientError: InputConfiguration: No model file found." in err


def test_waiting_looks_less_and_less_often_and_sees_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 6:
            desk.end(COMPLETED)

    monkeypatch.setattr(wait_verb.wait, "__defaults__", (None, sleep, time.monotonic))
    code, _, err = desk(*WAIT, terminal=True)
    assert code == 0 and pauses == sorted(pauses) and pauses[0] < pauses[-1] <= 1.0
    assert "INPROGRESS" in err and "COMPLETED" in err


def test_ctrl_c_ends_the_waiting_and_not_the_job(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wait_verb.wait, "__defaults__", (None, sleep, time.monotonic))
    code, _, err = desk(*WAIT)
    assert code == 130 and "The job j goes on" in err
    assert desk.store.get("j").status == INPROGRESS  # type: ignore[union-attr]


def test_a_time_limit_and_a_job_that_is_not_there(desk: Desk) -> None:
    code, _, err = desk(*WAIT, "--timeout", "0")
    assert code == 255 and "Max attempts exceeded: the job j is still INPROGRESS" in err
    code, _, err = desk(*WAIT[:2], "--compilation-job-name", "nope")
    assert code == 254 and "ResourceNotFound" in err


def test_a_job_whose_worker_is_gone_is_not_shown_as_going_on(desk: Desk) -> None:
    gone = life.identity()._replace(start=1)
    desk.store._db.run("UPDATE jobs SET runner=?", (json.dumps(gone._asdict()),))  # type: ignore[attr-defined]
    desk.environ["NEO_SLOTS"] = "1"
    code, out, _ = desk("describe-compilation-job", *NAME, "--query", "CompilationJobStatus", "--output", "text")
    assert code == 0 and out != "INPROGRESS\n"


def test_logs_are_shown_and_followed_to_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.log("stage: fetch: x", "caf\u00e9")
    code, out, _ = desk("logs", *NAME)
    assert code == 0 and [line[9:] for line in out.splitlines()] == ["stage: fetch: x", "café"]
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        desk.log(f"line {len(looks)}")
        if len(looks) == 3:
            desk.end(COMPLETED)

    monkeypatch.setattr(logs_verb.time, "sleep", sleep)
    code, out, _ = desk("logs", *NAME, "--follow", "--json")
    assert code == 0 and [json.loads(line)["msg"] for line in out.splitlines()][2:] == ["line 1", "line 2", "line 3"]


def test_logs_of_a_deleted_job_stay_and_of_none_are_refused(desk: Desk) -> None:
    desk.log("kept")
    desk.end(FAILED, reason="x")
    assert desk("delete-compilation-job", *NAME)[0] == 0
    assert "kept" in desk("logs", *NAME)[1]
    code, _, err = desk("logs", "--compilation-job-name", "nope")
    assert code == 254 and "Could not find compilation job 'nope'." in err
    code, _, err = desk("logs", *NAME, "--engine", "aws")
    assert code == 255 and "CloudWatch" in err
