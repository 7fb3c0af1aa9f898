"""COMMANDS: every name leads somewhere, says what it does, and shows its help without heavy imports."""

from __future__ import annotations

import io

import pytest

from neo_cli.entry import commands
from neo_cli.entry.context import Context
from neo_cli.entry.main import run


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_a_command_is_made_and_described(name: str) -> None:
    made = commands.command(name)
    assert made.name == name
    assert made.get_short_help_str()
    assert commands.COMMANDS[name][1][0].islower()
    assert not commands.COMMANDS[name][1].endswith(".")


@pytest.mark.parametrize("name", [n for n in commands.COMMANDS if n not in commands.operations()])
@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_our_own_commands_have_help_too(name: str, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Context([name, word], {"HOME": "/nonexistent"})) == 0
    said = capsys.readouterr()
    assert f"neo-cli {name}" in said.out
    assert said.err == ""


def test_the_eight_operations_mirror_aws() -> None:
    assert len(commands.operations()) == 8


def test_the_alias_is_the_command() -> None:
    out = [io.StringIO(), io.StringIO()]
    for name, stream in zip(("list-compilation-job", "list-compilation-jobs"), out, strict=True):
        assert run(Context([name, "--generate-cli-skeleton"], {}, stdout=stream)) == 0
    assert out[0].getvalue() == out[1].getvalue() != ""
