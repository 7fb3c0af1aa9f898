"""A store that is locked or full for a while: runners wait, and commands say what was done."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from neo_cli.jobs.job import COMPLETED, INPROGRESS, STARTING
from neo_cli.jobs.stores.base import Query, StoreBusy
from neo_cli.jobs.stores.sqlite import SqliteStore
from neo_cli.worker.patience import LONGEST, PATIENCE, patiently
from reliability.test_faults import DONE, READY, ready, small_disk
from worker.conftest import House
from worker.test_attempt import finish, runner

IMPATIENT = "import neo_cli.jobs.stores.driver as d; d.BUSY_SECONDS = 0.1\n"
HOLDER = """
import sys, apsw
held = apsw.Connection(sys.argv[1])
held.execute("BEGIN IMMEDIATE")
print("held", flush=True); sys.stdin.readline()
"""


def hold(house: House) -> subprocess.Popen[str]:
    """A process that has the store's lock until it is told."""
    file = Path(house.environ["NEO_HOME"], "state", "jobs.db")
    line = [sys.executable, "-c", HOLDER, str(file)]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_runner_that_finds_the_store_locked_waits_for_it(house: House) -> None:
    house.create("a")
    holder = hold(house)
    process = runner(house, DONE, before=IMPATIENT)
    time.sleep(1.5)
    assert process.poll() is None and house.status("a") == STARTING
    holder.communicate("go\n")
    assert finish(process) == 0 and house.status("a") == COMPLETED


def test_a_verdict_is_written_when_the_lock_is_free_again(house: House) -> None:
    house.create("a")
    process = runner(house, READY + "import time; time.sleep(0.5)\n" + DONE, before=IMPATIENT)
    ready(house)
    holder = hold(house)
    time.sleep(2.5)  # the compiler has ended, and nothing can be announced
    assert process.poll() is None and all(name.startswith(".") for name in house.output)
    holder.communicate("go\n")
    assert finish(process) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 1)


def test_a_full_disk_under_the_store_is_waited_for(house: House) -> None:
    """Case 70: the verdict is written once there is room. A reader keeps the log of writes from being used again."""
    state = Path(house.environ["NEO_HOME"], "state")
    house.store.close()
    with small_disk(state, 1500):
        for name in ("work", "logs", "begun"):  # the rest of the state is elsewhere
            (house.root / name).mkdir()
            (state / name).symlink_to(house.root / name)
        house = House(house.root)
        house.create("a")
        process = runner(house, READY + "import time; time.sleep(0.5)\n" + DONE)
        ready(house)
        reader = SqliteStore(str(state / "jobs.db"))
        reader._db.run("BEGIN")
        reader.page(Query())
        with pytest.raises(OSError), (state / "filler").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
        time.sleep(2.5)
        assert process.poll() is None and house.status("a") == INPROGRESS
        (state / "filler").unlink()
        assert finish(process) == 0 and house.status("a") == COMPLETED
        for store in (reader, house.store):
            store.close()


def test_a_command_whose_work_is_done_does_not_fail_for_want_of_a_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Created is created, also when the look for runners that follows finds the store locked."""
    import io

    from neo_cli.entry.context import Context
    from neo_cli.entry.main import run
    from neo_cli.jobs import launch

    def busy(*given: object) -> None:
        raise StoreBusy("busy")

    monkeypatch.setattr(launch, "look", busy)
    line = (
        "create-compilation-job", "--compilation-job-name", "a", "--role-arn", "arn:aws:iam::123456789012:role/Neo",
        "--input-config", f"S3Uri={house.archive},Framework=ONNX", "--stopping-condition", "MaxRuntimeInSeconds=9",
        "--output-config", f"S3OutputLocation={house.root}/out,TargetDevice=ml_c5",
    )  # fmt: skip
    out, err = io.StringIO(), io.StringIO()
    assert run(Context(line, house.environ, io.StringIO(), out, err)) == 0, err.getvalue()
    assert house.status("a") == STARTING and "CompilationJobArn" in out.getvalue()


def test_patience_ends() -> None:
    now, pauses = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    def step() -> None:
        raise StoreBusy("busy")

    with pytest.raises(StoreBusy):
        patiently(step, sleep=sleep, clock=lambda: now[0])
    assert PATIENCE - LONGEST <= now[0] <= PATIENCE and max(pauses) == LONGEST
    with pytest.raises(StoreBusy):
        patiently(step, lambda: True, sleep=sleep)
