"""Jobs whose compiler, runner, disk or storage misbehaves: each ends as it should, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neo_cli.jobs import life
from neo_cli.jobs.job import COMPLETED, INPROGRESS, STARTING, STOPPED
from neo_cli.jobs.logs import log_path
from neo_cli.worker.journal import CAP
from neo_cli.worker.locations.file import FileLocation
from worker.conftest import House, wait_for
from worker.test_attempt import alive, finish, reason, runner

# A compiler that has written everything and ends by itself.
DONE = """
import json, os
for name in ("model-ml_c4.tar.gz", "model-ml_c4.report.json"): (folder / name).write_bytes(name.encode())
paths = {"artifact": str(folder / "model-ml_c4.tar.gz"), "report": str(folder / "model-ml_c4.report.json")}
facts = {**paths, "digest": "d" * 64, "derived": None, "verified": "ran"}
(folder / "result.json").write_text(json.dumps(facts))
os._exit(0)
"""
READY = "print('ready', flush=True)\n"


def ready(house: House, name: str = "a") -> None:
    """Wait until the compiler has said so."""
    log = log_path(house.environ, name)
    wait_for(lambda: log.is_file() and "ready" in log.read_text())


def work(house: House) -> list[str]:
    folder = Path(house.environ["NEO_HOME"], "state", "work")
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def test_daemons_are_ended_and_the_result_is_kept(house: House) -> None:
    house.create("a")
    mark = f"neo-daemon-{os.getpid()}"
    script = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)', {mark!r}], start_new_session=True)\n"
    assert finish(runner(house, script + DONE)) == 0
    assert house.status("a") == COMPLETED and alive(mark) == [] and len(house.output) == 2


@pytest.mark.slow
def test_a_flood_of_output_is_capped_and_harms_nobody(house: House) -> None:
    house.create("a")
    script = "import sys\nfor _ in range(9000): sys.stdout.write('x' * 8000 + '\\n')\nsys.stdout.buffer.write(bytes(range(256)) * 400)\nsys.stdout.flush()\n"
    assert finish(runner(house, script + DONE)) == 0
    size = log_path(house.environ, "a").stat().st_size
    assert house.status("a") == COMPLETED and CAP < size < CAP + 20_000
    assert all(json.loads(line) for line in log_path(house.environ, "a").read_text().splitlines())


def test_native_code_that_hangs_with_the_gil_is_timed_out_while_the_lease_is_renewed(house: House) -> None:
    house.create("a", StoppingCondition={"MaxRuntimeInSeconds": 2})
    process = runner(house, READY + "import ctypes; ctypes.PyDLL(None).sleep(300)", before="a.HEARTBEAT = 0.2\n")
    ready(house)
    first = house.store.get("a").lease  # type: ignore[union-attr]
    wait_for(lambda: (house.store.get("a").lease or 0) > (first or 0), 10)  # type: ignore[union-attr]
    assert finish(process) == 0
    assert reason(house, "a") == "ClientError: TimeOut: The job did not complete within 2 seconds."


def test_a_frozen_runner_loses_its_job_and_the_job_is_done_once(house: House) -> None:
    house.create("a")
    process = runner(house, READY + "import time; time.sleep(300)")
    ready(house)
    process.send_signal(signal.SIGSTOP)
    job = house.store.get("a")
    assert job is not None and job.runner is not None
    wait_for(lambda: life.state(job.runner) == "T", 5)  # type: ignore[arg-type]
    life.tend(house.store, (job.lease or 0) + 60)  # beyond its lease
    assert house.status("a") == STARTING
    process.send_signal(signal.SIGCONT)
    process.communicate()
    assert finish(runner(house, DONE)) == 0
    done = house.store.get("a")
    assert done is not None and (done.status, done.attempt) == (COMPLETED, 2) and len(house.output) == 2
    assert [e.target for e in house.store.events("a")].count(COMPLETED) == 1


def test_a_work_folder_that_vanishes_fails_the_job(house: House) -> None:
    house.create("a")
    assert finish(runner(house, "import os, shutil; shutil.rmtree(folder); os._exit(0)")) == 0
    assert reason(house, "a").startswith("InternalServerError: ") and work(house) == []


def test_hangup_and_pipe_are_nothing_to_a_runner(house: House) -> None:
    house.create("a")
    process = runner(house, READY + "import time; time.sleep(1)\n" + DONE)
    ready(house)
    for number in (signal.SIGHUP, signal.SIGPIPE):
        process.send_signal(number)
    assert finish(process) == 0
    assert house.status("a") == COMPLETED


def test_what_a_stopped_compiler_finished_is_not_published(house: House) -> None:
    """It obeys TERM, writes a whole artifact and exits 0: the job is STOPPED all the same."""
    house.create("a")
    body = "\n".join("    " + line for line in DONE.strip().splitlines())
    process = runner(
        house, f"import signal, time\ndef end(*_):\n{body}\nsignal.signal(15, end)\n{READY}time.sleep(300)"
    )
    ready(house)
    house.service.call("StopCompilationJob", {"CompilationJobName": "a"})
    assert finish(process) == 0
    assert house.status("a") == STOPPED and house.output == [] and work(house) == []


@pytest.mark.parametrize("step", ["fetch", "prepare"])
def test_a_stop_while_bytes_are_moved_leaves_none(house: House, step: str) -> None:
    house.create("a")
    before = (
        "import neo_cli.worker.locations.file as f, time\n"
        f"real = f.FileLocation.{step}\n"
        "def slow(*given):\n    print('moving', flush=True)\n    open(MARK, 'w').close()\n    time.sleep(1.5)\n    return real(*given)\n"
        f"f.FileLocation.{step} = slow\n"
    ).replace("MARK", repr(str(house.root / "moving")))
    process = runner(house, DONE, before=before)
    wait_for((house.root / "moving").exists)
    house.service.call("StopCompilationJob", {"CompilationJobName": "a"})
    assert house.until("a", STOPPED) == STOPPED
    assert finish(process) == 0
    assert not [p for p in (house.root / "out").rglob("*")] if (house.root / "out").exists() else True
    assert work(house) == [] and not list(Path(house.environ["NEO_HOME"], "state").glob("begun/*"))


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """A disk of that size at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root on a machine that allows it")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("place", ["work", "out"])
def test_a_full_disk_is_the_machines_fault_and_leaves_no_half_file(house: House, place: str) -> None:
    folder = Path(house.environ["NEO_HOME"], "state", "work") if place == "work" else house.root / "out"
    grown = house.archive.read_bytes()
    house.archive.write_bytes(grown + b"\0" * 400_000 if place == "work" else grown)
    house.create("a")
    big = DONE.replace("name.encode()", "os.urandom(400_000)")
    with small_disk(folder, 200):
        assert finish(runner(house, big)) == 0
        assert reason(house, "a").startswith("InternalServerError: ") and "No space left" in reason(house, "a")
        assert list(folder.iterdir()) == []
        if place == "out":  # room again: the next job goes through
            house.create("b")
            assert finish(runner(house, DONE)) == 0 and house.status("b") == COMPLETED


