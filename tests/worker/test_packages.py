"""A model package stands for its first container's model, as a SageMaker endpoint (moto's) describes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from neo_cli.base.errors import InputError, InternalError
from neo_cli.worker.packages import resolve
from worker.conftest import House
from worker.test_attempt import finish, reason, runner

moto_server = pytest.importorskip("moto.server", reason="moto is not installed")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def package(endpoint: str, **container: object) -> str:
    client = boto3.client(
        "sagemaker", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    answer = client.create_model_package(
        ModelPackageName=f"p{len(str(container))}",
        InferenceSpecification={
            "Containers": [{"Image": "i", **container}],
            "SupportedContentTypes": ["x"],
            "SupportedResponseMIMETypes": ["x"],
        },
    )
    return str(answer["ModelPackageArn"])


def environment(endpoint: str, folder: Path) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_SAGEMAKER": endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_CONFIG_FILE": str(folder / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
    }  # fmt: skip


def test_a_job_of_a_package_is_compiled(
    house: House, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arn = package(
        endpoint,
        ModelDataUrl=f"s3://models/{house.archive.name}",
        Framework="ONNX",
        ModelInput={"DataInputConfig": '{"x": [1, 8]}'},
    )
    house.environ |= environment(endpoint, tmp_path) | {"NEO_S3_ROOT": str(tmp_path / "s3")}
    (tmp_path / "s3" / "models").mkdir(parents=True)
    house.archive.rename(tmp_path / "s3" / "models" / house.archive.name)
    house.service.environ = house.environ
    house.create("a", InputConfig=None, ModelPackageVersionArn=arn)
    for name in ("AWS_ENDPOINT_URL_SAGEMAKER", "NEO_S3_ROOT"):  # the job remembers them, whoever runs it
        del house.environ[name]
    assert finish(runner(house)) == 0
    job = house.service.call("DescribeCompilationJob", {"CompilationJobName": "a"})
    assert job["CompilationJobStatus"] == "COMPLETED", job
    assert job["ModelPackageVersionArn"] == arn and job["ModelArtifacts"]["S3ModelArtifacts"].startswith("file://")


def test_without_an_endpoint_the_job_fails_and_says_so(house: House) -> None:
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/p/1"
    house.create("a", InputConfig=None, ModelPackageVersionArn=arn)
    assert finish(runner(house)) == 0
    assert f"The model package {arn} is looked up" in reason(house, "a") and "no endpoint" in reason(house, "a")


def test_what_a_package_may_lack(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = environment(endpoint, tmp_path)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    request = {"ModelPackageVersionArn": package(endpoint, ModelDataUrl="s3://b/k")}
    with pytest.raises(InputError, match="names no Framework"):
        resolve(request, environ)
    with pytest.raises(InputError, match="names no ModelDataUrl"):
        resolve({"ModelPackageVersionArn": package(endpoint, Framework="ONNX")}, environ)
    nobody = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/nobody/1"
    with pytest.raises(InputError, match=r"DescribeModelPackage of .*nobody/1 failed"):
        resolve({"ModelPackageVersionArn": nobody}, environ)
    with pytest.raises(InternalError, match="could not be asked"):
        resolve({"ModelPackageVersionArn": nobody}, {**environ, "AWS_ENDPOINT_URL_SAGEMAKER": "http://127.0.0.1:9"})
