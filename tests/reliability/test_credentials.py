"""Credentials that expire while a job runs: read anew for the upload, waited for, or the artifact is kept (case 42)."""

from __future__ import annotations

import datetime
import re
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from neo_cli.jobs.job import COMPLETED
from neo_cli.jobs.logs import log_path
from reliability.test_faults import DONE
from worker.conftest import House, wait_for
from worker.locations.test_s3 import Faults, bucket, endpoint
from worker.test_attempt import finish, reason, runner

__all__ = ["bucket", "endpoint"]
pytestmark = pytest.mark.slow

QUICK = "import neo_cli.worker.publish as p; p.PAUSE = 0.2\n"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
PROCESS = """
import json, pathlib, sys
file = pathlib.Path(sys.argv[1]); number = int(file.read_text()) + 1; file.write_text(str(number))
print(json.dumps({"Version": 1, "AccessKeyId": f"PROCESS{number}", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": sys.argv[2]}))
"""


class Expiring(Faults):
    """moto behind a guard: the keys that fetched the archive are good for nothing afterwards."""

    seen: set[str] = set()
    expired: set[str] = set()

    def _guarded(self) -> None:
        key = re.search(r"Credential=(\w+)/", self.headers.get("Authorization", ""))
        name = key[1] if key else ""
        if name in self.expired:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(400)
            self.send_header("Content-Length", str(len(EXPIRED)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(EXPIRED)
            return
        self.seen.add(name)
        self._pass()
        if self.command == "GET" and self.path.startswith("/models/m.tar.gz"):
            self.expired.add(name)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _guarded


@pytest.fixture
def cloud(bucket: str, endpoint: str, house: House) -> Iterator[Any]:
    """A boto3 client past the guard; the house's runners go through it, with the keys of its files alone."""
    import boto3

    Expiring.target, Expiring.seen, Expiring.expired = endpoint, set(), set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Expiring)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    keys(house, "FIRST")
    (house.root / "config").write_text("")
    house.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(house.root / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(house.root / "credentials"),
    }  # fmt: skip
    client = boto3.client("s3", endpoint_url=endpoint)
    client.put_object(Bucket=bucket, Key="m.tar.gz", Body=house.archive.read_bytes())
    yield client
    server.shutdown()
    server.server_close()
    thread.join()
    client.close()


def keys(house: House, name: str) -> None:
    """What a tool that logs in writes."""
    new = house.root / "credentials.new"
    new.write_text(f"[default]\naws_access_key_id={name}\naws_secret_access_key=s\naws_session_token=t\n")
    new.rename(house.root / "credentials")


def create(house: House, source: str = "s3://models/m.tar.gz") -> None:
    output = {"S3OutputLocation": "s3://models/out", "TargetDevice": "ml_c4"}
    house.create("a", InputConfig={"S3Uri": source, "Framework": "ONNX"}, OutputConfig=output)


def there(client: Any) -> list[str]:
    assert "Uploads" not in client.list_multipart_uploads(Bucket="models")
    return sorted(item["Key"] for item in client.list_objects_v2(Bucket="models")["Contents"])


RESULTS = ["m.tar.gz", "out/model-ml_c4.report.json", "out/model-ml_c4.tar.gz"]


@pytest.mark.parametrize("way", ["file", "process", "role"])
def test_credentials_that_are_renewed_meanwhile_are_read_anew(cloud: Any, house: House, way: str) -> None:
    script = DONE
    if way == "file":
        script = f"open({str(house.root / 'credentials')!r}, 'w').write({_renewed(house)!r})\n" + DONE
    elif way == "process":
        (house.root / "count").write_text("0")
        (house.root / "login.py").write_text(PROCESS)
        until = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
        line = f"{sys.executable} {house.root}/login.py {house.root}/count {until}"
        (house.root / "config").write_text(f"[profile neo]\ncredential_process = {line}\n")
    else:
        role = "role_arn = arn:aws:iam::123456789012:role/Neo\nsource_profile = default\n"
        (house.root / "config").write_text(f"[profile neo]\n{role}")
    if way != "file":
        house.environ["AWS_PROFILE"] = "neo"
    create(house)
    assert finish(runner(house, script, before=QUICK)) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 1), job.reason
    assert there(cloud) == RESULTS and Expiring.expired and len(Expiring.seen - Expiring.expired) >= 1


