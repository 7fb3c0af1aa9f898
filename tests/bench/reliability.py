"""The figures of docs/reliability.md, as JSON: python tests/bench/reliability.py [--quick] [--write].

Kills processes, feeds hostile models and archives and wrong command lines, and counts what went wrong. Takes minutes.
--write puts the table into the document.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.pop(0)  # a package of the tests has this file's name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from fuzz.readers import READERS
from fuzz.test_readers import ELSEWHERE, damaged
from jobs.stress import GOOD, drive
from models import hostile
from neo_cli.base.errors import InputError
from neo_cli.entry.context import Context
from neo_cli.entry.main import run
from neo_cli.jobs import launch, life
from neo_cli.jobs.logs import log_path
from neo_cli.packaging.unpack import unpack
from neo_cli.worker.sandbox import probe
from reliability import test_last_moments, test_limit_race, test_removed_files
from reliability.test_escapes import ways_out
from worker.conftest import House, wait_for
from worker.test_attempt import finish, runner
from worker.test_leftovers import mixed
from worker.test_sandbox import available

SLEEPER = "import time\nprint('ready', flush=True)\ntime.sleep(300)"
NAME = "--compilation-job-name"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
HEAD = "| tried | how often | result |\n|---|---|---|\n"
REQUEST = {
    "CompilationJobName": "bad", "RoleArn": "arn:aws:iam::123456789012:role/Neo",
    "InputConfig": {"S3Uri": "file:///m.tar.gz", "Framework": "ONNX"},
    "OutputConfig": {"S3OutputLocation": "file:///out", "TargetDevice": "ml_c5"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 9},
}  # fmt: skip
WRONG: tuple[dict[str, Any], ...] = (
    {"CompilationJobName": ""}, {"CompilationJobName": "a_b"}, {"CompilationJobName": "x" * 64}, {"RoleArn": "me"},
    {"CompilationJobName": "ü"}, {"CompilationJobName": "a\n"}, {"Unknown": 1}, {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
    {"StoppingCondition": {"MaxRuntimeInSeconds": "60s"}}, {"StoppingCondition": {"MaxRuntimeInSeconds": 1.5}},
    {"StoppingCondition": {"MaxRuntimeInSeconds": 9, "MaxWaitTimeInSeconds": 8}}, {"InputConfig": None}, {"OutputConfig": {}},
    {"OutputConfig": {"S3OutputLocation": "https://x/y", "TargetDevice": "ml_c5"}}, {"Tags": [{"Key": "a", "Value": "1"}] * 2},
    {"OutputConfig": {"S3OutputLocation": "/out", "TargetDevice": "toaster"}}, {"InputConfig": {"S3Uri": "/m", "Framework": "CAFFE"}},
    {"OutputConfig": {"S3OutputLocation": "/out", "TargetPlatform": {"Os": "LINUX", "Arch": "PDP11"}}},
    {"OutputConfig": {"S3OutputLocation": "/out", "TargetDevice": "ml_c5", "KmsKeyId": "k"}},
    {"OutputConfig": {"S3OutputLocation": "/out", "TargetDevice": "ml_c5", "CompilerOptions": "{'a"}},
    {"OutputConfig": {"S3OutputLocation": "/out", "TargetDevice": "ml_c5", "CompilerOptions": "$(rm -rf /)"}},
    {"ModelPackageVersionArn": "arn:aws:sagemaker:eu-west-1:123456789012:model-package/p"},
)  # fmt: skip
LINES: tuple[tuple[str, ...], ...] = (
    ("nope",), ("describe-compilation-job",), ("describe-compilation-job", NAME, "x", "--query", "[["),
    ("list-compilation-jobs", "--output", "xml"), ("list-compilation-jobs", "--next-token", "zzz"), ("list-compilation-jobs", "--max-results", "0"),
    ("list-compilation-jobs", "--status-equals", "DONE"), ("stop-compilation-job", NAME, "x"), ("delete-compilation-job", NAME, "x"),
    ("create-compilation-job", "--cli-input-json", "{"), ("create-compilation-job", "--cli-input-json", "file:///nowhere"),
    ("create-compilation-job", "--cli-input-json", "[" * 5000), ("create-compilation-job", NAME, "x", "--input-config", "S3Uri=a,,=b"),
    ("run", "--model", "/nowhere", "--input", "x=y", "--output-dir", "/nowhere"), ("logs", NAME, "x"), ("worker", "--slots", "0"),
    ("wait", "compilation-job-completed-or-stopped", NAME, "x"), ("list-tags", "--resource-arn", "arn"),
)  # fmt: skip


def wrong_lines(folder: Path) -> dict[str, int]:
    """Command lines and requests with a mistake each."""
    lines = [*LINES]
    for change in WRONG:
        request = {k: v for k, v in {**REQUEST, **change}.items() if v is not None}
        lines.append(("create-compilation-job", "--cli-input-json", json.dumps(request)))
    environ = {"NEO_HOME": str(folder / "lines"), "HOME": str(folder), "PATH": os.defpath}
    accepted = tracebacks = 0
    for line in lines:
        out, err = io.StringIO(), io.StringIO()
        try:
            accepted += run(Context(line, environ, io.StringIO(), out, err)) == 0
        except SystemExit as ending:
            accepted += not ending.code
        tracebacks += "Traceback" in out.getvalue() + err.getvalue()
    return {"bad_requests": len(lines), "accepted": accepted, "tracebacks": tracebacks}


def hostile_archives(folder: Path) -> dict[str, int]:
    """The archives of the unpacking tests, and the zip archives of theirs."""
    plain, raw, zips = (_by_path(f"test_{name}") for name in ("unpack", "untar", "zips"))
    makers: list[Any] = [
        lambda f, fill=case[0]: plain.archive(f, fill)
        for case in plain.test_hostile_members_are_refused.pytestmark[0].args[1]
    ]
    makers += [lambda f, build=build: raw.archive(f, build()) for name, (build, words) in raw.HOSTILE.items() if words]
    for build, _ in zips.BAD.values():
        makers.append(lambda f, data=build: plain.archive(f, lambda tar: plain.add(tar, "model.keras", data())))
    unpacked = 0
    for number, make in enumerate(makers):
        place = _made(folder / f"archive{number}")
        try:
            packed = make(place)
            (place / "into").mkdir(exist_ok=True)
            unpack(packed, place / "into")
            unpacked += 1
        except InputError:
            pass
    return {"hostile_archives": len(makers), "unpacked": unpacked}


def _by_path(name: str) -> Any:
    """A module of the packaging tests; "packaging" is also a package of others."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "packaging" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def killed_runners(folder: Path, times: int) -> dict[str, float]:
    """Runners killed in the middle of a job: seconds until nothing of it runs, and until another works on the job."""
    ended, noticed, again, lost = 0.0, 0.0, 0.0, 0
    for number in range(times):
        house = House(_made(folder / f"kill{number}"))
        house.create("a")
        process = runner(house, SLEEPER)
        log = log_path(house.environ, "a")
        wait_for(lambda log=log: log.is_file() and "ready" in log.read_text())
        job = wait_for(lambda house=house: j if (j := house.store.get("a")) and "child" in j.extra else None)
        began = time.monotonic()
        process.kill()
        process.communicate()
        wait_for(lambda job=job: life.state(life.Runner(**job.extra["child"])) is None, 10)
        ended = max(ended, time.monotonic() - began)
        looked = time.monotonic()
        launch.look(house.store, house.environ, time.time())
        noticed = max(noticed, time.monotonic() - looked)
        wait_for(lambda house=house: house.store.get("a").attempt == 2, 20)  # type: ignore[union-attr]
        again = max(again, time.monotonic() - looked)
        lost += house.until("a", "COMPLETED", "FAILED") != "COMPLETED"
    return {
        "runners_killed": times, "jobs_not_completed": lost, "seconds_until_nothing_runs": round(ended, 2),
        "seconds_a_command_takes_to_notice": round(noticed, 3), "seconds_until_another_attempt": round(again, 2),
    }  # fmt: skip


