"""After success, failure, stop and crash: no files, no processes but the results; the job's own settings apply."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from neo_cli.base.errors import InternalError
from neo_cli.jobs import life
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, STOPPED, STOPPING
from neo_cli.jobs.logs import log_path
from neo_cli.jobs.settings import kept, over
from neo_cli.worker import limits
from neo_cli.worker.sweep import sweep, work_folder
from worker.conftest import House
from worker.test_attempt import alive, finish, reason, runner

ODD = """
import os, subprocess, sys, time
number = int(order['request']['CompilationJobName'][1:])
subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)', str(folder)], start_new_session=True)
(folder / 'scratch').write_bytes(b'x' * 100000)
if number % 6 == 0: raise ValueError('odd')
if number % 6 == 1: os.kill(os.getpid(), 11)
if number % 6 == 2: os._exit(0)
if number % 6 == 3: os.kill(os.getppid(), 9); time.sleep(60)
if number % 6 == 4: print('ready', flush=True); time.sleep(60)
import json
for name in ('artifact', 'report'): (folder / name).write_text(name)
facts = {name: str(folder / name) for name in ('artifact', 'report')}
(folder / 'result.json').write_text(json.dumps({**facts, 'digest': 'd', 'derived': None, 'verified': 'ran'}))
os._exit(0)
"""
ENDS = (FAILED, FAILED, FAILED, FAILED, STOPPED, COMPLETED)
FAULTS = (1, 1, 1, 3, 0, 0)  # that a job of each kind meets; the fourth kills three runners


def files(house: House) -> set[str]:
    state = Path(house.environ["NEO_HOME"], "state")
    kept = {str(p.relative_to(state)) for p in state.rglob("*") if not p.name.startswith("jobs.db")}
    return kept | set(house.output)


def mixed(house: House, count: int) -> dict[str, int]:
    """Jobs of six kinds, one runner after the other: how they ended, and what they left: files, processes."""
    for number in range(count):
        house.create(f"j{number}")
    results = {"artifact", "report"}
    before = files(house) | {"work", "logs", "begun"} | {f"logs/j{n}.jsonl" for n in range(count)} | results
    process = runner(house, ODD)
    for _ in range(20 * count):
        for job in house.store.under_way():  # the fifth kind waits to be stopped
            log = log_path(house.environ, job.name)
            if job.status == INPROGRESS and int(job.name[1:]) % 6 == 4 and log.is_file() and "ready" in log.read_text():
                house.service.call("StopCompilationJob", {"CompilationJobName": job.name})
        if not house.store.under_way() and not house.store.waiting():
            break
        if process.poll() is not None:
            finish(process)
            process = runner(house, ODD)
        time.sleep(0.1)
    finish(process)
    wrong = 0
    for number in range(count):
        done = house.store.get(f"j{number}")
        lost = (
            done is not None and (done.reason or "") == "InternalServerError: The worker of the job was lost 3 times."
        )
        wrong += done is None or done.status != ENDS[number % 6] or lost != (number % 6 == 3)
    sweep(house.store, house.environ)
    left = files(house) ^ before
    faults = sum(FAULTS[number % 6] for number in range(count))
    return {
        "jobs": count,
        "faults": faults,
        "wrong_ends": wrong,
        "files_left": len(left),
        "processes_left": len(alive(str(house.root))),
    }


@pytest.mark.parametrize("count", [pytest.param(24, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.long)])
def test_nothing_is_left_of_mixed_jobs(house: House, count: int) -> None:
    figures = mixed(house, count)
    assert figures["faults"] >= count and not any(
        figures[key] for key in ("wrong_ends", "files_left", "processes_left")
    ), figures


def test_folders_of_attempts_that_are_not_under_way_are_swept(house: House) -> None:
    house.create("a-1")
    assert house.store.claim(life.identity(), 1.0, 2.0, 1) is not None
    for name, attempt in (("a-1", 1), ("a-1", 2), ("gone", 1)):
        work_folder(house.environ, name, attempt).mkdir(parents=True)
    assert sorted(sweep(house.store, house.environ)) == ["a-1-2", "gone-1"]
    assert [p.name for p in work_folder(house.environ, "x", 1).parent.iterdir()] == ["a-1-1"]
    assert house.store.move("a-1", INPROGRESS, STOPPING, 1, 3.0)
    assert sweep(house.store, house.environ) == []


def test_too_much_disk_and_too_many_processes_are_reasons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    watch = limits.Limits({"NEO_JOB_DISK": "500k"}, tmp_path)
    with pytest.raises(InternalError, match=r"ran out of disk: it may use 512000 bytes \(NEO_JOB_DISK\)"):
        for _ in range(limits.DISK_EVERY):
            watch.look()
    monkeypatch.setattr(limits.tree, "usage", lambda root: (0, limits.PROCESSES + 1))
    with pytest.raises(InternalError, match="more than 2000 processes"):
        watch.look()
    assert [limits.size({"N": text}, "N") for text in ("", "7", "2K")] == [None, 7, 2048]
    for text in ("1.5G", "x", "G", "-1"):
        with pytest.raises(InternalError, match=r"N is '.*'; it must be a whole number of bytes"):
            limits.size({"N": text}, "N")


def test_a_job_that_takes_too_much_disk_is_ended(house: House) -> None:
    house.environ["NEO_JOB_DISK"] = "1M"
    house.create("a")
    script = "(folder / 'big').write_bytes(bytes(3 * 2**20))\nimport time; time.sleep(60)"
    assert finish(runner(house, script, before="import neo_cli.worker.limits as l; l.DISK_EVERY = 1\n")) == 0
    assert (
        reason(house, "a")
        == "InternalServerError: The compiler ran out of disk: it may use 1048576 bytes (NEO_JOB_DISK)."
    )
    assert not list(work_folder(house.environ, "a", 1).parent.iterdir()) and house.output == []


def test_a_fork_bomb_is_ended(house: House) -> None:
    house.create("a")
    bomb = "import os, time, neo_cli\nfor n in range(400):\n    if os.fork() == 0: time.sleep(300)\ntime.sleep(60)"
    code = "import neo_cli.worker.limits as l; l.PROCESSES = 100\n"
    assert finish(runner(house, bomb, before=code)) == 0
    assert reason(house, "a") == "InternalServerError: The compiler started more than 100 processes."


def test_a_job_takes_its_settings_along() -> None:
    theirs = {"NEO_S3_ROOT": "s3", "AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": "secret", "PATH": "/bin"}
    extra = {"settings": kept(theirs, "/home/me")}
    assert extra == {"settings": {"NEO_S3_ROOT": "/home/me/s3", "AWS_REGION": "eu-west-1"}}
    mine = {"AWS_PROFILE": "other", "AWS_REGION": "us-east-1", "AWS_SECRET_ACCESS_KEY": "mine", "PATH": "/usr/bin"}
    assert over(mine, extra) == {
        "NEO_S3_ROOT": "/home/me/s3", "AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": "mine", "PATH": "/usr/bin",
    }  # fmt: skip
    assert over(mine, {}) == mine


def test_a_folder_stands_for_s3_from_create_to_result(house: House) -> None:
    root = house.root / "s3"
    (root / "models").mkdir(parents=True)
    house.archive.rename(root / "models" / "net.tar.gz")
    house.service.environ = {**house.environ, "NEO_S3_ROOT": str(root)}
    house.create(
        "a",
        InputConfig={"S3Uri": "s3://models/net.tar.gz", "Framework": "ONNX"},
        OutputConfig={
            "S3OutputLocation": "s3://out/deep/",
            "TargetDevice": "ml_c4",
            "CompilerOptions": '{"backend": "onnxruntime"}',
        },
    )
    assert finish(runner(house)) == 0
    job = house.store.get("a")
    assert job is not None and job.status == COMPLETED, job
    assert job.artifact == "s3://out/deep/net-ml_c4.tar.gz"
    assert sorted(p.name for p in (root / "out" / "deep").iterdir()) == ["net-ml_c4.report.json", "net-ml_c4.tar.gz"]
