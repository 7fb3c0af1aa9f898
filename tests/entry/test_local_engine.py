"""The eight operations on the local engine, from the command line: one job from create to delete."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from neo_cli.entry.context import Context
from neo_cli.entry.main import run


class Shell:
    """Command lines against one store."""

    def __init__(self, home: Path) -> None:
        self.environ = {"NEO_HOME": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin", "COLUMNS": "80"}

    def __call__(self, *argv: str, code: int = 0, stdin: str = "") -> Any:
        out, err = io.StringIO(), io.StringIO()
        got = run(Context(argv, self.environ, io.StringIO(stdin), out, err))
        assert got == code, err.getvalue()
        return json.loads(out.getvalue()) if code == 0 and out.getvalue() else err.getvalue()


@pytest.fixture
def neo(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


REQUEST = {
    "CompilationJobName": "one",
    "RoleArn": "arn:aws:iam::123456789012:role/Neo",
    "InputConfig": {"S3Uri": "file:///nowhere/m.tar.gz", "Framework": "ONNX", "DataInputConfig": {"x": [1, 3]}},
    "OutputConfig": {"S3OutputLocation": "file:///nowhere/out", "TargetDevice": "ml_c5"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    "Tags": [{"Key": "team", "Value": "équipe"}],
}


def test_an_empty_store(neo: Shell) -> None:
    assert neo("list-compilation-jobs") == {"CompilationJobSummaries": []}
    missing = ("--compilation-job-name", "nope")
    for name in ("describe", "stop", "delete"):
        said = neo(f"{name}-compilation-job", *missing, code=254)
        operation = f"{name.title()}CompilationJob"
        assert f"An error occurred (ResourceNotFound) when calling the {operation} operation: " in said
    said = neo("describe-compilation-job", *missing, "--cli-error-format", "json", code=254)
    assert json.loads(said)["Code"] == "ResourceNotFound"


def test_a_refused_request_leaves_nothing_behind(neo: Shell) -> None:
    wrong = REQUEST | {"OutputConfig": {"S3OutputLocation": "file:///out", "TargetDevice": "jetson-nano"}}
    said = neo("create-compilation-job", "--cli-input-json", "-", code=254, stdin=json.dumps(wrong))
    assert "1 validation error detected: Value 'jetson-nano' at 'outputConfig.targetDevice'" in said
    assert said.endswith("\n\nDid you mean jetson_nano?\n")
    assert neo("list-compilation-jobs") == {"CompilationJobSummaries": []}


def test_one_job_from_create_to_delete(neo: Shell) -> None:
    made = neo("create-compilation-job", "--cli-input-json", "-", "--trust-model", stdin=json.dumps(REQUEST))
    arn = made["CompilationJobArn"]
    assert arn == "arn:aws:sagemaker:local:000000000000:compilation-job/one"
    name = ("--compilation-job-name", "one")
    said = neo("wait", "compilation-job-completed-or-stopped", *name, code=255)
    assert "There is no file /nowhere/m.tar.gz" in said
    job = neo("describe-compilation-job", *name)
    assert job["CompilationJobStatus"] == "FAILED"
    assert job["InputConfig"] == {**REQUEST["InputConfig"], "DataInputConfig": '{"x": [1, 3]}'}  # type: ignore[dict-item]
    assert not {"trust_model", "TrustModel", "ModelArtifacts"} & job.keys()
    assert neo("list-tags", "--resource-arn", arn) == {"Tags": REQUEST["Tags"]}
    neo("add-tags", "--resource-arn", arn, "--tags", "Key=stage,Value=test")
    neo("delete-tags", "--resource-arn", arn, "--tag-keys", "team")
    assert neo("list-tags", "--resource-arn", arn) == {"Tags": [{"Key": "stage", "Value": "test"}]}
    again = neo("create-compilation-job", "--cli-input-json", json.dumps(REQUEST), code=254)
    assert "An error occurred (ResourceInUse)" in again
    assert neo("delete-compilation-job", *name) == ""
    neo("describe-compilation-job", *name, code=254)
