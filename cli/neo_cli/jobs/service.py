"""The rules of the eight operations, with no input or output but the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from neo_cli.base.errors import (
    ConfigurationError,
    ResourceInUse,
    ResourceLimitExceeded,
    ResourceNotFound,
    ValidationException,
)
from neo_cli.jobs import rules, settings, tokens
from neo_cli.jobs.job import COMPLETED, FAILED, INPROGRESS, STARTING, STOPPED, STOPPING, TERMINAL, Job
from neo_cli.jobs.stores.base import SORTS, Query, Store, TooManyJobs

Params = Mapping[str, Any]
ACCOUNT = "000000000000"
PAGE = 100
HOME_OF_IMAGES = "us-east-1"  # whose image is named when no region is set


class Service:
    """One store and what surrounds it: a clock, the region that colours ARNs, the environment's NEO_* settings."""

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        region: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.store, self.now, self.region = store, now, region
        self.environ: Mapping[str, str] = environ or {}

    def call(self, operation: str, params: Params, trusted: bool = False) -> dict[str, Any]:
        """Answer one request; its places are absolute already. Raises ServiceErrors."""
        rules.check(operation, params, self.environ)
        if operation == "CreateCompilationJob":
            return self._create(params, trusted)
        return OPERATIONS[operation](self, params)

    def _create(self, params: Params, trusted: bool) -> dict[str, Any]:
        name, created = params["CompilationJobName"], round(self.now(), 3)
        limit = _limit(self.environ)
        request = {k: v for k, v in params.items() if k != "Tags"}
        job = Job(
            name, self._arn(name), STARTING, created, created, request, trusted=trusted, image=self._image(params),
            extra={settings.NOTE: settings.kept(self.environ)},
        )  # fmt: skip
        try:
            added = self.store.add(job, {t["Key"]: t["Value"] for t in params.get("Tags", ())}, limit)
        except TooManyJobs as error:
            raise ResourceLimitExceeded(
                f"The limit of {limit} compilation jobs that wait or run (NEO_MAX_JOBS) is reached."
            ) from error
        if not added:
            raise ResourceInUse(
                f"Resource Already Exists: Compilation job with name {name} already exists. Choose a different name."
            )
        return {"CompilationJobArn": job.arn}

    def _describe(self, params: Params) -> dict[str, Any]:
        return describe(self._get(params["CompilationJobName"]))

    def _list(self, params: Params) -> dict[str, Any]:
        limit, sort = params.get("MaxResults", PAGE), params.get("SortBy", "CreationTime")
        query = Query(
            sort=sort, descending=params.get("SortOrder", "Ascending") == "Descending", limit=limit + 1,
            status=params.get("StatusEquals"), contains=params.get("NameContains"),
            created_after=params.get("CreationTimeAfter"), created_before=params.get("CreationTimeBefore"),
            modified_after=params.get("LastModifiedTimeAfter"), modified_before=params.get("LastModifiedTimeBefore"),
            after=tokens.decode(params["NextToken"], params) if params.get("NextToken") else None,
        )  # fmt: skip
        jobs = self.store.page(query)
        answer: dict[str, Any] = {"CompilationJobSummaries": [summary(job) for job in jobs[:limit]]}
        if len(jobs) > limit:
            last = jobs[limit - 1]
            answer["NextToken"] = tokens.encode(params, getattr(last, SORTS[sort]), last.name)
        return answer

    def _stop(self, params: Params) -> dict[str, Any]:
        name = params["CompilationJobName"]
        while True:
            job, now = self._get(name), self.now()
            if job.status == STARTING:
                moved = self.store.move(
                    name, STARTING, STOPPED, job.attempt, now, "stopped before it started", ended=now
                )
            elif job.status == INPROGRESS:
                moved = self.store.move(name, INPROGRESS, STOPPING, job.attempt, now, "stop was asked for")
            elif job.status == STOPPING:
                moved = True
            else:
                raise ValidationException(
                    f"The compilation job '{name}' is {job.status}; only a job that is STARTING or INPROGRESS can be stopped."
                )
            if moved:  # else the job moved between the look and the move: look again
                return {}

    def _delete(self, params: Params) -> dict[str, Any]:
        job = self._get(params["CompilationJobName"])
        if job.status not in TERMINAL or not self.store.delete(job.name):
            raise ValidationException(
                f"The compilation job '{job.name}' is {job.status}; only a job that is COMPLETED, FAILED or STOPPED can be deleted."
            )
        return {}

    def _add_tags(self, params: Params) -> dict[str, Any]:
        job = self._of_arn(params["ResourceArn"])
        if not self.store.tag(job.name, {t["Key"]: t["Value"] for t in params["Tags"]}, rules.TAG_LIMIT):
            raise ValidationException(f"A resource has at most {rules.TAG_LIMIT} tags.")
        return {"Tags": self._tags(job)}

    def _list_tags(self, params: Params) -> dict[str, Any]:
        return {"Tags": self._tags(self._of_arn(params["ResourceArn"]))}

    def _delete_tags(self, params: Params) -> dict[str, Any]:
        self.store.untag(self._of_arn(params["ResourceArn"]).name, params["TagKeys"])
        return {}

    def _tags(self, job: Job) -> list[dict[str, str]]:
        return [{"Key": key, "Value": value} for key, value in self.store.tags(job.name).items()]

    def _get(self, name: str) -> Job:
        job = self.store.get(name)
        if job is None:
            raise ResourceNotFound(f"Could not find compilation job '{name}'.")
        return job

    def _of_arn(self, arn: str) -> Job:
        job = self.store.get(arn.rsplit("compilation-job/", 1)[-1])
        if job is None or ":compilation-job/" not in arn:
            raise ResourceNotFound(f"Could not find resource '{arn}'.")
        return job

    def _arn(self, name: str) -> str:
        return f"arn:aws:sagemaker:{self.region or 'local'}:{ACCOUNT}:compilation-job/{name}"

    def _image(self, params: Params) -> str | None:
        from neo_cli.targets.devices import target_of  # a describe needs no table of targets
        from neo_cli.targets.images import inference_image

        config, target = params.get("InputConfig"), target_of(params["OutputConfig"])
        if config is None or target is None:
            return None
        return inference_image(
            config["Framework"], config.get("FrameworkVersion"), target, self.region or HOME_OF_IMAGES
        )


