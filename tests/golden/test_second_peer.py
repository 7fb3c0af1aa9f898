"""PyPI's awscli and moto's server: the same lines send the same requests, and answers read as the same JSON.

awscli is version 1 of the AWS CLI: its error texts, paging options and timestamps differ, so none of them is compared.
moto has no stop, and its tags of compilation jobs answer 500.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from golden.endpoint import Server, serving
from neo_cli.entry.context import Context
from neo_cli.entry.main import run

ROLE = "arn:aws:iam::123456789012:role/NeoRole"
ARN = "arn:aws:sagemaker:us-east-1:123456789012:compilation-job/j1"
CREATE = ["create-compilation-job", "--compilation-job-name", "j1", "--role-arn", ROLE]
OUTPUT = ["--output-config", "S3OutputLocation=s3://b/o,TargetDevice=ml_c5"]
STOP = ["--stopping-condition", "MaxRuntimeInSeconds=900"]
INPUT = ["--input-config", "S3Uri=s3://b/m.tar.gz,Framework=PYTORCH,DataInputConfig='{\"input0\":[1,3,224,224]}'"]

LINES = [
    [*CREATE, *OUTPUT, *STOP, *INPUT],
    [*CREATE, *OUTPUT, *STOP, "--input-config", '{"S3Uri":"s3://b/é.tar.gz","Framework":"ONNX"}', "--tags", "Key=a,Value=b", "Key=c,Value="],
    [*CREATE, *STOP, *INPUT, "--output-config", "S3OutputLocation=s3://b/o,TargetPlatform={Os=LINUX,Arch=ARM64},CompilerOptions='{\"a\": 1}'"],
    [*CREATE, *OUTPUT, *STOP, *INPUT, "--vpc-config", "SecurityGroupIds=sg-1,sg-2,Subnets=s-1"],
    [*CREATE, *OUTPUT, *STOP, *INPUT, "--vpc-config", "SecurityGroupIds=[sg-1],Subnets=[s-1,s-2]", "--compilation-job-name", "j2"],
    ["create-compilation-job", "--cli-input-json", json.dumps({"CompilationJobName": "j3", "RoleArn": ROLE, "OutputConfig": {"S3OutputLocation": "s3://b/o", "TargetDevice": "lambda"}, "StoppingCondition": {}})],
    ["describe-compilation-job", "--compilation-job", "j1"],
    ["list-compilation-jobs", "--creation-time-after", "2024-01-01", "--name-contains", "zzz", "--sort-by", "Name"],
    ["list-compilation-jobs", "--last-modified-time-before", "Jan 5 2030", "--status-equals", "NOPE", "--name-contains", "zzz"],
    ["list-compilation-jobs", "--max-results", "3"],
    ["list-compilation-jobs", "--page-size", "4"],
    ["add-tags", "--resource-arn", ARN, "--tags", '[{"Key":"a","Value":"b"}]'],
    ["list-tags", "--resource-arn", ARN],
    ["delete-tags", "--resource-arn", ARN, "--tag-keys", "a", "b c"],
    ["delete-compilation-job", "--compilation-job-name=j1"],
]  # fmt: skip
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": "",
}  # fmt: skip
AWS = """
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
for line in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = create_clidriver().main(["sagemaker", *line])
    print(json.dumps([code, out.getvalue()]), flush=True)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [n for n in os.environ if n.startswith(("AWS_", "NEO_"))]:
        monkeypatch.delenv(name)
    for name, value in {**KEYS, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def aws(lines: list[list[str]], url: str) -> list[Any]:
    """What awscli makes of the lines: [exit code, output] each, from one process."""
    given = json.dumps([[*line, "--endpoint-url", url, "--output", "json"] for line in lines])
    env = {**KEYS, "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    done = subprocess.run(
        [sys.executable, "-c", AWS], input=given, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def neo(line: list[str], url: str) -> list[Any]:
    out, err = io.StringIO(), io.StringIO()
    code = run(Context([*line, "--endpoint-url", url], os.environ, io.StringIO(), out, err))
    assert err.getvalue() == ""
    return [code, out.getvalue()]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def test_the_same_requests_go_over_the_wire(server: Server, alone: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"
    codes = [code for code, _ in aws(LINES, url)]
    theirs = list(server.requests)
    server.requests.clear()
    assert [neo(line, url)[0] for line in LINES] == codes == [0] * len(LINES)
    assert server.requests == theirs


def test_moto_answers_both_the_same(alone: Path) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url = f"http://{host}:{port}"
        jobs = [[word if word != "j1" else name for word in LINES[0]] for name in ("one", "two")]
        assert [code for code, _ in aws(jobs[:1], url)] == [0]
        assert neo(jobs[1], url)[0] == 0
        reads = [
            ["describe-compilation-job", "--compilation-job-name", "one"],
            ["list-compilation-jobs"],
            [
                "list-compilation-jobs",
                "--name-contains",
                "two",
                "--query",
                "CompilationJobSummaries[0].CompilationJobName",
            ],
        ]
        for line, (code, text) in zip(reads, aws(reads, url), strict=True):
            mine = neo(line, url)
            assert (mine[0], plain(mine[1])) == (code, plain(text)), line
    finally:
        server.stop()


def plain(text: str) -> Any:
    """The JSON with timestamps as such: version 1 prints seconds, version 2 ISO 8601."""
    return json.loads(re.sub(r'("\w+Time": )("[^"]*"|[\d.]+)', r'\1"T"', text) or "null")
