"""skeletons/: the API's files equal what the model gives, the examples are valid, and a skeleton can be filled and sent."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from neo_cli.api import shapes
from neo_cli.api.names import kebab
from neo_cli.entry import skeleton
from neo_cli.entry.commands import command
from neo_cli.entry.context import Context
from neo_cli.entry.main import run
from neo_cli.entry.values import documents
from neo_cli.entry.values.parameters import encode_json_members
from neo_cli.entry.verbs.skeletons import files
from neo_cli.targets.devices import target_of, targets
from neo_cli.targets.options import parse_options

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = list(shapes.load()["operations"])
EXAMPLES = sorted(p for p in skeleton.FOLDER.glob("*/*") if p.parent.name in ("frameworks", "targets"))


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["make_skeletons", "make_examples"])
def test_the_files_are_what_their_script_writes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [name, "--check"])
    assert tool(name).main() == 0


def read(path: Path) -> dict[str, Any]:
    flag = "--cli-input-json" if path.suffix == ".json" else "--cli-input-yaml"
    return documents.document(flag, f"file://{path}", Context())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_an_example_is_a_valid_request(path: Path) -> None:
    request = encode_json_members(read(path))
    assert shapes.client_faults("CreateCompilationJob", request) == []
    assert shapes.service_faults("CreateCompilationJob", request) == []
    output = request["OutputConfig"]
    target = target_of(output)
    assert target is not None
    parse_options(output.get("CompilerOptions"), target, platform="TargetPlatform" in output)


def test_json_examples_are_for_aws_too() -> None:
    for path in EXAMPLES:
        if path.suffix == ".json":
            assert shapes.client_faults("CreateCompilationJob", read(path)) == []


def test_both_forms_of_an_example_say_the_same() -> None:
    for path in EXAMPLES:
        if path.suffix == ".json":
            assert encode_json_members(read(path.with_suffix(".yaml"))) == read(path)


def test_every_framework_and_every_family_that_compiles_has_an_example() -> None:
    requests = [read(p) for p in EXAMPLES]
    assert {r["InputConfig"]["Framework"] for r in requests} == set(shapes.shape("Framework")["enum"])
    kinds = {t.arch for r in requests if (t := target_of(r["OutputConfig"]))}
    assert kinds >= {t.arch for t in targets().values() if t.backends and t.cloud}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_both_skeletons_hold_the_same_request(operation: str) -> None:
    made = json.loads(skeleton.text(operation, "input"))
    assert made == skeleton.request(operation)
    as_yaml = documents.document("--cli-input-yaml", skeleton.text(operation, "yaml-input"), Context())
    assert json.loads(json.dumps(as_yaml, default=lambda t: t.isoformat())) == made


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_commands_print_them(operation: str) -> None:
    for form, text in (("input", skeleton.text(operation, "input")), ("yaml-input", skeleton.text(operation, "yaml-input"))):  # fmt: skip
        out = io.StringIO()
        assert run(Context([kebab(operation), "--generate-cli-skeleton", form], {}, stdout=out)) == 0
        assert out.getvalue() == text
    assert run(Context([kebab(operation), "--generate-cli-skeleton"], {}, stdout=io.StringIO())) == 0


def test_the_output_skeleton_of_every_operation_is_printed() -> None:
    line = {
        "create-compilation-job": ["--cli-input-json", json.dumps(filled())],
        "describe-compilation-job": ["--compilation-job-name", "x"],
        "add-tags": ["--resource-arn", "arn", "--tags", "Key=a,Value=b"],
        "list-tags": ["--resource-arn", "arn"],
        "delete-tags": ["--resource-arn", "arn", "--tag-keys", "a"],
    }
    for operation in OPERATIONS:
        out, err, name = io.StringIO(), io.StringIO(), kebab(operation)
        argv = [name, *line.get(name, ["--compilation-job-name", "x"] if "list" not in name else [])]
        code = run(
            Context([*argv, "--generate-cli-skeleton", "output"], {"HOME": "/nonexistent"}, stdout=out, stderr=err)
        )
        assert (code, err.getvalue()) == (0, "")
        shape = shapes.output_shape(operation)
        assert list(json.loads(out.getvalue() or "{}")) == list(shape["members"] if shape else {})


def filled() -> dict[str, Any]:
    """The skeleton with what is needed filled in and what excludes something else taken out."""
    request = json.loads(skeleton.text("CreateCompilationJob", "input"))
    request |= {"CompilationJobName": "x", "RoleArn": "arn:aws:iam::123456789012:role/Neo", "Tags": []}
    del request["ModelPackageVersionArn"], request["VpcConfig"], request["OutputConfig"]["TargetPlatform"]
    request["InputConfig"] = {"S3Uri": "s3://b/m.tar.gz", "DataInputConfig": {"x": [1, 3]}, "Framework": "ONNX"}
    request["OutputConfig"] = {"S3OutputLocation": "s3://b/out", "TargetDevice": "ml_c5"}
    request["StoppingCondition"] = {"MaxRuntimeInSeconds": 900}
    return dict(request)


def test_skeleton_filled_and_read_again_is_the_request() -> None:
    made: Any = command("create-compilation-job")
    argv = ["--cli-input-json", json.dumps(filled()), "--compilation-job-name", "y"]
    context = Context(argv, {"HOME": "/nonexistent"})
    params, _ = made.request(made.make_context("c", argv, obj=context).params, context)
    assert params["CompilationJobName"] == "y"
    assert params["InputConfig"]["DataInputConfig"] == '{"x": [1, 3]}'
    assert shapes.service_faults("CreateCompilationJob", params) == []


def test_they_are_printed_by_name() -> None:
    out = io.StringIO()
    assert run(Context(["skeletons", "jetson.yaml"], {}, stdout=out)) == 0
    assert out.getvalue() == (skeleton.FOLDER / "targets" / "jetson.yaml").read_text(encoding="utf-8")
    listing = io.StringIO()
    assert run(Context(["skeletons"], {}, stdout=listing)) == 0
    assert all(path.name in listing.getvalue() for path in files().values())
