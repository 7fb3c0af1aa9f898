"""Attempts with real processes: to the end, stopped, out of time, crashed, killed, taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neo_cli.jobs import launch, life
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, STOPPED
from neo_cli.jobs.logs import log_path
from neo_cli.worker import child as child_module
from worker.conftest import House, wait_for

# Stands in for the compiler: what it does is said in the model archive's place, a Python text.
FAKE = "from neo_cli.worker import child\nchild._compile = lambda order, folder: exec(open({script!r}).read(), {{'folder': folder, 'order': order}}) or {{}}\n"


def runner(house: House, script: str | None = None, before: str = "") -> subprocess.Popen[bytes]:
    """A runner process; with `script`, its compiler child runs that Python text instead of compiling, unsandboxed."""
    code = "from neo_cli.worker.__main__ import main; raise SystemExit(main([]))"
    if script is not None:
        file = house.root / "fake.py"
        file.write_text(script)
        entry = house.root / "fake_child.py"
        entry.write_text(
            FAKE.format(script=str(file))
            + "import sys, pathlib\nraise SystemExit(child.main(pathlib.Path(sys.argv[1])))\n"
        )
        code = (
            "import neo_cli.worker.sandbox as s, neo_cli.worker.attempt as a\na.GRACE = 0.5\n"
            f"s.probe = lambda: s.Tier('none')\ns.command = lambda tier, argv, **k: [argv[0], {str(entry)!r}, argv[-1]]\n"
            + before
            + code
        )
    return subprocess.Popen(
        [sys.executable, "-c", code], env=house.environ, cwd="/", start_new_session=True, stderr=subprocess.PIPE
    )


def reason(house: House, name: str) -> str:
    job = house.store.get(name)
    assert job is not None and job.status == FAILED, job
    return job.reason or ""


def finish(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=240)
    assert b"Traceback" not in errors, errors.decode()
    return process.returncode


@pytest.mark.slow
def test_jobs_run_one_after_the_other_and_leave_only_their_results(house: House) -> None:
    for name in ("one", "two"):
        house.create(name)
    assert finish(runner(house)) == 0
    for name in ("one", "two"):
        job = house.store.get(name)
        assert job is not None and job.status == COMPLETED and job.digest
        assert [e.target for e in house.store.events(name)] == ["STARTING", INPROGRESS, COMPLETED]
    assert house.output == ["model-ml_c4.report.json", "model-ml_c4.tar.gz"]
    assert not list(Path(house.environ["NEO_HOME"], "state", "work").iterdir())
    lines = [json.loads(line) for line in log_path(house.environ, "one").read_text().splitlines()]
    assert lines[-1]["msg"] == "COMPLETED" and {"fetch", "load", "check", "compile", "pack", "publish"} <= {
        line["stage"] for line in lines
    }


def test_launch_starts_a_runner_that_outlives_the_command(house: House) -> None:
    house.create("a")
    launch.look(house.store, house.environ, 0.0)
    assert house.until("a", COMPLETED, FAILED) == COMPLETED


def test_a_stop_ends_the_compiler_and_all_it_started(house: House) -> None:
    house.create("a")
    script = "import subprocess, sys, time, signal\nsignal.signal(signal.SIGTERM, lambda *a: None)\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)', 'neo-stop-mark'], start_new_session=True)\nprint('ready', flush=True)\nwhile True: time.sleep(60)"
    process = runner(house, script)
    wait_for(lambda: log_path(house.environ, "a").is_file() and "ready" in log_path(house.environ, "a").read_text())
    house.service.call("StopCompilationJob", {"CompilationJobName": "a"})
    assert house.until("a", STOPPED) == STOPPED
    assert finish(process) == 0
    assert not alive("neo-stop-mark") and house.output == []


def alive(mark: str) -> list[str]:
    found = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True).stdout.split()
    return [
        pid
        for pid in found
        if pid != str(os.getpid())
        and Path(f"/proc/{pid}/cmdline").is_file()
        and "pgrep" not in Path(f"/proc/{pid}/cmdline").read_text()
    ]


def test_time_runs_out(house: House) -> None:
    house.create("a", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert finish(runner(house, "import time\ntime.sleep(60)")) == 0
    assert reason(house, "a") == "ClientError: TimeOut: The job did not complete within 1 seconds."


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (
            "import os; os.kill(os.getpid(), 11)",
            "InternalServerError: The compiler crashed: it was ended by signal 11 (SIGSEGV).",
        ),
        (
            "import os; os.kill(os.getpid(), 9)",
            "InternalServerError: The compiler crashed: it was ended by signal 9 (SIGKILL).",
        ),
        ("import os; os._exit(3)", "InternalServerError: The compiler ended with code 3 and left no result."),
        ("raise MemoryError", "InternalServerError: The compiler ran out of memory."),
        ("raise ValueError('boom')", "InternalServerError: The compiler failed: ValueError: boom"),
        (
            "from neo_cli.base.errors import InputError\nraise InputError('No model file found.')",
            "ClientError: InputConfiguration: No model file found.",
        ),
    ],
)
def test_how_a_compiler_ends_is_told_and_not_tried_again(house: House, script: str, text: str) -> None:
    house.create("a")
    assert finish(runner(house, script)) == 0
    assert reason(house, "a") == text
    assert house.store.get("a").attempt == 1 and house.output == []  # type: ignore[union-attr]


def test_a_job_that_takes_too_much_memory_is_ended(house: House) -> None:
    house.environ["NEO_JOB_MEMORY"] = "200M"
    house.create("a")
    assert (
        finish(
            runner(
                house,
                "x = bytearray(400 * 2**20)\nfor i in range(0, len(x), 4096): x[i] = 1\nimport time\ntime.sleep(60)",
            )
        )
        == 0
    )
    assert (
        reason(house, "a")
        == "InternalServerError: The compiler ran out of memory: it may use 209715200 bytes (NEO_JOB_MEMORY)."
    )


def test_a_log_is_capped_and_escaped(house: House) -> None:
    house.create("a")
    assert (
        finish(
            runner(
                house,
                "import sys\nsys.stdout.write('\\x1b[2J' + 'x' * 100000 + '\\n')\nsys.stdout.buffer.write(b'\\xff\\n')\nraise SystemExit",
            )
        )
        == 0
    )
    text = log_path(house.environ, "a").read_text()
    messages = [json.loads(line)["msg"] for line in text.splitlines()]
    assert any(m.startswith("\\x1b[2J" + "x" * 100) for m in messages) and "\x1b" not in "".join(messages)
    assert max(len(m) for m in messages) < 9000


@pytest.mark.slow
def test_a_killed_runners_job_is_taken_over_and_completed_once(house: House) -> None:
    house.create("a")
    process = runner(house, "import time\nprint('ready', flush=True)\ntime.sleep(300)")
    wait_for(lambda: log_path(house.environ, "a").is_file() and "ready" in log_path(house.environ, "a").read_text())
    job = wait_for(lambda: j if (j := house.store.get("a")) and "child" in j.extra else None)
    process.kill()
    process.communicate()
    wait_for(lambda: life.state(life.Runner(**job.extra["child"])) is None, 5)  # it dies with its runner
    assert finish(runner(house)) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 2)
    assert [e.target for e in house.store.events("a")].count(COMPLETED) == 1


def test_a_runner_told_to_end_gives_its_job_back(house: House) -> None:
    house.create("a")
    process = runner(house, "import time\nprint('ready', flush=True)\ntime.sleep(300)")
    wait_for(lambda: log_path(house.environ, "a").is_file() and "ready" in log_path(house.environ, "a").read_text())
    process.send_signal(signal.SIGTERM)
    assert finish(process) == 143
    assert house.status("a") == "STARTING"


@pytest.mark.slow
def test_a_fenced_attempt_writes_nothing(house: House) -> None:
    house.create("a")
    process = runner(house, "import time\nprint('ready', flush=True)\ntime.sleep(300)")
    wait_for(lambda: log_path(house.environ, "a").is_file() and "ready" in log_path(house.environ, "a").read_text())
    house.store.move("a", INPROGRESS, "STARTING", 1, 1.0, "taken away by the test")
    house.service.call("StopCompilationJob", {"CompilationJobName": "a"})
    assert finish(process) == 0
    assert house.status("a") == STOPPED and house.output == []


@pytest.mark.slow
def test_work_that_was_published_before_a_crash_is_recognised(house: House) -> None:
    house.create("a")
    house.create("b")
    assert finish(runner(house)) == 0
    done = house.store.get("a")
    assert done is not None
    house.create("c")
    me = life.Runner("h", "b", 1, 1)
    house.store.claim(me, 1.0, 2.0, 1)
    house.store.note(
        "c", 1, {"publishing": {"uri": done.artifact, "digest": done.digest, "derived": None, "verified": "ran"}}
    )
    house.store.move("c", INPROGRESS, "STARTING", 1, 2.0)
    assert finish(runner(house, "raise ValueError('compiled again')")) == 0
    assert house.store.get("c").digest == done.digest  # type: ignore[union-attr]


def test_an_output_that_cannot_be_written_fails_the_job(house: House) -> None:
    (house.root / "file").touch()
    house.create(
        "a",
        OutputConfig={
            "S3OutputLocation": f"file://{house.root}/file/out",
            "TargetDevice": "ml_c4",
            "CompilerOptions": '{"backend": "onnxruntime"}',
        },
    )
    assert finish(runner(house)) == 0
    assert (
        reason(house, "a")
        == f"ClientError: InputConfiguration: The output {house.root}/file/out/model-ml_c4.report.json cannot be written: Not a directory."
    )


def test_the_childs_names_are_what_the_runner_reads() -> None:
    assert (child_module.REQUEST, child_module.RESULT) == ("request.json", "result.json")
