"""The AWS engine: what it sends, with which keys, and in which words it fails."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import ConfigurationError, NeoError, ServiceError
from neo_cli.clients.base import RefusedByAws

NAME = {"CompilationJobName": "job"}


def describe(client: Any) -> Any:
    return client.call("DescribeCompilationJob", NAME)


def test_a_request_and_its_answer(client: Any, endpoint: Any) -> None:
    endpoint.answer = lambda operation, request: (
        200,
        {"LastModifiedTime": 1700000000.123, "New": 1, "VpcConfig": None},
    )
    assert describe(client()) == {"LastModifiedTime": 1700000000.123, "New": 1, "VpcConfig": None}
    assert endpoint.requests[0]["target"] == "SageMaker.DescribeCompilationJob"
    assert json.loads(endpoint.requests[0]["body"]) == NAME
    assert "/us-east-1/sagemaker/aws4_request" in endpoint.authorization
    assert "neo-cli/" in endpoint.requests[0]["headers"]["User-Agent"]


def test_timestamps_are_sent_as_whole_seconds(client: Any, endpoint: Any) -> None:
    client().call("ListCompilationJobs", {"CreationTimeAfter": 1700000000.5, "CreationTimeBefore": "2024-01-01"})
    assert json.loads(endpoint.requests[0]["body"]) == {
        "CreationTimeAfter": 1700000000,
        "CreationTimeBefore": 1704067200,
    }


def test_an_operation_without_output_answers_nothing(client: Any, endpoint: Any) -> None:
    endpoint.answer = lambda operation, request: (200, "")
    assert client().call("StopCompilationJob", NAME) == {}
    assert client().call("DeleteTags", {"ResourceArn": "a", "TagKeys": ["k"]}) == {}


def test_a_refusal_keeps_code_message_and_operation(client: Any, endpoint: Any) -> None:
    endpoint.answer = lambda operation, request: (400, {"__type": "ResourceNotFound", "Message": "no such job"})
    with pytest.raises(RefusedByAws) as refused:
        describe(client())
    fault = refused.value
    assert (fault.code, fault.message, fault.operation, fault.retries) == (
        "ResourceNotFound", "no such job", "DescribeCompilationJob", None,
    )  # fmt: skip
    assert list(fault.error) == ["Message", "Code"] and len(endpoint.requests) == 1 and fault.exit == 254


@pytest.mark.parametrize(
    ("environ", "config", "attempts"),
    [
        ({}, "", 3),
        ({"AWS_MAX_ATTEMPTS": "2"}, "", 2),
        ({}, "max_attempts = 1", 1),
        ({"AWS_RETRY_MODE": "legacy"}, "", 3),
    ],
)
def test_a_failing_service_is_asked_again(
    client: Any, endpoint: Any, home: Path, monkeypatch: Any, environ: dict[str, str], config: str, attempts: int
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    (home / ".aws" / "config").write_text(f"[default]\n{config}\n")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    endpoint.answer = lambda operation, request: (502, "<html>bad gateway</html>")
    with pytest.raises(ServiceError, match=r"^Bad Gateway$") as refused:
        describe(client())
    assert (refused.value.code, refused.value.retries) == ("502", attempts - 1)  # type: ignore[attr-defined]
    assert len(endpoint.requests) == attempts


def test_what_goes_wrong_before_there_is_an_answer(client: Any, endpoint: Any, monkeypatch: Any) -> None:
    def fault(**options: Any) -> str:
        with pytest.raises(NeoError) as raised:
            describe(client(**options))
        assert raised.value.exit == (253 if isinstance(raised.value, ConfigurationError) else 255)
        return f"{raised.value.code}|{raised.value.message}"

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert fault(endpoint_url="http://127.0.0.1:9") == '|Could not connect to the endpoint URL: "http://127.0.0.1:9/"'
    assert fault(region="not a region") == "|Provided region_name 'not a region' doesn't match a supported format."
    assert fault(profile="nope") == "|The config profile (nope) could not be found"
    assert fault(cli_read_timeout="abc") == "|invalid literal for int() with base 10: 'abc'"
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert fault() == "|Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert fault() == (
        'NoCredentials|Unable to locate credentials. You can configure credentials by running "aws login".'
    )
    monkeypatch.delenv("AWS_REGION")
    assert fault() == (
        'NoRegion|You must specify a region. You can also configure your region by running "aws configure".'
    )
    assert endpoint.requests == []


def test_an_answer_that_does_not_come(client: Any, endpoint: Any, monkeypatch: Any) -> None:
    import time

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    endpoint.answer = lambda operation, request: (time.sleep(1.5), (200, {}))[1]
    with pytest.raises(NeoError, match=rf'^Read timeout on endpoint URL: "{endpoint.url}/"$'):
        describe(client(cli_read_timeout="1"))


def test_unsigned_requests_need_no_keys(client: Any, endpoint: Any, monkeypatch: Any) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    describe(client(no_sign_request=True))
    assert endpoint.authorization == ""


@pytest.mark.parametrize(
    ("environ", "options", "key"),
    [
        ({}, {}, "KEY"),
        ({"AWS_PROFILE": "p"}, {}, "KEY"),  # keys in the environment outrank a profile named there
        ({}, {"profile": "p"}, "PKEY"),  # but not one named on the command line
        ({"AWS_ACCESS_KEY_ID": "", "AWS_PROFILE": "p", "AWS_DEFAULT_PROFILE": "q"}, {}, "PKEY"),
        ({}, {"profile": "process"}, "PROCESS"),
        ({}, {"profile": "role"}, "ROLE"),
        ({}, {"profile": "sso"}, "SSO"),
    ],
)
def test_whose_keys_sign(
    client: Any, endpoint: Any, home: Path, monkeypatch: Any, environ: dict[str, str], options: Any, key: str
) -> None:
    answer = json.dumps({"Version": 1, "AccessKeyId": "PROCESS", "SecretAccessKey": "s"})
    (home / "answer").write_text(answer)
    (home / ".aws" / "config").write_text(
        "[profile p]\nregion = eu-west-1\n[profile q]\n"
        f"[profile process]\ncredential_process = cat {home}/answer\n"
        "[profile role]\nrole_arn = arn:aws:iam::123456789012:role/R\nsource_profile = p\n"
        f"[profile sso]\nsso_start_url = {endpoint.url}\nsso_region = us-east-1\nsso_account_id = 1\nsso_role_name = r\n"
    )
    (home / ".aws" / "credentials").write_text("[p]\naws_access_key_id = PKEY\naws_secret_access_key = s\n")
    cache = home / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"startUrl": endpoint.url, "region": "us-east-1", "accessToken": "t", "expiresAt": "2099-01-01T00:00:00Z"}
    (cache / f"{hashlib.sha1(endpoint.url.encode()).hexdigest()}.json").write_text(json.dumps(token))
    monkeypatch.setattr("botocore.credentials.SSOProvider._SSO_TOKEN_CACHE_DIR", str(cache))  # found at import
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_SSO"):
        monkeypatch.setenv(name, endpoint.url)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    describe(client(**options))
    assert f"Credential={key}/" in endpoint.authorization
    if key == "ROLE":
        assert endpoint.requests[-1]["headers"]["X-Amz-Security-Token"] == "role-token"
        assert len(list((home / ".aws" / "cli" / "cache").iterdir())) == 1  # where the AWS CLI finds it too


def test_a_session_token_is_sent(client: Any, endpoint: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    describe(client())
    assert endpoint.requests[-1]["headers"]["X-Amz-Security-Token"] == "token"


@pytest.mark.parametrize(
    ("region", "fips", "host"),
    [
        ("eu-west-1", "", "https://api.sagemaker.eu-west-1.amazonaws.com"),
        ("cn-north-1", "", "https://api.sagemaker.cn-north-1.amazonaws.com.cn"),
        ("us-east-1", "true", "https://api-fips.sagemaker.us-east-1.amazonaws.com"),
    ],
)
def test_without_an_endpoint_the_regions_own_is_used(
    client: Any, monkeypatch: Any, region: str, fips: str, host: str
) -> None:
    from neo_cli.clients.aws import connect

    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", fips)
    made = connect(client(endpoint_url=None, region=region)._context)
    assert (
        made.meta.endpoint_url == host
        or made._resolve_endpoint_ruleset(made.meta.service_model.operation_model("ListTags"), {}, {})[0] == host
    )
    made.close()


def test_the_small_model_is_all_that_is_read(client: Any, monkeypatch: Any) -> None:
    import botocore.loaders

    read: list[str] = []
    load = botocore.loaders.JSONFileLoader.load_file
    monkeypatch.setattr(
        botocore.loaders.JSONFileLoader, "load_file", lambda self, path: (read.append(path), load(self, path))[1]
    )
    describe(client())
    assert [path.rpartition("/")[2] for path in read] in ([], ["sdk-default-configuration"])
