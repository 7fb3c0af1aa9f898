"""S3: whole objects or none, pinned versions, broken bodies taken up again, encryption honoured or refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from neo_cli.base.errors import InputError, InternalError
from neo_cli.worker.locations import s3

moto_server = pytest.importorskip("moto.server", reason="moto is not installed")
MARK = {"neo-job": "j", "neo-attempt": "1", "neo-digest": "abc"}
LIMIT = 2**30


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    urlopen(Request(endpoint + "/moto-api/reset", method="POST")).close()
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1",
        "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3.client().create_bucket(Bucket="models")
    return "models"


@pytest.mark.parametrize("key", ["a/model.tar.gz", "with space/ü+%25%&=.tar.gz", "'quoted' (1).tar.gz"])
def test_put_then_fetch_is_the_identity(bucket: str, key: str, tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(bytes(range(256)) * 4000)
    uri = f"s3://{bucket}/{key}"
    prepared = s3.prepare(uri, file, MARK)
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)  # nothing is visible before the commit
    prepared.commit()
    fetched = s3.fetch(uri, tmp_path / "g", LIMIT)
    assert fetched.path.read_bytes() == file.read_bytes() and fetched.size == 1_024_000
    assert s3.holds(uri, MARK) and not s3.holds(uri, {**MARK, "neo-attempt": "2"})


def test_a_place_that_gives_no_answer_is_not_called_empty(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not s3.holds(f"s3://{bucket}/nothing", MARK) and not s3.holds("s3://no-such-bucket/k", MARK)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    with pytest.raises(InternalError, match="could not be reached while looking for what was published"):
        s3.holds(f"s3://{bucket}/nothing", MARK)


def test_several_parts_and_an_empty_file(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", 5 * 2**20)
    for size in (0, 1, 12 * 2**20 + 7):
        (tmp_path / "f").write_bytes(b"x" * size)
        prepared = s3.prepare(f"s3://{bucket}/k", tmp_path / "f", MARK)
        prepared.commit()
        assert len(prepared.parts) == max(1, -(-size // (5 * 2**20)))
        assert s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT).path.stat().st_size == size


def test_an_aborted_upload_leaves_nothing(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    prepared = s3.prepare(f"s3://{bucket}/k", tmp_path / "f", MARK)
    prepared.abort()
    prepared.abort()
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in s3.client().list_objects_v2(Bucket=bucket)


def test_encryption_is_asked_for_and_looked_at(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    prepared = s3.prepare(f"s3://{bucket}/k", tmp_path / "f", MARK, kms="alias/neo")
    prepared.commit()
    assert s3.client().head_object(Bucket=bucket, Key="k")["SSEKMSKeyId"] == "alias/neo"


def test_mistakes_are_the_callers(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"S3 object does not exist\. Bucket: models, Key: none"):
        s3.fetch(f"s3://{bucket}/none", tmp_path / "g", LIMIT)
    with pytest.raises(InputError, match="does not exist"):
        s3.fetch("s3://nowhere/k", tmp_path / "g", LIMIT)
    s3.client().put_object(Bucket=bucket, Key="big", Body=b"12345")
    with pytest.raises(InputError, match="5 bytes; at most 4 are accepted"):
        s3.fetch(f"s3://{bucket}/big", tmp_path / "g", 4)


def test_a_version_is_pinned(bucket: str, tmp_path: Path) -> None:
    service = s3.client()
    service.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = service.put_object(Bucket=bucket, Key="k", Body=b"first")["VersionId"]
    assert s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT).version == first


class Faults(BaseHTTPRequestHandler):
    """A proxy to the endpoint that spoils the next answers: an error status, a reset, or half a body."""

    target, queue = "", []  # type: ignore[var-annotated]

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.queue.pop(0) if self.queue and self.queue[0][0] == self.command else None
        if fault and fault[1] == "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if fault and fault[1] == "500":
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        headers = {
            k: v
            for k, v in self.headers.items()
            if k.lower() not in ("host", "content-length", "expect", "transfer-encoding")
        }
        host = self.target.removeprefix("http://")
        import http.client

        connection = http.client.HTTPConnection(host)
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if fault and fault[1] == "half" else content)
        if fault and fault[1] == "half":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def faults(bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    Faults.target, Faults.queue = endpoint, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faults)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield Faults.queue
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "reset", "half"])
def test_a_broken_download_is_taken_up_again(
    bucket: str, faults: list[tuple[str, str]], fault: str, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 10_000
    s3.client().put_object(Bucket=bucket, Key="k", Body=content)
    faults += [("GET", fault)] * 2
    assert s3.fetch(f"s3://{bucket}/k", tmp_path / "g", LIMIT).path.read_bytes() == content
    assert not faults


@pytest.mark.slow
def test_a_server_that_stays_broken_fails_the_job_and_leaves_no_upload(
    bucket: str, faults: list[tuple[str, str]], tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x")
    faults += [("PUT", "500")] * s3.ATTEMPTS
    with pytest.raises(InternalError, match="S3 answered 500"):
        s3.prepare(f"s3://{bucket}/k", tmp_path / "f", MARK)
    assert "Uploads" not in s3.client().list_multipart_uploads(Bucket=bucket)
