"""A SageMaker endpoint on 127.0.0.1 that answers as told and remembers what it was asked; clients that talk to it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from neo_cli.clients.aws import AwsClient
from neo_cli.entry.context import Context

STS = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>role-token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
SSO = {
    "roleCredentials": {"accessKeyId": "SSO", "secretAccessKey": "s", "sessionToken": "t", "expiration": 4070908800000}
}


class Endpoint:
    """`answer(operation, request)` gives (status, body); the default describes whatever is asked for."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Callable[[str, Any], tuple[int, Any]] = lambda operation, request: (200, {"CreationTime": 1.5})
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                target = self.headers.get("X-Amz-Target", "")
                endpoint.requests.append({"target": target, "headers": dict(self.headers), "body": body.decode()})
                if target:
                    status, answer = endpoint.answer(target.partition(".")[2], json.loads(body))
                else:
                    status, answer = 200, STS
                self.reply(status, answer if isinstance(answer, str) else json.dumps(answer))

            def do_GET(self) -> None:
                endpoint.requests.append({"target": self.path, "headers": dict(self.headers), "body": ""})
                self.reply(200, json.dumps(SSO))

            def reply(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def authorization(self) -> str:
        return str(self.requests[-1]["headers"].get("Authorization", ""))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint()
    threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment with keys and a region but no other AWS settings."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "NEO_")):
            monkeypatch.delenv(name)
    (tmp_path / ".aws").mkdir()
    for name, value in {
        "HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def client(home: Path, endpoint: Endpoint) -> Iterator[Callable[..., AwsClient]]:
    """`client(**options)` talks to the endpoint unless told to go elsewhere; connections are closed afterwards."""
    made: list[AwsClient] = []

    def make(**options: Any) -> AwsClient:
        chosen = {"endpoint_url": endpoint.url, **options}
        made.append(AwsClient(Context(environ=os.environ, options={k: v for k, v in chosen.items() if v is not None})))
        return made[-1]

    yield make
    for each in made:
        each.close()
