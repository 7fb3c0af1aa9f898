"""Which engine, region and endpoint are in force, and what decided it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import UsageError
from neo_cli.base.table import resolve
from neo_cli.clients import CLIENTS, client_for
from neo_cli.clients.base import ENGINES, endpoint, engine, region
from neo_cli.entry.context import Context

CONFIG = """
[profile p]
region = ap-south-1
neo_engine = aws
endpoint_url = http://profile
services = s
[profile q]
endpoint_url = http://profile
ignore_configured_endpoint_urls = true
[services s]
sagemaker =
    endpoint_url = http://services
"""


@pytest.fixture
def context(tmp_path: Path) -> Any:
    (tmp_path / "config").write_text(CONFIG)

    def make(environ: dict[str, str], options: dict[str, Any]) -> Context:
        return Context(
            environ={"AWS_CONFIG_FILE": str(tmp_path / "config"), "HOME": str(tmp_path), **environ}, options=options
        )

    return make


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        ({}, {}, ("local", "default")),
        ({"AWS_ENDPOINT_URL": "http://x"}, {}, ("local", "default")),  # too general to send anything anywhere
        ({"AWS_ENDPOINT_URL_SAGEMAKER": "http://x"}, {}, ("aws", "AWS_ENDPOINT_URL_SAGEMAKER is set")),
        ({}, {"endpoint_url": "http://x"}, ("aws", "--endpoint-url is given")),
        ({"AWS_PROFILE": "p"}, {}, ("aws", "neo_engine of profile p")),
        ({"NEO_ENGINE": "local", "AWS_PROFILE": "p"}, {"endpoint_url": "http://x"}, ("local", "NEO_ENGINE")),
        ({"NEO_ENGINE": "local"}, {"engine": "aws"}, ("aws", "--engine")),
    ],
)
def test_engine(context: Any, environ: dict[str, str], options: Any, expected: tuple[str, str]) -> None:
    assert engine(context(environ, options)) == expected


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        ({}, {}, (None, "not set")),
        ({"AWS_PROFILE": "p"}, {}, ("ap-south-1", "profile p")),
        ({"AWS_PROFILE": "p", "AWS_DEFAULT_REGION": "d"}, {}, ("d", "AWS_DEFAULT_REGION")),
        ({"AWS_REGION": "r", "AWS_DEFAULT_REGION": "d"}, {}, ("r", "AWS_REGION")),
        ({"AWS_REGION": "r"}, {"region": "f"}, ("f", "--region")),
    ],
)
def test_region(context: Any, environ: dict[str, str], options: Any, expected: tuple[str | None, str]) -> None:
    assert region(context(environ, options)) == expected


@pytest.mark.parametrize(
    ("environ", "options", "expected"),
    [
        ({}, {}, (None, "default")),
        ({"AWS_PROFILE": "p"}, {}, ("http://services", "services section s")),
        ({"AWS_PROFILE": "p", "AWS_ENDPOINT_URL": "http://g"}, {}, ("http://g", "AWS_ENDPOINT_URL")),
        ({"AWS_ENDPOINT_URL_SAGEMAKER": "http://s", "AWS_ENDPOINT_URL": "http://g"}, {}, ("http://s", "AWS_ENDPOINT_URL_SAGEMAKER")),
        ({"AWS_ENDPOINT_URL_SAGEMAKER": "", "AWS_ENDPOINT_URL": "http://g"}, {}, ("http://g", "AWS_ENDPOINT_URL")),
        ({"AWS_ENDPOINT_URL": "http://g"}, {"endpoint_url": "http://f"}, ("http://f", "--endpoint-url")),
        ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true", "AWS_ENDPOINT_URL": "http://g"}, {}, (None, "default (configured endpoints are ignored)")),
        ({"AWS_PROFILE": "q"}, {}, (None, "default (configured endpoints are ignored)")),
        ({"AWS_PROFILE": "q"}, {"endpoint_url": "http://f"}, ("http://f", "--endpoint-url")),
    ],
)  # fmt: skip
def test_endpoint(context: Any, environ: dict[str, str], options: Any, expected: tuple[str | None, str]) -> None:
    assert endpoint(context(environ, options)) == expected


def test_every_engine_has_a_client_and_an_unknown_one_none(context: Any) -> None:
    assert tuple(CLIENTS) == ENGINES
    assert isinstance(client_for(context({}, {"engine": "aws"})), resolve(CLIENTS["aws"]))
    with pytest.raises(UsageError, match="Unknown engine 'gcp' from NEO_ENGINE; choose one of: local, aws"):
        client_for(context({"NEO_ENGINE": "gcp"}, {}))