def test_a_full_disk_under_the_log_loses_lines_and_not_the_job(house: House) -> None:
    house.create("a")
    with small_disk(Path(house.environ["NEO_HOME"], "state", "logs"), 64):
        assert finish(runner(house, "print('x' * 7000 + '\\n' * 1)\n" * 40 + DONE)) == 0
        assert house.status("a") == COMPLETED


def test_a_reader_never_sees_half_an_artifact(tmp_path: Path) -> None:
    final, source = tmp_path / "out" / "a.tar.gz", tmp_path / "source"
    location, seen, stop = FileLocation(), set[int](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            if final.is_file():
                data = final.read_bytes()
                seen.add(len(data) if len(set(data)) <= 1 else -1)

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(60):
        source.write_bytes(bytes([number]) * 300_000)
        location.prepare(f"file://{final}", source, {"neo-job": "a"}, None).commit()
    stop.set()
    thread.join()
    assert seen == {300_000} and os.listdir(final.parent) == ["a.tar.gz"]


def test_an_output_that_is_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(outside)
    (tmp_path / "f").write_text("new")
    FileLocation().prepare(f"file://{tmp_path}/out/a", tmp_path / "f", {"neo-job": "a"}, None).commit()
    assert outside.read_text() == "mine" and (tmp_path / "out" / "a").read_text() == "new"


def test_the_second_signal_ends_a_supervisor_at_once_and_the_job_waits_again(house: House) -> None:
    """Case 76: the runner itself is deaf to TERM here; KILL is what the second signal means."""
    house.create("a")
    script = "import neo_cli.worker.loop as l; l.Interruption.__call__ = lambda self: False; from neo_cli.worker.__main__ import main; raise SystemExit(main(['--stay']))"
    code = (
        "import sys, subprocess, neo_cli.entry.verbs.worker as w\n"
        f"w._start = lambda count, context: subprocess.Popen([sys.executable, '-c', {script!r}], env=dict(context.environ), start_new_session=True)\n"
        "from neo_cli.__main__ import console\nsys.argv[1:] = ['worker', '--slots', '1']\nconsole()"
    )
    house.environ["NEO_SLOTS"] = "1"
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=house.environ, stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: house.status("a") in (INPROGRESS, COMPLETED))
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=20)
    assert process.returncode == 143 and time.monotonic() - began < 10
    wait_for(lambda: life.tend(house.store, time.time()) or house.status("a") in (STARTING, COMPLETED))


def test_a_mistake_in_the_runner_fails_the_job_and_not_the_runner(house: House) -> None:
    house.create("a")
    house.create("b")
    before = "import neo_cli.worker.packages as k; real = k.resolve; k.resolve = lambda *given: (setattr(k, 'resolve', real), 1 / 0)\n"
    assert finish(runner(house, DONE, before=before)) == 0
    assert reason(house, "a") == "InternalServerError: The worker failed: ZeroDivisionError: division by zero"
    assert "Traceback" in log_path(house.environ, "a").read_text() and house.status("b") == COMPLETED