def test_an_upload_waits_for_new_credentials(cloud: Any, house: House) -> None:
    create(house)
    process = runner(house, DONE, before=QUICK)
    log = log_path(house.environ, "a")
    wait_for(lambda: log.is_file() and "New ones are waited for" in log.read_text())
    keys(house, "SECOND")
    assert finish(process) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 1), job.reason
    assert there(cloud) == RESULTS and log.read_text().count("New ones are waited for") == 1


def test_credentials_that_expire_during_the_upload_leave_no_pieces(cloud: Any, house: House) -> None:
    """The first file is prepared with keys that do not suffice to take it away again; later ones do."""
    expire = (
        "import neo_cli.worker.locations.s3 as s3\nreal = s3.prepare\ncalls = []\n"
        "def prepare(*given, **more):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == 2: open({str(house.root / 'expire')!r}, 'w').close(); import time; time.sleep(1)\n"
        "    return real(*given, **more)\n"
        "s3.prepare = prepare\n"
    )
    create(house, f"file://{house.archive}")
    process = runner(house, DONE, before=QUICK + expire)
    wait_for((house.root / "expire").exists)
    Expiring.expired.add("FIRST")
    wait_for(lambda: "New ones are waited for" in log_path(house.environ, "a").read_text())
    house.service.call("StopCompilationJob", {"CompilationJobName": "a"})
    assert finish(process) == 0
    notes = list(Path(house.environ["NEO_HOME"], "state", "begun").iterdir())
    assert house.status("a") == "STOPPED" and len(notes) == 1
    keys(house, "SECOND")
    house.create("b")
    assert finish(runner(house, DONE, before="import neo_cli.worker.begun as b; b.RETRY = 0.0\n")) == 0
    assert there(cloud) == ["m.tar.gz"] and not notes[0].exists()


def test_credentials_that_nobody_renews_fail_the_job_and_keep_the_artifact(cloud: Any, house: House) -> None:
    create(house)
    assert finish(runner(house, DONE, before=QUICK + "p.RENEWAL = 1.0\n")) == 0
    kept = Path(house.environ["NEO_HOME"], "state", "kept", "a")
    assert reason(house, "a") == (
        "InternalServerError: The credentials expired while writing s3://models/out/model-ml_c4.report.json "
        f"(ExpiredToken). The artifact is kept in {kept}."
    )
    assert (kept / "model-ml_c4.tar.gz").read_text() == "model-ml_c4.tar.gz" and len(list(kept.iterdir())) == 2
    assert there(cloud) == ["m.tar.gz"]


def test_the_wait_ends_before_the_jobs_own_time_does(house: House) -> None:
    """Else the reason would be that time, and the artifact would not be kept."""
    file = house.root / "waits"
    before = f"import neo_cli.worker.publish as p\np.publish = lambda *given: open({str(file)!r}, 'w').write(str(given[-1])) * 0\n"
    house.create("a", StoppingCondition={"MaxRuntimeInSeconds": 100})
    assert finish(runner(house, DONE, before=before)) == 0
    assert 20 < float(file.read_text()) < 90


def test_credentials_that_have_expired_already_are_called_so(cloud: Any, house: House) -> None:
    """S3 answers HEAD without saying why; the reason is asked for."""
    Expiring.expired.add("FIRST")
    create(house)
    assert finish(runner(house, DONE, before=QUICK)) == 0
    want = "InternalServerError: The credentials expired while reading s3://models/m.tar.gz (ExpiredToken)."
    assert reason(house, "a") == want


def _renewed(house: House) -> str:
    return (house.root / "credentials").read_text().replace("FIRST", "SECOND")
