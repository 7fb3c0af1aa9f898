"""Text and tables against the AWS CLI's own formatters, JSON against the standard library's, on any document."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import NeoError
from neo_cli.entry.output.grid import render
from neo_cli.entry.output.json import dumps
from neo_cli.entry.output.table import layout
from neo_cli.entry.output.text import lines
from neo_cli.entry.output.yaml import dumps as yaml_dumps

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "no", "true", "1.0", "012", "~", "=", "<<", "- x", "a: b", "2024-01-01", "日本", "é", "x" * 90, "two\nlines"]
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
)
KEYS = st.text("abcXYZ日", min_size=1, max_size=6)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)
ROWS = st.lists(st.dictionaries(KEYS, SCALARS, max_size=4), min_size=1, max_size=4)
MAPPINGS = st.dictionaries(KEYS, SCALARS | ROWS | st.dictionaries(KEYS, SCALARS, max_size=3), max_size=5)


@pytest.fixture(scope="module")
def aws_cli() -> Any:
    """`aws_cli(kind, value, ...)` is what the AWS CLI prints, or None where it breaks down."""
    command = [sys.executable, str(Path(__file__).with_name("aws_formatters.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(kind: str, value: Any, **more: Any) -> Any:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps({"kind": kind, "value": value, **more}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask


@given(value=DOCUMENTS)
def test_text_is_the_aws_clis(aws_cli: Any, value: Any) -> None:
    ours, theirs = "".join(lines(value)), aws_cli("text", value)
    assert theirs is None or ours == theirs


@pytest.mark.parametrize("color", [False, True])
@given(value=MAPPINGS | DOCUMENTS, width=st.sampled_from([0, 20, 80, 400]))
def test_tables_are_the_aws_clis(aws_cli: Any, color: bool, value: Any, width: int) -> None:
    theirs = aws_cli("table", value, width=width, color=color)
    try:
        sections = layout("Title", value)
        ours = render(sections, width, color, paged=True) if sections else ""
    except NeoError as fault:
        if "mixes" in fault.message:  # where the AWS CLI mostly breaks down
            return
        ours = fault.message
    assert theirs is None or ours == theirs


@given(DOCUMENTS)
def test_json_is_the_standard_librarys(value: Any) -> None:
    assert dumps(value) == json.dumps(value, indent=4, ensure_ascii=False)


@given(DOCUMENTS.filter(lambda value: isinstance(value, dict | list)))
def test_yaml_reads_back(value: Any) -> None:
    """By a reader of YAML 1.1 with the words that 1.2 takes for strings read as strings."""

    class Reader(pyyaml.SafeLoader):
        pass

    Reader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":bool", ":int", ":float"))]
        for first, found in pyyaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    assert pyyaml.load(yaml_dumps(value), Reader) == as_read(value)


def as_read(value: Any) -> Any:
    """The document with numbers and booleans as their YAML words."""
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_read(item) for item in value]
    if isinstance(value, bool | int | float):
        return pyyaml.safe_dump(value).partition("\n")[0]
    return value


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "y", "n", "1:30"])
def test_words_of_yaml_1_1_stay_plain(word: str) -> None:
    assert yaml_dumps([word]) == f"- {word}\n"


@pytest.mark.parametrize("word", ["true", "012", "1e3", "~", "=", "<<", "2024-01-01", "0x1F", ".inf", ""])
def test_what_yaml_1_2_would_misread_is_quoted(word: str) -> None:
    assert yaml_dumps([word]) == f"- '{word}'\n"
