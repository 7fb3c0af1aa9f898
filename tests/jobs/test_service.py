"""The rules of the eight operations."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.conftest import Clock, request_for
from neo_cli.base.errors import ResourceInUse, ResourceLimitExceeded, ResourceNotFound, ValidationException
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, STARTING, STOPPING, Runner
from neo_cli.jobs.service import Service

CREATE, DESCRIBE, LIST = "CreateCompilationJob", "DescribeCompilationJob", "ListCompilationJobs"
ARN = "arn:aws:sagemaker:eu-west-1:000000000000:compilation-job/"
ME = Runner("h", "b", 1, 1)


def refusal(service: Service, operation: str, params: dict[str, Any]) -> str:
    with pytest.raises(ValidationException) as caught:
        service.call(operation, params)
    return caught.value.message


def test_a_job_is_created_and_described(service: Service) -> None:
    request = request_for(
        "a", VpcConfig={"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]}, Tags=[{"Key": "k", "Value": "v"}]
    )
    assert service.call(CREATE, request) == {"CompilationJobArn": ARN + "a"}
    shown = service.call(DESCRIBE, {"CompilationJobName": "a"})
    assert (
        shown["CompilationJobStatus"] == STARTING
        and shown["CreationTime"] == shown["LastModifiedTime"] == 1_700_000_000.0
    )
    assert shown["VpcConfig"] == request["VpcConfig"] and shown["InputConfig"] == request["InputConfig"]
    assert shown["InferenceImage"] == "802834080501.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-neo-onnx:1.5.0-cpu-py3"
    assert not {"Tags", "FailureReason", "ModelArtifacts", "ModelDigests", "CompilationStartTime"} & set(shown)


def test_without_a_region_the_arn_is_local(clock: Clock) -> None:
    from neo_cli.jobs.stores.memory import MemoryStore

    made = Service(MemoryStore(), clock).call(CREATE, request_for("a"))
    assert made == {"CompilationJobArn": "arn:aws:sagemaker:local:000000000000:compilation-job/a"}


def test_reason_and_artifact_appear_in_their_states_only(service: Service) -> None:
    for name in ("a", "b"):
        service.call(CREATE, request_for(name))
        service.store.claim(ME, 5.0, 9.0, 2)
    service.store.move("a", INPROGRESS, FAILED, 1, 6.0, reason="ClientError: x", ended=6.0)
    service.store.move(
        "b", INPROGRESS, COMPLETED, 1, 7.0, artifact="file:///out/a", digest="abc", derived="{}", ended=7.0
    )
    failed, done = (service.call(DESCRIBE, {"CompilationJobName": n}) for n in ("a", "b"))
    assert failed["FailureReason"] == "ClientError: x" and "ModelArtifacts" not in failed
    assert done["ModelArtifacts"] == {"S3ModelArtifacts": "file:///out/a"} and done["ModelDigests"] == {
        "ArtifactDigest": "abc"
    }
    assert done["DerivedInformation"] == {"DerivedDataInputConfig": "{}"} and "FailureReason" not in done
    assert (done["CompilationStartTime"], done["CompilationEndTime"]) == (5.0, 7.0)


def test_a_name_is_used_once(service: Service) -> None:
    service.call(CREATE, request_for("a"))
    with pytest.raises(ResourceInUse, match="Compilation job with name a already exists"):
        service.call(CREATE, request_for("a", RoleArn="arn:aws:iam::123456789012:role/Other"))
    assert service.call(DESCRIBE, {"CompilationJobName": "a"})["RoleArn"].endswith("Neo")


@pytest.mark.parametrize("operation", [DESCRIBE, "StopCompilationJob", "DeleteCompilationJob"])
def test_a_job_that_is_not_there(service: Service, operation: str) -> None:
    with pytest.raises(ResourceNotFound, match="Could not find compilation job 'a'"):
        service.call(operation, {"CompilationJobName": "a"})


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"InputConfig": None}, "Either InputConfig or ModelPackageVersionArn must be specified."),
        ({"ModelPackageVersionArn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/p/1"}, "InputConfig and ModelPackageVersionArn cannot be specified at the same time."),
        ({"OutputConfig": {"S3OutputLocation": "file:///o"}}, "Either TargetDevice or TargetPlatform must be specified."),
        ({"OutputConfig": {"S3OutputLocation": "file:///o", "TargetDevice": "ml_c5", "TargetPlatform": {"Os": "LINUX", "Arch": "ARM64"}}}, "TargetDevice and TargetPlatform cannot be specified at the same time."),
        ({"OutputConfig": {"S3OutputLocation": "file:///o", "TargetPlatform": {"Os": "LINUX", "Arch": "X86"}}}, "The TargetPlatform LINUX X86 is not one that Neo documents; `neo-cli targets` lists them."),
        ({"OutputConfig": {"S3OutputLocation": "file:///o", "TargetPlatform": {"Os": "LINUX", "Arch": "X86_64", "Accelerator": "NVIDIA"}}}, "CompilerOptions: gpu-code, trt-ver, cuda-ver must be given when TargetPlatform's Accelerator is NVIDIA."),
        ({"OutputConfig": {"S3OutputLocation": "file:///o", "TargetDevice": "ml_c5", "CompilerOptions": "{'x': 1}"}}, "CompilerOptions: unknown key 'x'."),
        ({"OutputConfig": {"S3OutputLocation": "https://h/o", "TargetDevice": "ml_c5"}}, "OutputConfig.S3OutputLocation is https://, which the local engine does not read or write; use a path, file:// or s3://."),
        ({"OutputConfig": {"S3OutputLocation": "file:///o", "TargetDevice": "ml_c5", "KmsKeyId": "alias/k"}}, "KmsKeyId cannot be honoured for an output location on this machine: nothing is encrypted there."),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 10, "MaxWaitTimeInSeconds": 9}}, "MaxWaitTimeInSeconds must be equal to or greater than MaxRuntimeInSeconds."),
        ({"Tags": [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}]}, "Tag keys must be unique; given more than once: k."),
    ],
)  # fmt: skip
def test_what_create_refuses(service: Service, members: dict[str, Any], sentence: str) -> None:
    assert refusal(service, CREATE, request_for("a", **members)).startswith(sentence)
    assert service.store.get("a") is None


def test_all_faults_of_the_shapes_come_in_one_message(service: Service) -> None:
    text = refusal(
        service,
        CREATE,
        request_for("a_b", RoleArn="nobody-nobody-nobody", InputConfig={"S3Uri": "file:///m", "Framework": "TORCH"}),
    )
    assert (
        text.startswith("3 validation errors detected: ")
        and "'compilationJobName'" in text
        and "'inputConfig.framework'" in text
    )


def test_an_undocumented_accelerator_of_the_enum_is_taken(service: Service) -> None:
    output = {"S3OutputLocation": "file:///o", "TargetPlatform": {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "NNA"}}
    service.call(CREATE, request_for("a", OutputConfig=output))


def test_stop_and_delete_follow_the_states(service: Service) -> None:
    for name in ("a", "b"):
        service.call(CREATE, request_for(name))
    assert "is STARTING; only a job that is COMPLETED, FAILED or STOPPED can be deleted" in refusal(
        service, "DeleteCompilationJob", {"CompilationJobName": "a"}
    )
    service.store.claim(ME, 5.0, 9.0, 1)
    assert service.call("StopCompilationJob", {"CompilationJobName": "b"}) == {}
    assert service.call(DESCRIBE, {"CompilationJobName": "b"})["CompilationJobStatus"] == "STOPPED"
    for _ in range(2):
        service.call("StopCompilationJob", {"CompilationJobName": "a"})
        assert service.call(DESCRIBE, {"CompilationJobName": "a"})["CompilationJobStatus"] == STOPPING
    assert "is STOPPED; only a job that is STARTING or INPROGRESS can be stopped" in refusal(
        service, "StopCompilationJob", {"CompilationJobName": "b"}
    )
    service.call("DeleteCompilationJob", {"CompilationJobName": "b"})
    assert service.store.get("b") is None


def test_pages_and_tokens(service: Service, clock: Clock) -> None:
    for number in range(7):
        clock.now += 1
        service.call(CREATE, request_for(f"j{number}"))
    seen, token = [], None
    while True:
        page = service.call(
            LIST, {"MaxResults": 3, "SortOrder": "Descending", **({"NextToken": token} if token else {})}
        )
        seen += [s["CompilationJobName"] for s in page["CompilationJobSummaries"]]
        token = page.get("NextToken")
        if not token:
            break
    assert seen == [f"j{n}" for n in range(6, -1, -1)]
    first = service.call(LIST, {"MaxResults": 3})["NextToken"]
    assert "belongs to a request with other filters" in refusal(
        service, LIST, {"MaxResults": 3, "NextToken": first, "StatusEquals": "FAILED"}
    )
    assert "is not one of this service" in refusal(service, LIST, {"NextToken": "nonsense"})
    assert "is not one of this service" in refusal(service, LIST, {"NextToken": "e30="})


def test_a_summary_names_device_or_platform(service: Service) -> None:
    service.call(CREATE, request_for("a"))
    service.call(
        CREATE,
        request_for(
            "b",
            OutputConfig={
                "S3OutputLocation": "file:///o",
                "TargetPlatform": {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "MALI"},
            },
        ),
    )
    one, two = service.call(LIST, {})["CompilationJobSummaries"]
    assert one["CompilationTargetDevice"] == "ml_c5" and "CompilationTargetPlatformOs" not in one
    assert [two[f"CompilationTargetPlatform{k}"] for k in ("Os", "Arch", "Accelerator")] == ["LINUX", "ARM64", "MALI"]


def test_tags(service: Service) -> None:
    service.call(CREATE, request_for("a", Tags=[{"Key": "b", "Value": "1"}]))
    tags = {"ResourceArn": ARN + "a", "Tags": [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]}
    both = [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}]
    assert service.call("AddTags", tags) == {"Tags": both} == service.call("ListTags", {"ResourceArn": ARN + "a"})
    assert service.call("DeleteTags", {"ResourceArn": ARN + "a", "TagKeys": ["a", "none"]}) == {}
    assert service.call("ListTags", {"ResourceArn": ARN + "a"}) == {"Tags": [{"Key": "b", "Value": "3"}]}
    many = [{"Key": f"k{n}", "Value": ""} for n in range(50)]
    assert refusal(service, "AddTags", {"ResourceArn": ARN + "a", "Tags": many}) == "A resource has at most 50 tags."
    with pytest.raises(ResourceNotFound):
        service.call("ListTags", {"ResourceArn": ARN + "none"})


def test_the_quota_of_jobs(clock: Clock) -> None:
    from neo_cli.jobs.stores.memory import MemoryStore

    service = Service(MemoryStore(), clock, None, {"NEO_MAX_JOBS": "1"})
    service.call(CREATE, request_for("a"))
    with pytest.raises(
        ResourceInUse
    ):  # a name that is taken is told first: whoever tries again learns that it is there
        service.call("CreateCompilationJob", request_for("a"))
    with pytest.raises(ResourceLimitExceeded, match=r"limit of 1 .* \(NEO_MAX_JOBS\) is reached"):
        service.call(CREATE, request_for("b"))