def races(folder: Path, rounds: int) -> dict[str, Any]:
    """Stops against publications, and creators against NEO_MAX_JOBS."""
    stops = test_last_moments.race(_made(folder / "stops"), rounds)
    return {"stops": stops, "limit": test_limit_race.LIMIT, **test_limit_race.race(_made(folder / "limit") / "jobs.db")}


def hostile_models(folder: Path) -> dict[str, Any]:
    """Models that run code where they are loaded carelessly, as whole jobs."""
    escapes = not_failed = 0
    for number, (name, form) in enumerate(hostile.CORPUS.items()):
        house = House(_made(folder / f"hostile{number}"))
        trap = hostile.Trap(house.root / "bait")
        uri = f"file://{hostile.archive(name, trap.bait, house.root / 'packed')}"
        config = {"S3Uri": uri, "Framework": form.framework, "DataInputConfig": form.inputs}
        house.create("a", InputConfig={key: value for key, value in config.items() if value is not None})
        finish(runner(house))
        escapes += bool(trap.caught()) or bool(house.output)
        not_failed += house.status("a") != "FAILED"
        trap.close()
    return {
        "sandbox": probe().name,
        "hostile_models": len(hostile.CORPUS),
        "escapes": escapes,
        "not_failed": not_failed,
    }


def escapes(folder: Path) -> dict[str, Any]:
    """Ways out of the sandbox, tried inside each tier that works here."""
    figures: dict[str, Any] = {}
    for tier in ("bubblewrap", "landlock"):
        if available(tier):
            tried, out = ways_out(tier, _made(folder / tier))
            figures[tier] = {"tried": tried, "led_out": len(out)}
    return figures


def damaged_files(folder: Path, times: int) -> dict[str, int]:
    """Damaged files for the binary readers; whatever is no refusal of theirs is counted."""
    choose, broken = random.Random(1), 0
    readers = [reader for name, reader in READERS.items() if name != "tflite" and name not in ELSEWHERE]
    for reader in readers:
        seed, file = reader.seed(), folder / reader.name
        for _ in range(times):
            file.write_bytes(damaged(seed, choose))
            try:
                reader.read(file)
            except Exception:
                broken += 1
    return {"damaged_files": times * len(readers), "other_errors": broken}


