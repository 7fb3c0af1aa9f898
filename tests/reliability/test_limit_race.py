"""NEO_MAX_JOBS under processes that create at once: the limit is never exceeded, and every refusal was true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from neo_cli.jobs.job import STARTING, STOPPED
from neo_cli.jobs.stores.base import Query
from neo_cli.jobs.stores.sqlite import SqliteStore

LIMIT, PROCESSES, EACH = 5, 8, 25

# Creates, ends one of its own now and then, and says what happened; between the two it looks how many there are.
CREATOR = """
import sys
from neo_cli.base.errors import ResourceLimitExceeded
from neo_cli.jobs.job import STARTING, STOPPED
from neo_cli.jobs.service import Service
from neo_cli.jobs.stores.sqlite import SqliteStore
file, me, each = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = SqliteStore(file)
service = Service(store, lambda: 1.0, None, {"NEO_MAX_JOBS": "5"})
request = {"RoleArn": "arn:aws:iam::123456789012:role/Neo", "InputConfig": {"S3Uri": "file:///m", "Framework": "ONNX"},
           "OutputConfig": {"S3OutputLocation": "file:///o", "TargetDevice": "ml_c5"}, "StoppingCondition": {"MaxRuntimeInSeconds": 9}}
print("ready", flush=True); sys.stdin.readline()
created = refused = most = 0
for number in range(each):
    name = f"j{me}-{number}"
    try:
        service.call("CreateCompilationJob", {"CompilationJobName": name, **request})
        created += 1
    except ResourceLimitExceeded:
        refused += 1
        continue
    most = max(most, store._db.run("SELECT count(*) FROM jobs WHERE status='STARTING'")[0][0])
    if number < each - 1: assert store.move(name, STARTING, STOPPED, 0, 2.0)
print(created, refused, most)
"""


def race(file: Path) -> dict[str, int]:
    """How many were created and refused, the most that any creator saw at once, and how many are kept."""
    SqliteStore(str(file)).close()
    line = [sys.executable, "-c", CREATOR, str(file)]
    running = [
        subprocess.Popen([*line, str(n), str(EACH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    created, refused, most = zip(*(map(int, process.communicate()[0].split()) for process in running))
    store = SqliteStore(str(file))
    kept = {status: len(store.page(Query(status=status, limit=PROCESSES * EACH))) for status in (STARTING, STOPPED)}
    store.close()
    return {
        "created": sum(created),
        "refused": sum(refused),
        "most": max(*most, kept[STARTING]),
        "kept": sum(kept.values()),
    }


def test_eight_processes_never_exceed_the_limit(tmp_path: Path) -> None:
    figures = race(tmp_path / "jobs.db")
    assert figures["most"] <= LIMIT and figures["refused"], figures
    assert figures["created"] == figures["kept"] == PROCESSES * EACH - figures["refused"]
