"""The AWS configuration files are read as botocore reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import NeoError
from neo_cli.clients.profile import Profile

CONFIG = """
[default]
region = eu-west-1
s3 =
    max_concurrent_requests = 20
    addressing_style = path
[profile p]
region = ap-south-1
services = local
cli_pager =
[profile "two words"]
region = us-west-2
[services local]
sagemaker =
    endpoint_url = http://127.0.0.1:1
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    (tmp_path / ".aws" / "credentials").write_text("[p]\naws_access_key_id = A\n[only]\nregion = r\n")
    return tmp_path


def test_values_sections_and_services(home: Path) -> None:
    profile = Profile({"HOME": str(home)}, "p")
    assert (profile.get("region"), profile.get("aws_access_key_id")) == ("ap-south-1", "A")
    assert (profile.get("cli_pager"), profile.get("output")) == ("", None)
    assert profile.service("sagemaker") == {"endpoint_url": "http://127.0.0.1:1"} and profile.service("s3") == {}
    assert Profile({"HOME": str(home)}).section("s3") == {"max_concurrent_requests": "20", "addressing_style": "path"}
    assert Profile({"HOME": str(home)}, "two words").get("region") == "us-west-2"
    assert sorted(profile.names) == ["default", "only", "p", "two words"]


@pytest.mark.parametrize(
    ("environ", "flag", "name", "source"),
    [
        ({}, None, "default", "default"),
        ({"AWS_DEFAULT_PROFILE": "p"}, None, "p", "AWS_DEFAULT_PROFILE"),
        ({"AWS_DEFAULT_PROFILE": "p", "AWS_PROFILE": "only"}, None, "only", "AWS_PROFILE"),
        ({"AWS_PROFILE": "only"}, "p", "p", "--profile"),
    ],
)
def test_which_profile(environ: dict[str, str], flag: str | None, name: str, source: str, home: Path) -> None:
    profile = Profile({"HOME": str(home), **environ}, flag)
    assert (profile.name, profile.source) == (name, source)


def test_a_named_profile_must_exist_and_the_default_one_need_not(home: Path) -> None:
    assert Profile({"HOME": str(home / "none")}).get("region") is None
    for environ, flag in (({}, "nope"), ({"AWS_PROFILE": "nope"}, None)):
        with pytest.raises(NeoError, match=r"^The config profile \(nope\) could not be found$"):
            Profile({"HOME": str(home), **environ}, flag).get("region")


def test_what_cannot_be_read_is_named(home: Path) -> None:
    for text in ("not an ini\n", "[default]\ns3 =\n  no equals sign\n", "[default]\n[default]\n"):
        (home / "bad").write_text(text)
        with pytest.raises(NeoError, match=r"^Unable to parse config file: .*bad$"):
            Profile({"HOME": str(home), "AWS_CONFIG_FILE": "$HOME/bad"}).get("region")
    (home / "odd").write_text("[profile odd]\nservices = gone\n")
    with pytest.raises(NeoError, match='"gone" services configuration does not exist'):
        Profile({"HOME": str(home), "AWS_CONFIG_FILE": str(home / "odd")}, "odd").service("sagemaker")


NAMES = st.sampled_from(
    [
        "default",
        "profile a",
        'profile "b c"',
        "profile 'd'",
        "a",
        "services x",
        "profile",
        "sso-session s",
        'profile "open',
    ]
)
LINES = st.sampled_from(
    [
        "region = r",
        "region: s",
        "output=text",
        "; remark",
        "# remark",
        "s3 =\n  a = b\n  c=d=e",
        "key",
        "k = v ; w",
        "",
        "  more",
        "[x",
    ]
)


@given(st.lists(st.tuples(NAMES, st.lists(LINES, max_size=4)), max_size=4))
def test_any_file_gives_the_profiles_botocore_finds(tmp_path_factory: Any, parts: list[tuple[str, list[str]]]) -> None:
    from botocore.configloader import load_config
    from botocore.exceptions import ConfigParseError

    path = tmp_path_factory.mktemp("config") / "config"
    path.write_text("\n".join(f"[{name}]\n" + "\n".join(lines) for name, lines in parts))
    ours = Profile({"HOME": "/nonexistent", "AWS_CONFIG_FILE": str(path)})
    try:
        theirs = load_config(str(path))["profiles"]
    except ConfigParseError:
        with pytest.raises(NeoError, match=r"^Unable to parse config file: "):
            ours.get("region")
        return
    assert sorted(ours.names) == sorted(theirs)
    for name, values in theirs.items():
        profile = Profile({"HOME": "/nonexistent", "AWS_CONFIG_FILE": str(path)}, name)
        for key, value in values.items():
            assert (profile.section(key) if isinstance(value, dict) else profile.get(key)) == value
