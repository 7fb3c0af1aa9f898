"""Whole jobs on S3 servers: moto's, and s3rver, which ignores every header it does not know."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from neo_cli.jobs.job import COMPLETED, FAILED
from worker.conftest import House
from worker.test_attempt import finish, runner

S3RVER = shutil.which("s3rver") or str(Path(sys.prefix, "node_modules", ".bin", "s3rver"))
ODD = "a b/ü+%25 &=(1)'x.tar.gz"
OPTIONS = '{"backend": "onnxruntime"}'


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module", params=["moto", "s3rver"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The server's name and endpoint."""
    number = port()
    if request.param == "moto":
        pytest.importorskip("moto.server", reason="moto is not installed")
        line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(number)]
    else:
        if not Path(S3RVER).is_file():
            pytest.skip("s3rver is not installed: npm install --prefix <this environment> s3rver")
        folder = tmp_path_factory.mktemp("s3rver")
        line = [S3RVER, "-d", str(folder), "-a", "127.0.0.1", "-p", str(number), "--silent"]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)) == 0:
                break
        time.sleep(0.1)
    yield request.param, f"http://127.0.0.1:{number}"
    process.kill()
    process.wait()


@pytest.fixture
def cloud(server: tuple[str, str], house: House) -> Any:
    """A boto3 client, with a bucket of this test's own; the house's runners use the same endpoint and keys."""
    import boto3

    endpoint = server[1]
    house.environ |= {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }  # fmt: skip
    session = boto3.session.Session("S3RVER", "S3RVER", region_name="us-east-1")
    client = session.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=f"bucket-{os.path.basename(house.root)[-30:].replace('_', '-').strip('-')}".lower())
    yield client
    client.close()


def bucket(client: Any) -> str:
    return str(max(client.list_buckets()["Buckets"], key=lambda b: b["CreationDate"])["Name"])


def keys(client: Any, name: str) -> list[str]:
    return sorted(item["Key"] for item in client.list_objects_v2(Bucket=name).get("Contents", []))


def uploads(client: Any, name: str) -> list[Any]:
    """Unfinished uploads of the bucket, where the server can list them."""
    from botocore.exceptions import ClientError

    try:
        return list(client.list_multipart_uploads(Bucket=name).get("Uploads", []))
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NotImplemented"
        return []


def create(house: House, name: str, source: str, output: str, **more: Any) -> None:
    house.create(
        name, InputConfig={"S3Uri": source, "Framework": "ONNX"},
        OutputConfig={"S3OutputLocation": output, "TargetDevice": "ml_c4", "CompilerOptions": OPTIONS, **more},
    )  # fmt: skip


@pytest.mark.slow
def test_odd_keys_round_trip_and_two_jobs_share_a_key(cloud: Any, house: House) -> None:
    """Cases 40 and 67: spaces, unicode, + and %; the last COMPLETED wins, each job keeps its own digest."""
    where = bucket(cloud)
    cloud.put_object(Bucket=where, Key=ODD, Body=house.archive.read_bytes())
    create(house, "one", f"s3://{where}/{ODD}", f"s3://{where}/out put/ö+")
    create(house, "two", f"s3://{where}/{ODD}", f"s3://{where}/out put/ö+/")
    assert finish(runner(house)) == 0
    one, two = house.store.get("one"), house.store.get("two")
    assert one is not None and one.status == COMPLETED, one
    assert two is not None and two.status == COMPLETED and two.artifact == one.artifact and two.digest, two
    artifact = f"out put/ö+/{ODD.rsplit('/', 1)[1].removesuffix('.tar.gz')}-ml_c4.tar.gz"
    assert keys(cloud, where) == sorted([ODD, artifact, artifact.replace(".tar.gz", ".report.json")])
    found = cloud.get_object(Bucket=where, Key=artifact)
    assert unquote(found["Metadata"]["neo-digest"]) == two.digest and found["Metadata"]["neo-job"] == "two"
    assert found["Body"].read(2) == b"\x1f\x8b"
    assert not uploads(cloud, where)


