"""What the service refuses at create beyond the shapes of the API: exclusions, options, places, tags.

Each rule returns sentences; all faults of a request go into one ValidationException. Sources: the API reference's
member texts, and for wording where AWS's is not known, moto's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from neo_cli.api import shapes
from neo_cli.base.errors import ValidationException
from neo_cli.jobs import places

Request = Mapping[str, Any]
TAG_LIMIT = 50


def check(operation: str, params: Request, environ: Mapping[str, str]) -> None:
    """Raise one ValidationException with every fault of the request."""
    phrases = shapes.service_faults(operation, _as_aws(params))
    rules = CREATE_RULES if operation == "CreateCompilationJob" and not phrases else ()
    sentences = [text for rule in rules for text in rule(params, environ)]
    if phrases:
        raise ValidationException(shapes.validation_message(phrases))
    if sentences:
        raise ValidationException(" ".join(sentences))


def _as_aws(params: Request) -> dict[str, Any]:
    """The request with local places written as s3://, so that the API's patterns judge the rest of it."""
    shown = dict(params)
    for member, key in (("InputConfig", "S3Uri"), ("OutputConfig", "S3OutputLocation")):
        part = params.get(member)
        if isinstance(part, dict) and isinstance(part.get(key), str) and places.is_local(part[key]):
            shown[member] = {**part, key: "s3://local" + part[key].removeprefix("file://")}
    return shown


def _exclusions(params: Request, environ: Mapping[str, str]) -> Iterator[str]:
    if "InputConfig" in params and "ModelPackageVersionArn" in params:
        yield "InputConfig and ModelPackageVersionArn cannot be specified at the same time."
    if "InputConfig" not in params and "ModelPackageVersionArn" not in params:
        yield "Either InputConfig or ModelPackageVersionArn must be specified."
    output = params["OutputConfig"]
    if "TargetDevice" in output and "TargetPlatform" in output:
        yield "TargetDevice and TargetPlatform cannot be specified at the same time."
    if "TargetDevice" not in output and "TargetPlatform" not in output:
        yield "Either TargetDevice or TargetPlatform must be specified."


def _target(params: Request, environ: Mapping[str, str]) -> Iterator[str]:
    from neo_cli.targets.devices import documented, target_of  # a describe needs no table of targets
    from neo_cli.targets.options import parse_options

    output = params["OutputConfig"]
    if ("TargetDevice" in output) == ("TargetPlatform" in output):
        return
    target = target_of(output)
    platform = output.get("TargetPlatform") or {}
    if target is None and not documented(platform):
        yield f"The TargetPlatform {' '.join(platform.values())} is not one that Neo documents; `neo-cli targets` lists them."
        return
    try:
        parse_options(output.get("CompilerOptions"), target, platform="TargetPlatform" in output)
    except ValidationException as error:
        yield error.message


def _places(params: Request, environ: Mapping[str, str]) -> Iterator[str]:
    output = params["OutputConfig"]
    given = [("OutputConfig.S3OutputLocation", output["S3OutputLocation"])]
    if "InputConfig" in params:
        given.append(("InputConfig.S3Uri", params["InputConfig"]["S3Uri"]))
    for what, uri in given:
        fault = places.fault(uri, environ, what)
        if fault:
            yield fault
    if output.get("KmsKeyId") and (places.is_local(output["S3OutputLocation"]) or environ.get("NEO_S3_ROOT")):
        yield "KmsKeyId cannot be honoured for an output location on this machine: nothing is encrypted there."


def _times(params: Request, environ: Mapping[str, str]) -> Iterator[str]:
    condition = params["StoppingCondition"]
    wait, runtime = condition.get("MaxWaitTimeInSeconds"), condition.get("MaxRuntimeInSeconds")
    if wait is not None and runtime is not None and wait < runtime:
        yield "MaxWaitTimeInSeconds must be equal to or greater than MaxRuntimeInSeconds."


def _tags(params: Request, environ: Mapping[str, str]) -> Iterator[str]:
    keys = [tag["Key"] for tag in params.get("Tags", ())]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        yield f"Tag keys must be unique; given more than once: {', '.join(twice)}."


CREATE_RULES: tuple[Callable[[Request, Mapping[str, str]], Iterator[str]], ...] = (
    _exclusions,
    _target,
    _places,
    _times,
    _tags,
)
