"""awscli from PyPI and neo-cli, both against moto_server: the same requests on the wire, the same JSON back.

`stop` is left out, as moto does not know it; error texts and exit codes are v2's here and v1's there.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::123456789012:role/NeoRole"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:compilation-job/{}"


def create(name: str, *more: str) -> list[str]:
    return [
        "create-compilation-job", "--compilation-job-name", name, "--role-arn", ROLE,
        "--input-config", """S3Uri=s3://b/m.tar.gz,Framework=ONNX,DataInputConfig='{"x":[1,3,8,8]}'""",
        "--output-config", "S3OutputLocation=s3://b/out,TargetDevice=ml_c5", "--stopping-condition", "MaxRuntimeInSeconds=900",
        *more,
    ]  # fmt: skip


def told(answer: Any) -> Any:
    """An answer without what may differ: times, and the wording around a refusal."""
    if not answer.ok:
        found = re.search(
            r"An error occurred \((\w+)\) when calling the (\w+) operation(?: \(reached max retries: \d+\))?: (.*)",
            answer.stderr,
        )
        return found.groups() if found else "refused before it was sent"
    return timeless(answer.document)


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "a time" if key.endswith("Time") else timeless(item) for key, item in value.items()}
    return [timeless(item) for item in value] if isinstance(value, list) else value


LIFE = [
    create("one", "--tags", "Key=team,Value=a", "Key=stage,Value="),
    create("two", "--tags", '[{"Key":"team","Value":"b"}]'),
    create("three-3", "--tags", "Key=team,Value=c"),
    create("one"),
    ["describe-compilation-job", "--compilation-job-name", "one"],
    ["describe-compilation-job", "--compilation-job-name", "one", "--query", "[InputConfig,OutputConfig.TargetDevice]"],
    ["describe-compilation-job", "--compilation-job-name", "nope"],
    ["list-compilation-jobs", "--sort-by", "Name", "--sort-order", "Descending"],
    ["list-compilation-jobs", "--sort-by", "Name", "--page-size", "1"],
    ["list-compilation-jobs", "--sort-by", "Name", "--max-items", "2"],
    ["list-compilation-jobs", "--sort-by", "Name", "--page-size", "2", "--max-items", "1"],
    ["list-compilation-jobs", "--sort-by", "Name", "--max-results", "2"],
    ["list-compilation-jobs", "--name-contains", "o", "--creation-time-after", "2020-01-01"],
    ["list-tags", "--resource-arn", ARN.format("one")],
    ["add-tags", "--resource-arn", ARN.format("one"), "--tags", "Key=new,Value=x y"],
    ["delete-tags", "--resource-arn", ARN.format("one"), "--tag-keys", "team", "stage"],
    ["list-tags", "--resource-arn", ARN.format("one"), "--max-items", "1"],
    ["delete-compilation-job", "--compilation-job-name", "one"],
    ["describe-compilation-job", "--compilation-job-name", "one"],
]


def test_a_jobs_life_is_the_same(peers: Any) -> None:
    theirs, ours = peers.script("aws", LIFE), peers.script("neo", LIFE)
    for line, one, two in zip(LIFE, theirs, ours, strict=True):
        assert two.requests == one.requests, line
        assert told(two) == told(one), line
    assert [answer.ok for answer in ours].count(False) == 3  # the ones meant to fail


def test_tokens_go_from_one_to_the_other(peers: Any) -> None:
    peers.script("neo", [create(name) for name in ("a", "b", "c", "d")])
    listing = ["list-compilation-jobs", "--sort-by", "Name", "--max-items", "2", "--page-size", "3"]
    tokens = {who: peers.run(who, listing).document["NextToken"] for who in ("aws", "neo")}
    assert tokens["aws"] == tokens["neo"]
    for who, other in (("aws", "neo"), ("neo", "aws")):
        rest = peers.run(who, [*listing, "--starting-token", tokens[other]])
        assert [job["CompilationJobName"] for job in rest.document["CompilationJobSummaries"]] == ["c", "d"]


FORMS = {
    "nested shorthand": ["--output-config", "S3OutputLocation=s3://b/o,TargetPlatform={Os=LINUX,Arch=ARM64,Accelerator=NVIDIA}"],
    "shorthand lists": ["--vpc-config", "SecurityGroupIds=sg-1,sg-2,Subnets=[subnet-1,subnet-2]"],
    "one for a list": ["--vpc-config", "SecurityGroupIds=sg-1,Subnets=subnet-1"],
    "quotes": ["--input-config", """S3Uri='s3://b/a,b=c',Framework=ONNX,DataInputConfig="{\\"x\\": [1]}" """.strip()],
    "escaped comma": ["--tags", "Key=a\\,b,Value=c\\=d"],
    "JSON": ["--output-config", '{"S3OutputLocation": "s3://b/o", "TargetDevice": "ml_c5", "CompilerOptions": "[1]"}'],
    "several JSON objects": ["--tags", '{"Key": "a", "Value": "1"}', '{"Key": "b", "Value": "2"}'],
    "no tags": ["--tags"],
    "a file": ["--input-config", "file://input.json"],
    "a nested file": ["--input-config", "S3Uri=s3://b/m,Framework=ONNX,DataInputConfig@=file://shape.json"],
    "the last one wins": ["--role-arn", ROLE + "2", "--role-arn", ROLE + "3"],
    "a document with flags on top": ["--cli-input-json", '{"RoleArn": "' + ROLE + '9", "Tags": [{"Key": "k", "Value": "v"}]}'],
    "text beyond ASCII": ["--tags", "Key=équipe,Value=日本 ☃"],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_parameters_become_the_same_request(peers: Any, form: str) -> None:
    (peers.folder / "input.json").write_text(json.dumps({"S3Uri": "s3://b/m", "Framework": "TFLITE"}))
    (peers.folder / "shape.json").write_text('{"x": [1, 3, 8, 8]}\n')
    line = create("job", *FORMS[form])
    theirs, ours = peers.script("aws", [line])[0], peers.script("neo", [line])[0]
    assert ours.requests == theirs.requests and theirs.requests, ours.stderr + theirs.stderr


def test_times_become_the_same_request(peers: Any) -> None:
    line = [
        "list-compilation-jobs", "--creation-time-after", "2024-01-05", "--creation-time-before", "1700000000",
        "--last-modified-time-after", "2024-01-05T01:02:03+02:00", "--last-modified-time-before", "Jan 5 2024",
    ]  # fmt: skip
    theirs, ours = peers.script("aws", [line])[0], peers.script("neo", [line])[0]
    assert [whole(r) for r in ours.requests] == [whole(r) for r in theirs.requests] and ours.requests


def whole(request: dict[str, Any]) -> dict[str, Any]:
    """v1 may keep a fraction of a second that v2 drops."""
    return request["body"] | {key: int(value) for key, value in request["body"].items() if key.startswith(("Cr", "La"))}