@pytest.mark.slow
def test_what_is_not_there_and_encryption_that_is_dropped_fail_the_job(
    cloud: Any, server: tuple[str, str], house: House
) -> None:
    """Cases 35, 38 and 39: S3's code in the reason; a server that drops the KMS key leaves no plain object behind."""
    where = bucket(cloud)
    cloud.put_object(Bucket=where, Key="m.tar.gz", Body=house.archive.read_bytes())
    create(house, "nokey", f"s3://{where}/none.tar.gz", f"s3://{where}/out")
    create(house, "nobucket", "s3://nowhere-at-all/m.tar.gz", f"s3://{where}/out")
    create(house, "secret", f"s3://{where}/m.tar.gz", f"s3://{where}/secret", KmsKeyId="alias/neo")
    assert finish(runner(house)) == 0
    reasons = {name: house.store.get(name).reason for name in ("nokey", "nobucket")}  # type: ignore[union-attr]
    assert all(r is not None and r.startswith("ClientError: InputConfiguration: S3 ") for r in reasons.values()), (
        reasons
    )
    job = house.store.get("secret")
    assert job is not None
    if server[0] == "moto":
        assert job.status == COMPLETED
        head = cloud.head_object(Bucket=where, Key="secret/m-ml_c4.tar.gz")
        assert head["ServerSideEncryption"] == "aws:kms" and head["SSEKMSKeyId"] == "alias/neo"
    else:
        assert job.status == FAILED and "did not encrypt" in (job.reason or "")
        assert keys(cloud, where) == ["m.tar.gz"]
    assert not uploads(cloud, where)


@pytest.mark.slow
def test_uploads_of_a_killed_runner_are_aborted(cloud: Any, server: tuple[str, str], house: House) -> None:
    """Case 47's neighbour: killed between the last part and the announcement; the next runner clears up."""
    if server[0] == "s3rver":
        pytest.skip("s3rver cannot list uploads")
    where = bucket(cloud)
    cloud.put_object(Bucket=where, Key="m.tar.gz", Body=house.archive.read_bytes())
    create(house, "a", f"s3://{where}/m.tar.gz", f"s3://{where}/out")
    code = (
        "import os, neo_cli.worker.publish as p\np._announce = lambda *a: os.kill(os.getpid(), 9)\n"
        "from neo_cli.worker.__main__ import main; raise SystemExit(main([]))"
    )
    dead = subprocess.Popen([sys.executable, "-c", code], env=house.environ, cwd="/", start_new_session=True)
    assert dead.wait(240) == -9
    assert len(uploads(cloud, where)) == 2  # this is what must not stay
    assert finish(runner(house)) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 2)
    assert not uploads(cloud, where)
    assert keys(cloud, where) == ["m.tar.gz", "out/m-ml_c4.report.json", "out/m-ml_c4.tar.gz"]


@pytest.mark.slow
def test_a_crash_between_visible_and_written_down_is_recovered(cloud: Any, house: House) -> None:
    """Case 47: killed after the object appeared, before the verdict; the object is recognised, not made again."""
    where = bucket(cloud)
    cloud.put_object(Bucket=where, Key="m.tar.gz", Body=house.archive.read_bytes())
    create(house, "a", f"s3://{where}/m.tar.gz", f"s3://{where}/out")
    code = (
        "import os, neo_cli.worker.publish as p\np.complete = lambda *a: os.kill(os.getpid(), 9)\n"
        "from neo_cli.worker.__main__ import main; raise SystemExit(main([]))"
    )
    dead = subprocess.Popen([sys.executable, "-c", code], env=house.environ, cwd="/", start_new_session=True)
    assert dead.wait(240) == -9
    before = cloud.head_object(Bucket=where, Key="out/m-ml_c4.tar.gz")
    assert finish(runner(house, "raise ValueError('compiled again')")) == 0
    job = house.store.get("a")
    assert job is not None and job.status == COMPLETED, job
    after = cloud.head_object(Bucket=where, Key="out/m-ml_c4.tar.gz")
    assert after["LastModified"] == before["LastModified"] and job.digest == unquote(after["Metadata"]["neo-digest"])


def test_a_bucket_may_be_a_folder(house: House) -> None:
    """Case 40 and NEO_S3_ROOT: the same URIs, below a folder; a key that leaves it is refused."""
    root = house.root / "s3"
    (root / "models").mkdir(parents=True)
    shutil.copy(house.archive, root / "models" / "m 1.tar.gz")
    house.environ["NEO_S3_ROOT"] = str(root)
    create(house, "a", "s3://models/m 1.tar.gz", "s3://out/x")
    create(house, "b", "s3://models/../../model.tar.gz", "s3://out/x")
    assert finish(runner(house)) == 0
    assert house.status("a") == COMPLETED and (root / "out" / "x" / "m 1-ml_c4.tar.gz").is_file()
    job = house.store.get("b")
    assert job is not None and job.status == FAILED and "has '.' or '..' as a part" in (job.reason or "")
