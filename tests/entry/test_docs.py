"""docs/command-line.md says what the program does: codes, forms of a value, lines that run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from neo_cli.base.errors import ExitCode
from neo_cli.entry.help import CODES
from neo_cli.entry.values.shorthand import parse

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_the_exit_codes_are_the_programs() -> None:
    rows = dict(re.findall(r"(?m)^\| (\d+) \| (.+) \|$", PAGE))
    assert rows == {str(int(code)): CODES[code] for code in ExitCode}


def test_every_spelling_of_a_json_member_is_read() -> None:
    spellings = re.findall(r"(?m)^DataInputConfig=\S+", PAGE)
    assert len(spellings) == 4
    read = [parse(text, str, frozenset({"DataInputConfig"}))["DataInputConfig"] for text in spellings]
    assert read[0] == read[1] == read[2] == '{"x":[1,3,640,640]}'


def test_every_shorthand_in_the_table_is_read() -> None:
    for row in re.findall(r"(?m)^\| [a-z ]*(?:shorthand|several of one)[a-z ]* \| `([^`]+)`", PAGE):
        words = shlex.split(row)
        for word in words[1:] if words[0].startswith("--") else words:
            assert parse(word, str)
