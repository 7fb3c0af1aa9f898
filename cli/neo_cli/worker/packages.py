"""A ModelPackageVersionArn as the InputConfig it stands for, asked of DescribeModelPackage at the configured endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neo_cli.base.errors import InputError, InternalError

NO_ENDPOINT = (
    "The model package {arn} is looked up with DescribeModelPackage, but no endpoint is configured for the local engine: "
    "give --engine local with --endpoint-url, or set AWS_ENDPOINT_URL."
)


def resolve(request: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The request with an InputConfig; one that has it is returned as it is. Raises JobError."""
    if "InputConfig" in request:
        return dict(request)
    return {**request, "InputConfig": _look_up(request["ModelPackageVersionArn"], environ)}


def _look_up(arn: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Nothing is sent to AWS unless an endpoint was named."""
    endpoint = environ.get("AWS_ENDPOINT_URL_SAGEMAKER") or environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        raise InputError(NO_ENDPOINT.format(arn=arn))
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    session = boto3.session.Session(profile_name=environ.get("AWS_PROFILE"))
    try:
        client = session.client(
            "sagemaker", endpoint_url=endpoint, region_name=arn.split(":")[3],
            config=Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3}),
        )  # fmt: skip
        package = client.describe_model_package(ModelPackageName=arn)
    except ClientError as error:
        fault = error.response.get("Error", {})
        raise InputError(
            f"DescribeModelPackage of {arn} failed: {fault.get('Code')}: {fault.get('Message')}"
        ) from error
    except BotoCoreError as error:
        raise InternalError(f"DescribeModelPackage of {arn} could not be asked: {error}") from error
    return _input_config(arn, package)


def _input_config(arn: str, package: Mapping[str, Any]) -> dict[str, Any]:
    """What the first container of the package says about the model's data, framework and inputs."""
    containers = (package.get("InferenceSpecification") or {}).get("Containers") or []
    first = containers[0] if containers else {}
    if not first.get("ModelDataUrl"):
        raise InputError(f"The first container of the model package {arn} names no ModelDataUrl.")
    if not first.get("Framework"):
        raise InputError(f"The first container of the model package {arn} names no Framework.")
    found = {"S3Uri": first["ModelDataUrl"], "Framework": first["Framework"].upper()}
    if first.get("FrameworkVersion"):
        found["FrameworkVersion"] = first["FrameworkVersion"]
    if (first.get("ModelInput") or {}).get("DataInputConfig"):
        found["DataInputConfig"] = first["ModelInput"]["DataInputConfig"]
    return found
