"""From words on the line to the request: files, JSON, shorthand, numbers, JSON within strings."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import NeoError, ParamValidation
from neo_cli.entry.commands import command
from neo_cli.entry.context import Context


def request(name: str, *argv: str, stdin: str = "", environ: dict[str, str] | None = None) -> dict[str, Any]:
    """The request a line makes, unchecked."""
    context = Context(argv, environ={"HOME": "/nonexistent", **(environ or {})}, stdin=io.StringIO(stdin))
    made: Any = command(name)
    words = [*argv, "--cli-input-json", "{}"] if "--cli-input-json" not in argv else [*argv]
    params: dict[str, Any] = made.make_context(name, words, obj=context).params
    found: dict[str, Any] = made.request(params, context)[0]
    return found


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neo_cli.api.shapes.client_faults", lambda operation, params: [])


def create(*argv: str, **more: Any) -> dict[str, Any]:
    return request("create-compilation-job", *argv, **more)


OBJECT = '{"x": [1, 3]}'


@pytest.mark.parametrize(
    "text",
    [
        "S3Uri=s3://b/m,DataInputConfig='" + OBJECT + "'",
        "S3Uri=s3://b/m,DataInputConfig=" + OBJECT,
        '{"S3Uri":"s3://b/m","DataInputConfig":{"x":[1,3]}}',
        '{"S3Uri":"s3://b/m","DataInputConfig":"{\\"x\\": [1, 3]}"}',
        "S3Uri = s3://b/m , DataInputConfig = '" + OBJECT + "'",
    ],
)
def test_an_object_where_the_api_wants_json_in_a_string(text: str) -> None:
    assert create("--input-config", text) == {"InputConfig": {"S3Uri": "s3://b/m", "DataInputConfig": OBJECT}}


def test_a_list_in_a_document_too() -> None:
    document = '{"InputConfig": {"DataInputConfig": [[1, 3]]}, "OutputConfig": {"CompilerOptions": {"a": "é"}}}'
    found = create("--cli-input-json", document)
    assert found == {
        "InputConfig": {"DataInputConfig": "[[1, 3]]"},
        "OutputConfig": {"CompilerOptions": '{"a": "é"}'},
    }


@pytest.mark.parametrize(
    "argv, value",
    [
        (["Key=a,Value=b", "Key=c,Value="], [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": ""}]),
        (['[{"Key":"a","Value":"b"}]'], [{"Key": "a", "Value": "b"}]),
        (['{"Key":"a","Value":"b"}', '{"Key":"c","Value":"d"}'], [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]),
        ([], []),
    ],
)  # fmt: skip
def test_lists_of_structures(argv: list[str], value: Any) -> None:
    assert create("--tags", *argv) == {"Tags": value}


def test_lists_of_words() -> None:
    assert request("delete-tags", "--tag-keys", "a", "b c") == {"TagKeys": ["a", "b c"]}
    assert request("delete-tags", "--tag-keys", '["a","b c"]') == {"TagKeys": ["a", "b c"]}
    assert request("delete-tags", "--tag-keys") == {"TagKeys": []}


def test_numbers_and_single_items_are_made_to_fit() -> None:
    assert create("--stopping-condition", "MaxRuntimeInSeconds=900") == {"StoppingCondition": {"MaxRuntimeInSeconds": 900}}  # fmt: skip
    assert create("--vpc-config", "SecurityGroupIds=sg-1,Subnets=a,b")["VpcConfig"] == {
        "SecurityGroupIds": ["sg-1"],
        "Subnets": ["a", "b"],
    }
    assert request("list-tags", "--max-results", "50") == {"MaxResults": 50}


def test_times_become_seconds() -> None:
    found = request("list-compilation-jobs", "--creation-time-after", "2024-01-01", "--creation-time-before", "-1")
    assert found == {"CreationTimeAfter": 1704067200, "CreationTimeBefore": -1}


def test_files_and_standard_input(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"S3Uri": "s3://b/é"}', encoding="utf-8")
    (tmp_path / "name").write_text("job\n", encoding="utf-8")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    wanted = {"InputConfig": {"S3Uri": "s3://b/é"}}
    assert create("--input-config", f"file://{tmp_path}/in.json") == wanted
    assert create("--input-config", "file://~/in.json", environ={"HOME": str(tmp_path)}) == wanted
    assert create("--input-config", "-", stdin='{"S3Uri": "s3://b/é"}') == wanted
    assert create("--compilation-job-name", f"file://{tmp_path}/name") == {"CompilationJobName": "job\n"}
    assert create("--compilation-job-name", "-") == {"CompilationJobName": "-"}
    assert create("--compilation-job-name", f"fileb://{tmp_path}/name") == {"CompilationJobName": b"job\n"}
    assert create("--input-config", f"fileb://{tmp_path}/in.json") == wanted
    assert request("delete-tags", "--tag-keys", f"file://{tmp_path}/name") == {"TagKeys": ["job\n"]}
    with pytest.raises(ParamValidation, match="holds no text"):
        create("--tags", f"fileb://{tmp_path}/latin")
    latin = {"AWS_CLI_FILE_ENCODING": "latin-1"}
    assert create("--compilation-job-name", f"file://{tmp_path}/latin", environ=latin) == {"CompilationJobName": "é"}
    with pytest.raises(ParamValidation, match="could not be decoded"):
        create("--compilation-job-name", f"file://{tmp_path}/latin", environ={"AWS_CLI_FILE_ENCODING": "utf-8"})
    with pytest.raises(ParamValidation, match=r"'--input-config': Unable to load paramfile file://nope: .Errno 2."):
        create("--input-config", "file://nope")


@pytest.mark.parametrize(
    "argv, fault, message",
    [
        (["--input-config", '{"a":'], ParamValidation, 'Invalid JSON: Expecting value: line 1 column 6 (char 5)\nJSON received: {"a":'),
        (["--input-config", "[1]"], ParamValidation, "Error parsing parameter '--input-config': Invalid JSON:\n[1]"),
        (["--tags", '{"Key":"a"}', "Key=b"], ParamValidation, "'--tags': Invalid JSON:\nKey=b"),
        (["--stopping-condition", "MaxRuntimeInSeconds=x"], NeoError, "invalid literal for int() with base 10: 'x'"),
        (["--input-config", ""], ParamValidation, "Expected: '=', received: 'EOF' for input:\n \n^"),
        (["--tags", "Key=a,Value=b,Key=c"], ParamValidation, 'Second instance of key "Key" encountered'),
    ],
)  # fmt: skip
def test_bad_values(argv: list[str], fault: type[Exception], message: str) -> None:
    with pytest.raises(fault) as found:
        create(*argv)
    assert message in str(found.value)