def faults(figures: dict[str, Any]) -> int:
    """Kills, freezes and crashes that were brought about."""
    store = figures["store"]
    others = figures["runners"]["runners_killed"] + figures["mixed"]["faults"] + sum(figures["kills"].values())
    return int(store["killed"] + store["frozen"] + others)


def rows(figures: dict[str, Any]) -> list[str]:
    """The table's rows."""
    store, runs, requests = figures["store"], figures["runners"], figures["requests"]
    races, jobs, kills = figures["races"], figures["mixed"], figures["kills"]
    models, escapes, files = figures["models"], figures["escapes"], figures["files"]
    kinds = "pickle, joblib, TorchScript, exported programs, Lambda, WriteFile"
    tiers = " and ".join(f"{found['tried']} in {tier}" for tier, found in escapes.items())
    return [
        f"| workers of one store killed (KILL) or frozen (STOP) while {store['processes']} of them made {store['transitions']} moves of jobs | {store['killed']} and {store['frozen']} | jobs lost {store['jobs_lost']}, acknowledged moves lost {store['acknowledged_lost']}, jobs ended twice {store['ended_twice']}, illegal moves {store['illegal_moves']}, database damaged {store['damaged']} |",
        f"| runners killed in the middle of a compilation | {runs['runners_killed']} | {runs['runners_killed'] - runs['jobs_not_completed']} COMPLETED by a second attempt; nothing ran any more after {runs['seconds_until_nothing_runs']} s; the next command noticed in {runs['seconds_a_command_takes_to_notice']:.2f} s; the second attempt was at work after {runs['seconds_until_another_attempt']} s |",
        f"| a stop against the publication of the artifact, at every step of it | {sum(races['stops'].values())} | COMPLETED with its artifact {races['stops']['COMPLETED']}, STOPPED without one {races['stops']['STOPPED']}, anything else {races['stops']['contradictions']} |",
        f"| creates by {test_limit_race.PROCESSES} processes at once under a limit of {races['limit']} jobs | {races['created'] + races['refused']} | created {races['created']}, refused {races['refused']}, at most {races['most']} at a time |",
        f"| mixed jobs: failed, crashed, without a result, runner killed three times, stopped, completed | {jobs['jobs']} | other ends than these {jobs['wrong_ends']}, files left {jobs['files_left']}, processes left {jobs['processes_left']} |",
        f"| kills at each write to the store's disk, the `-wal` and `-shm` files deleted after it | {sum(kills.values())} | all that was acknowledged there {kills['whole']}, damage told {kills['told']}, damage in silence {kills['silent']} |",
        f"| all faults above together | {faults(figures)} | jobs lost {store['jobs_lost'] + runs['jobs_not_completed']}, double results {store['ended_twice'] + races['stops']['contradictions']} |",
        f"| wrong requests and command lines | {requests['bad_requests']} | accepted {requests['accepted']}, tracebacks {requests['tracebacks']} |",
        f"| hostile archives | {figures['archives']['hostile_archives']} | unpacked {figures['archives']['unpacked']} |",
        f"| models that run code when loaded carelessly ({kinds}), as whole jobs | {models['hostile_models']} | files written, connections made, artifacts published: {models['escapes']} |",
        f"| ways out of the sandbox, tried as root inside it | {tiers} | led out: {sum(found['led_out'] for found in escapes.values())} |",
        f"| damaged files for the readers of .params, .weights, ONNX, archives, zip archives, exported programs and pickles | {files['damaged_files']} | other errors than refusals: {files['other_errors']} |",
    ]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    quick = "--quick" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stress = drive(_made(folder / "stress"), 4 if quick else 8, 60 if quick else 600, 8 if quick else 80, seed=1)
        broken = sum(count for key, count in stress.items() if key not in GOOD)
        figures: dict[str, Any] = {"store": {**stress, "promises_broken": broken}}
        figures["races"] = races(folder, 50 if quick else 1000)
        figures["mixed"] = mixed(House(_made(folder / "mixed")), 12 if quick else 200)
        figures["kills"] = test_removed_files.kills(_made(folder / "kills"), 6 if quick else 1)
        figures["requests"] = wrong_lines(folder)
        figures["archives"] = hostile_archives(folder)
        figures["runners"] = killed_runners(folder, 2 if quick else 10)
        figures["models"] = hostile_models(folder)
        figures["escapes"] = escapes(_made(folder / "escapes"))
        figures["files"] = damaged_files(_made(folder / "files"), 100 if quick else 1000)
    print(json.dumps(figures, indent=2))
    if "--write" in sys.argv:
        before, rest = DOCUMENT.read_text(encoding="utf-8").split(HEAD)
        DOCUMENT.write_text(before + HEAD + "\n".join(rows(figures)) + rest[rest.index("\n\n") :], encoding="utf-8")


if __name__ == "__main__":
    main()
