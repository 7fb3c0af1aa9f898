"""Where a global option's value comes from: flag, environment, configuration, default."""

from __future__ import annotations

from pathlib import Path

import pytest

from neo_cli.base.errors import NeoError, ParamValidation
from neo_cli.clients.base import endpoint, engine, region
from neo_cli.entry.context import Context
from neo_cli.entry.options import GLOBAL_OPTIONS, check

PLAIN = [o for o in GLOBAL_OPTIONS.values() if (o.env or o.config) and not o.traced]


def home(folder: Path, config: str) -> dict[str, str]:
    (folder / ".aws").mkdir(exist_ok=True)
    (folder / ".aws" / "config").write_text(config, encoding="utf-8")
    return {"HOME": str(folder)}


@pytest.mark.parametrize("option", PLAIN, ids=lambda o: o.flag)
def test_flag_beats_environment_beats_configuration(option, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    environ = home(tmp_path, f"[default]\n{option.config} = from-config\n" if option.config else "")
    if option.config:
        assert Context(environ=environ).option(option.name) == "from-config"
    for variable in reversed(option.env):
        environ[variable] = f"from-{variable}"
        assert Context(environ=environ).option(option.name) == f"from-{variable}"
    assert Context(environ=environ, options={option.name: "from-flag"}).option(option.name) == "from-flag"
    assert Context(environ={"HOME": str(tmp_path / "none")}).option(option.name) is None


def test_the_traced_options_are_traced(tmp_path: Path) -> None:
    environ = home(tmp_path, "[default]\nregion = c\nneo_engine = aws\nendpoint_url = http://c\n")
    assert (engine(Context(environ=environ)).value, region(Context(environ=environ)).value) == ("aws", "c")
    assert endpoint(Context(environ=environ)).value == "http://c"
    environ |= {"NEO_ENGINE": "local", "AWS_DEFAULT_REGION": "b", "AWS_ENDPOINT_URL": "http://b"}
    assert (engine(Context(environ=environ)).value, region(Context(environ=environ)).value) == ("local", "b")
    flags = {"engine": "aws", "region": "a", "endpoint_url": "http://a"}
    context = Context(environ=environ, options=flags)
    assert (engine(context).value, region(context).value, endpoint(context).value) == ("aws", "a", "http://a")


def test_no_color_is_honoured_unless_color_was_asked_for() -> None:
    assert Context(environ={"NO_COLOR": "1"}).option("color") == "off"
    assert Context(environ={"NO_COLOR": ""}).option("color") is None
    assert Context(environ={"NO_COLOR": "1"}, options={"color": "on"}).option("color") == "on"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"cli_auto_prompt": True, "no_cli_auto_prompt": True}, "Both --cli-auto-prompt and --no-cli-auto-prompt"),
        ({"endpoint_url": "127.0.0.1:80"}, 'Bad value for --endpoint-url "127.0.0.1:80": scheme is missing.'),
        ({"query": "foo["}, "Bad value for --query foo["),
    ],
)
def test_what_aws_refuses_before_the_command_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ParamValidation) as fault:
        check(options)
    assert message in str(fault.value)


def test_a_timeout_that_is_no_number_is_pythons_own_error() -> None:
    with pytest.raises(NeoError, match="invalid literal for int"):
        check({"cli_read_timeout": "abc"})
    check({"cli_read_timeout": "0", "endpoint_url": "http://x", "query": "a.b"})
