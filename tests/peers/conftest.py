"""moto_server, started once, behind a proxy that records requests; and the two command lines that talk to it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
NEO = [sys.executable, "-m", "neo_cli"]


@dataclass
class Moto:
    """A recording proxy in front of moto_server."""

    upstream: int
    requests: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=30)
        try:
            connection.request("POST", path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def reset(self) -> None:
        """Forget all jobs and all requests."""
        self.post("/moto-api/reset")
        self.requests.clear()


def proxy(moto: Moto) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            scope = self.headers.get("Authorization", "").partition("Credential=")[2].partition(",")[0].split("/")[2:]
            moto.requests.append({"target": self.headers["X-Amz-Target"], "body": json.loads(body), "scope": scope})
            status, answer = moto.post(self.path, body, dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Moto]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    moto = Moto(port)
    server = proxy(moto)
    moto.port = int(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "moto_server did not start"
            time.sleep(0.1)
        yield moto
    finally:
        server.shutdown()
        server.server_close()
        process.terminate()
        process.wait()


@dataclass
class Answer:
    """What one command line made of a command."""

    ok: bool
    stdout: str
    stderr: str
    requests: list[dict[str, Any]]

    @property
    def document(self) -> Any:
        return json.loads(self.stdout) if self.stdout.strip() else None


class Peers:
    """Runs a command with both; `aws` and `neo` each have their own moto to start from."""

    def __init__(self, moto: Moto, folder: Path) -> None:
        self.moto, self.folder = moto, folder
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_"))}
        self.env = keep | {
            "HOME": str(folder), "TZ": "UTC", "AWS_PAGER": "", "AWS_DEFAULT_REGION": "eu-west-1", "NEO_ENGINE": "aws",
            "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }  # fmt: skip

    def run(self, who: str, line: list[str]) -> Answer:
        command = NEO if who == "neo" else [str(BIN / "aws"), "sagemaker"]
        self.moto.requests.clear()
        done = subprocess.run(
            [*command, *line, "--endpoint-url", f"http://127.0.0.1:{self.moto.port}"],
            env=self.env, cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        return Answer(done.returncode == 0, done.stdout, done.stderr, list(self.moto.requests))

    def script(self, who: str, lines: list[list[str]]) -> list[Answer]:
        """Run several commands on a fresh moto."""
        self.moto.reset()
        return [self.run(who, line) for line in lines]


@pytest.fixture
def peers(moto_server: Moto, tmp_path: Path) -> Peers:
    assert shutil.which(str(BIN / "aws")), "awscli is part of the test extra"
    return Peers(moto_server, tmp_path)
