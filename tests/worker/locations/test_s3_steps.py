"""Every request of a download and an upload goes wrong once, then always; regions, addresses and checksums."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.base.errors import InternalError, JobError
from neo_cli.worker.locations import checksums, s3
from worker.locations.test_s3 import LIMIT, MARK, bucket, endpoint

__all__ = ["bucket", "endpoint"]
pytestmark = pytest.mark.slow
CONTENT = bytes(range(256)) * 24_000
Request = tuple[str, str]  # method and path with its query
STEPS: dict[str, Callable[[str, str], bool]] = {
    "look at the bucket": lambda method, path: method == "HEAD" and path.count("/") == 1,
    "look at the object": lambda method, path: method == "HEAD" and path.count("/") > 1,
    "read": lambda method, path: method == "GET" and "/k" in path,
    "begin": lambda method, path: method == "POST" and "uploads" in path,
    "send a part": lambda method, path: method == "PUT" and "partNumber" in path,
    "complete": lambda method, path: method == "POST" and "uploadId" in path,
    "abort": lambda method, path: method == "DELETE" and "uploadId" in path,
}
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL = b'<?xml version="1.0"?>\n<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>'


class Proxy(BaseHTTPRequestHandler):
    """Passes requests to `target`; while `left` lasts, those of `step` go wrong as `fault` says."""

    target, step, fault, left, region = "", "", "", 0, ""
    ranges = True  # whether the server knows them
    hosts: set[str] = set()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        cls = type(self)
        host = self.headers["Host"].split(":")[0]
        cls.hosts.add(host)
        path = f"/{host.removesuffix('.localhost')}{self.path}" if host.endswith(".localhost") else self.path
        if self.region and f"/{self.region}/s3/" not in self.headers.get("Authorization", ""):
            self._send(301 if self.command == "HEAD" else 400, self._redirect(), {"x-amz-bucket-region": self.region})
            return
        wrong = cls.left > 0 and cls.step and STEPS[cls.step](self.command, path)
        cls.left -= bool(wrong)
        if wrong and self.fault in ("500", "503"):
            self._send(int(self.fault), b"" if self.fault == "500" else SLOW_DOWN, {})
        elif wrong and self.fault == "200 with an error":
            self._send(200, INTERNAL, {})
        elif wrong and self.fault == "reset":
            self._reset()
        else:
            status, headers, content = self._ask(path, body)
            if wrong and self.fault == "the answer is lost":
                self._reset()
            elif wrong and self.fault == "half":
                self._send(status, content[: len(content) // 2], headers, len(content))
                self._reset()
            elif wrong and self.fault == "too much":
                self._send(status, content + b"more", headers)
            elif wrong and self.fault == "a bit is wrong":
                self._send(status, content[:99] + bytes([content[99] ^ 4]) + content[100:], headers)
            else:
                self._send(status, content, headers)

    def _redirect(self) -> bytes:
        code = "PermanentRedirect" if self.command == "HEAD" else "AuthorizationHeaderMalformed"
        return (
            f"<Error><Code>{code}</Code><Message>wrong region</Message><Region>{self.region}</Region></Error>".encode()
        )

    def _ask(self, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        drop = ("host", "content-length", "expect", "transfer-encoding", *(() if self.ranges else ("range",)))
        connection = http.client.HTTPConnection(self.target.removeprefix("http://"))
        connection.request(
            self.command, path, body or None, {k: v for k, v in self.headers.items() if k.lower() not in drop}
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        keep = {
            k: v
            for k, v in answer.getheaders()
            if k.lower() not in ("connection", "transfer-encoding", "date", "server")
        }
        return answer.status, keep, content

    def _send(self, status: int, content: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        headers = {k: v for k, v in headers.items() if k.lower() != "content-length" or self.command == "HEAD"}
        if self.command != "HEAD" or not any(k.lower() == "content-length" for k in headers):
            headers["Content-Length"] = str(len(content) if length is None else length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.close_connection = True

    def _reset(self) -> None:
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(bucket: str, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Proxy]]:
    """A proxy of this test's own between boto3 and moto; botocore waits no time between its tries."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda self, context: 0)

    class Own(Proxy):
        target = endpoint
        hosts: set[str] = set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield Own
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def direct(endpoint: str, bucket: str) -> Any:
    """A client that goes around the proxy."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )


def upload(where: str, file: Path) -> None:
    prepared = s3.prepare(f"s3://{where}/k", file, MARK)
    try:
        prepared.commit()
    except BaseException:
        prepared.abort()
        raise


DOWN = [("look at the bucket", "reset"), ("look at the object", "500"), ("look at the object", "reset"), ("read", "500"), ("read", "503"),
        ("read", "reset"), ("read", "half"), ("read", "a bit is wrong")]  # fmt: skip
UP = [
    (step, fault)
    for step in ("begin", "send a part", "complete")
    for fault in ("500", "503", "reset", "the answer is lost")
]
UP += [
    ("begin", "half"),
    ("complete", "half"),
    ("complete", "200 with an error"),
    ("look at the object", "500"),
    ("look at the object", "reset"),
]
DEAD = [("look at the object", "500"), ("read", "reset"), ("read", "half"), ("read", "a bit is wrong")]
STUCK = [("begin", "500"), ("send a part", "503"), ("send a part", "the answer is lost"), ("complete", "reset"), ("complete", "the answer is lost"),
         ("complete", "200 with an error"), ("look at the object", "500")]  # fmt: skip


@pytest.mark.parametrize(("step", "fault"), DOWN)
def test_a_download_outlives_one_fault_at_each_step(
    proxy: type[Proxy], direct: Any, step: str, fault: str, tmp_path: Path
) -> None:
    direct.put_object(Bucket="models", Key="k", Body=CONTENT, ChecksumAlgorithm="SHA256")
    proxy.step, proxy.fault, proxy.left = step, fault, 1
    assert s3.fetch("s3://models/k", tmp_path / "g", LIMIT).path.read_bytes() == CONTENT
    assert proxy.left == 0


def test_a_server_that_knows_no_ranges_is_asked_for_the_whole(proxy: type[Proxy], direct: Any, tmp_path: Path) -> None:
    direct.put_object(Bucket="models", Key="k", Body=CONTENT)
    proxy.step, proxy.fault, proxy.left, proxy.ranges = "read", "half", 2, False
    assert s3.fetch("s3://models/k", tmp_path / "g", LIMIT).path.read_bytes() == CONTENT


def test_more_than_the_object_has_is_not_taken(proxy: type[Proxy], direct: Any, tmp_path: Path) -> None:
    direct.put_object(Bucket="models", Key="k", Body=CONTENT)
    proxy.step, proxy.fault, proxy.left = "read", "too much", 10**6
    with pytest.raises(InternalError, match="sends more than the 6144000 bytes"):
        s3.fetch("s3://models/k", tmp_path / "g", LIMIT)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "fault"), DEAD)
def test_a_download_that_keeps_failing_is_the_machines_fault(
    proxy: type[Proxy], direct: Any, step: str, fault: str, tmp_path: Path
) -> None:
    direct.put_object(Bucket="models", Key="k", Body=CONTENT, ChecksumAlgorithm="SHA256")
    proxy.step, proxy.fault, proxy.left = step, fault, 10**6
    with pytest.raises(InternalError, match=r"S3 (answered|could not be reached)|arrived damaged"):
        s3.fetch("s3://models/k", tmp_path / "g", LIMIT)


@pytest.mark.parametrize(("step", "fault"), UP)
def test_an_upload_outlives_one_fault_at_each_step(
    proxy: type[Proxy], direct: Any, step: str, fault: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    proxy.step, proxy.fault, proxy.left = step, fault, 1
    upload("models", tmp_path / "f")
    assert proxy.left == 0
    assert direct.get_object(Bucket="models", Key="k")["Body"].read() == CONTENT
    left = direct.list_multipart_uploads(Bucket="models").get("Uploads", [])
    assert len(left) == (step == "begin" and fault in ("half", "the answer is lost"))  # nobody was told of that one


@pytest.mark.slow
@pytest.mark.parametrize(("step", "fault"), STUCK)
def test_an_upload_that_keeps_failing_leaves_nothing(
    proxy: type[Proxy], direct: Any, step: str, fault: str, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(CONTENT)
    proxy.step, proxy.fault, proxy.left = step, fault, 10**6
    done = step == "complete" and fault in ("half", "the answer is lost")  # the object is there, whoever said so
    if done:
        upload("models", tmp_path / "f")
    else:
        with pytest.raises(JobError, match=r"S3 (answered|could not be reached)"):
            upload("models", tmp_path / "f")
    visible = step == "look at the object" or done  # committed, and then not seen
    assert ("Contents" in direct.list_objects_v2(Bucket="models")) == visible
    if step != "begin":
        assert "Uploads" not in direct.list_multipart_uploads(Bucket="models")


@pytest.mark.parametrize("fault", ["500", "reset", "the answer is lost"])
def test_an_abort_outlives_a_fault(proxy: type[Proxy], direct: Any, fault: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    prepared = s3.prepare("s3://models/k", tmp_path / "f", MARK)
    proxy.step, proxy.fault, proxy.left = "abort", fault, 1
    prepared.abort()
    assert "Uploads" not in direct.list_multipart_uploads(Bucket="models")


def test_a_bucket_of_another_region_is_found(proxy: type[Proxy], direct: Any, tmp_path: Path) -> None:
    """The server refuses signatures for other regions: HEAD with 301 and the right region, the rest with 400."""
    direct.put_object(Bucket="models", Key="k", Body=CONTENT)
    proxy.region = "eu-central-1"
    assert s3.fetch("s3://models/k", tmp_path / "g", LIMIT).path.read_bytes() == CONTENT
    upload("models", tmp_path / "g")
    assert s3.holds("s3://models/k", MARK)


def test_buckets_may_be_host_names(
    proxy: type[Proxy], direct: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Virtual-hosted addresses: asked for in the configuration, as AWS itself has them; else the bucket is in the path."""
    import os

    number = os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1]
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: resolve("127.0.0.1" if "localhost" in str(host) else host, *a, **k)
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://localhost:{number}")
    (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    for style, host in (("virtual", "models.localhost"), ("path", "localhost")):
        (tmp_path / "config").write_text(f"[default]\ns3 =\n  addressing_style = {style}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        proxy.hosts.clear()
        (tmp_path / "f").write_bytes(CONTENT)
        upload("models", tmp_path / "f")
        assert s3.fetch("s3://models/k", tmp_path / "g", LIMIT).path.read_bytes() == CONTENT
        assert proxy.hosts == {host}


@pytest.mark.parametrize(
    ("used", "wanted", "good"),
    [("arn:aws:kms:eu-west-1:1:key/a-b", "a-b", True), ("arn:aws:kms:eu-west-1:1:key/other", "a-b", False),
     ("arn:aws:kms:eu-west-1:1:key/a-b", "arn:aws:kms:eu-west-1:1:key/a-b", True), ("arn:aws:kms:eu-west-1:1:key/x", "alias/neo", True),
     ("", "a-b", True)],
)  # fmt: skip
def test_another_key_than_the_one_asked_for_is_noticed(used: str, wanted: str, good: bool) -> None:
    assert s3._encrypted({"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": used}, wanted) == good
    assert not s3._encrypted({"ServerSideEncryption": "AES256", "SSEKMSKeyId": used}, wanted)


@settings(max_examples=12)
@given(st.binary(max_size=300), st.sampled_from([0, 1, 2**14 - 1, 2**14, 2**14 + 1, 2**15 + 7]))
def test_checksums_are_those_of_the_standards(tmp_path_factory: pytest.TempPathFactory, data: bytes, more: int) -> None:
    file = tmp_path_factory.getbasetemp() / "summed"
    file.write_bytes(data + b"z" * more)
    value = 2**64 - 1
    for byte in file.read_bytes():  # bit by bit, as the polynomial is written down
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (checksums.POLYNOMIAL if value & 1 else 0)
    assert checksums.crc64(file) == (value ^ (2**64 - 1)).to_bytes(8, "big")


def test_each_kind_of_checksum_is_kept_or_not(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"123456789")
    known = {
        "ChecksumCRC64NVME": base64.b64encode(
            bytes.fromhex("ae8b14860a799888")
        ).decode(),  # NVM Express' own check value
        "ChecksumCRC32": base64.b64encode(zlib.crc32(b"123456789").to_bytes(4, "big")).decode(),
        "ChecksumSHA1": base64.b64encode(bytes.fromhex("f7c3bc1d808e04732adf679965ccc34ca7ae3441")).decode(),
        "ChecksumSHA256": checksums.sha256(b"123456789"),
    }
    for name, value in known.items():
        assert checksums.kept({name: value}, file)
        assert not checksums.kept({name: "AAAA" + value[4:]}, file)
        assert checksums.kept({name: "AAAA-2", "ChecksumType": "COMPOSITE"}, file)
        assert checksums.kept({name: "AAAA", "ETag": '"x-2"'}, file)
    assert checksums.kept({}, file) and checksums.kept({"ChecksumCRC32C": "AAAA"}, file)