OPERATIONS: Mapping[str, Callable[[Service, Params], dict[str, Any]]] = {
    "DescribeCompilationJob": Service._describe,
    "ListCompilationJobs": Service._list,
    "StopCompilationJob": Service._stop,
    "DeleteCompilationJob": Service._delete,
    "AddTags": Service._add_tags,
    "ListTags": Service._list_tags,
    "DeleteTags": Service._delete_tags,
}


def _limit(environ: Mapping[str, str]) -> int | None:
    """NEO_MAX_JOBS: how many jobs may wait or run; None when it is not set. Raises ConfigurationError."""
    text = environ.get("NEO_MAX_JOBS", "")
    if text and not text.isdigit():
        raise ConfigurationError(f"NEO_MAX_JOBS is '{text}'; it must be a whole number.")
    return int(text) if text else None


def describe(job: Job) -> dict[str, Any]:
    """DescribeCompilationJob's answer. Members without a value are left out, as the real service was recorded to do."""
    answer = {
        "CompilationJobName": job.name,
        "CompilationJobArn": job.arn,
        "CompilationJobStatus": job.status,
        "CompilationStartTime": job.started,
        "CompilationEndTime": job.ended,
        "InferenceImage": job.image,
        "CreationTime": job.created,
        "LastModifiedTime": job.modified,
        "FailureReason": job.reason if job.status == FAILED else None,
        **{k: v for k, v in job.request.items() if k != "CompilationJobName"},
    }
    if job.status == COMPLETED:
        answer["ModelArtifacts"] = {"S3ModelArtifacts": job.artifact}
        answer["ModelDigests"] = {"ArtifactDigest": job.digest}
    if job.derived:
        answer["DerivedInformation"] = {"DerivedDataInputConfig": job.derived}
    return {k: v for k, v in answer.items() if v is not None}


def summary(job: Job) -> dict[str, Any]:
    """One entry of ListCompilationJobs' answer."""
    output = job.request["OutputConfig"]
    platform = output.get("TargetPlatform") or {}
    entry = {
        "CompilationJobName": job.name,
        "CompilationJobArn": job.arn,
        "CreationTime": job.created,
        "CompilationStartTime": job.started,
        "CompilationEndTime": job.ended,
        "CompilationTargetDevice": output.get("TargetDevice"),
        "CompilationTargetPlatformOs": platform.get("Os"),
        "CompilationTargetPlatformArch": platform.get("Arch"),
        "CompilationTargetPlatformAccelerator": platform.get("Accelerator"),
        "LastModifiedTime": job.modified,
        "CompilationJobStatus": job.status,
    }
    return {k: v for k, v in entry.items() if v is not None}
