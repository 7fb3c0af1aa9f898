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
    if number % 3: assert store.move(name, STARTING, STOPPED, 0, 2.0)
print(created, refused, most)
"""


def test_eight_processes_never_exceed_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "jobs.db"
    SqliteStore(str(file)).close()
    line = [sys.executable, "-c", CREATOR, str(file)]
    running = [
        subprocess.Popen([*line, str(n), str(EACH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(PROCESSES)
    ]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    answers = [process.communicate("go\n") for process in running]
    created, refused, most = zip(*(map(int, out.split()) for out, _ in answers))
    store = SqliteStore(str(file))
    kept = [
        job.status for status in (STARTING, STOPPED) for job in store.page(Query(status=status, limit=PROCESSES * EACH))
    ]
    store.close()
    assert max(most) <= LIMIT and kept.count(STARTING) <= LIMIT and sum(refused)
    assert sum(created) == len(kept) and sum(created) + sum(refused) == PROCESSES * EACH
