"""What is wrong with a request: botocore's own validator is the peer for the client's part."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.api import shapes

MODEL = ServiceModel(shapes.load())
OPERATIONS = list(shapes.load()["operations"])

LEAVES = st.one_of(
    st.text(max_size=8),
    st.integers(-5, 10_000),
    st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.none(),
    st.just({}),
    st.just([]),
    st.just({"Key": "a"}),
    st.just(datetime.date(2024, 1, 1)),
)


def structures(shape: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    members = {name: values(shapes.shape(m["shape"])) for name, m in shape["members"].items()}
    return st.fixed_dictionaries({}, optional={**members, "Foo": LEAVES})


def values(shape: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Mostly right values of a shape, with wrong ones among them."""
    kind = shape["type"]
    if kind == "structure":
        right: st.SearchStrategy[Any] = structures(shape)
    elif kind == "list":
        right = st.lists(values(shapes.shape(shape["member"]["shape"])), max_size=3)
    elif kind == "integer":
        right = st.integers(-1, 10_000)
    elif kind == "timestamp":
        right = st.sampled_from(["2024-01-01", 1700000000, "yesterday", "", 1.5, "1700000000.25", None])
    else:
        right = st.text(max_size=25)
    return right | LEAVES


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_client_finds_what_botocore_finds(operation: str) -> None:
    peer = MODEL.operation_model(operation).input_shape

    @settings(max_examples=60, deadline=None)
    @given(structures(shapes.input_shape(operation)))
    def check(params: dict[str, Any]) -> None:
        report = ParamValidator().validate(params, peer).generate_report()
        assert "\n".join(shapes.client_faults(operation, params)) == report

    check()


REQUEST: dict[str, Any] = {
    "CompilationJobName": "digits-1",
    "RoleArn": "arn:aws:iam::123456789012:role/Neo",
    "InputConfig": {"S3Uri": "s3://b/m.tar.gz", "Framework": "ONNX"},
    "OutputConfig": {"S3OutputLocation": "s3://b/out", "TargetDevice": "ml_c5"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 900},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """REQUEST with one member set; "a.b" goes down."""
    found: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in REQUEST.items()}
    *outer, last = path.split(".")
    place = found
    for name in outer:
        place = place.setdefault(name, {})
    place[last] = value
    return found


def test_a_good_request_has_no_faults() -> None:
    assert shapes.client_faults("CreateCompilationJob", REQUEST) == []
    assert shapes.service_faults("CreateCompilationJob", REQUEST) == []


@pytest.mark.parametrize(
    "path, value, fault",
    [
        ("CompilationJobName", "x_y", "Value 'x_y' at 'compilationJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"),
        ("CompilationJobName", "a" * 64, "length less than or equal to 63"),
        ("CompilationJobName", "a\n", "regular expression pattern"),
        ("OutputConfig.TargetDevice", "ml_c9", "Value 'ml_c9' at 'outputConfig.targetDevice' failed to satisfy constraint: Member must satisfy enum value set: [lambda, ml_m4,"),
        ("InputConfig.Framework", "TORCH", "at 'inputConfig.framework' failed to satisfy constraint: Member must satisfy enum value set: [TENSORFLOW, KERAS,"),
        ("InputConfig.FrameworkVersion", "10.1", "regular expression pattern"),
        ("StoppingCondition.MaxRuntimeInSeconds", 0, "Member must have value greater than or equal to 1"),
        ("StoppingCondition.MaxRuntimeInSeconds", "900", "Member must be a integer"),
        ("StoppingCondition.MaxRuntimeInSeconds", True, "Member must be a integer"),
        ("StoppingCondition.MaxPendingTimeInSeconds", 2419201, "value less than or equal to 2419200"),
        ("RoleArn", None, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        ("OutputConfig.CompilerOptions", "a\nb", "regular expression pattern: .*"),
        ("Tags", [{"Key": f"k{i}", "Value": ""} for i in range(51)], "length less than or equal to 50"),
        ("Tags", [{"Key": "k"}], "Value null at 'tags.1.member.value'"),
        ("Tags", [{"Key": "k*", "Value": "v"}], "Value 'k*' at 'tags.1.member.key'"),
        ("VpcConfig", {"SecurityGroupIds": ["sg-1"], "Subnets": ["no_good"]}, "at 'vpcConfig.subnets.1.member'"),
        ("Unheard", 1, "Value '1' at 'unheard' failed to satisfy constraint: Member is not known"),
    ],
)  # fmt: skip
def test_the_service_refuses(path: str, value: Any, fault: str) -> None:
    found = shapes.service_faults("CreateCompilationJob", changed(path, value))
    assert any(fault in line for line in found), found


@pytest.mark.parametrize("text", ["équipe", "日本 語", "a_.:/=+-@1", "", " "])
def test_tags_take_letters_of_every_script(text: str) -> None:
    request = {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:x/y", "Tags": [{"Key": "k", "Value": text}]}
    assert shapes.service_faults("AddTags", request) == []


def test_all_faults_come_at_once() -> None:
    faults = shapes.service_faults("CreateCompilationJob", {"CompilationJobName": "_"})
    message = shapes.validation_message(faults)
    assert message.startswith("4 validation errors detected: Value null at 'roleArn'")
    assert message.count("; ") == 3
    assert shapes.validation_message(faults[:1]).startswith("1 validation error detected: ")


@given(structures(shapes.input_shape("CreateCompilationJob")))
@settings(max_examples=100, deadline=None)
def test_the_service_finds_at_least_what_the_client_finds(params: dict[str, Any]) -> None:
    if shapes.client_faults("CreateCompilationJob", params):
        assert shapes.service_faults("CreateCompilationJob", params)


def test_timestamps_go_out_as_whole_seconds() -> None:
    sent = shapes.to_wire("ListCompilationJobs", {"CreationTimeAfter": "1700000000.5", "NameContains": "x"})
    assert sent == {"CreationTimeAfter": 1700000000, "NameContains": "x"}
    assert shapes.to_wire("ListCompilationJobs", {"CreationTimeAfter": "never"}) == {"CreationTimeAfter": "never"}
