"""Shorthand: the AWS CLI's own parser (PyPI's awscli) is the peer; what is ours is tested beside it."""

from __future__ import annotations

from typing import Any

import pytest
from awscli.shorthand import ShorthandParser
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.entry.values.shorthand import ShorthandError, parse

OURS = frozenset({"DataInputConfig"})


def same(value: str) -> str:
    return value


def outcome(read: Any, text: str) -> tuple[str, Any]:
    try:
        return "value", read(text)
    except Exception as fault:
        return "fault", str(fault)


PIECES = st.sampled_from(
    [
        "a",
        "b=",
        "=",
        ",",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "\\",
        "\\,",
        " ",
        ":",
        "@",
        "\n",
        "(",
        "1",
        "é",
        "a=b",
        "k={x=1}",
    ]
)


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=9).map("".join), st.booleans())
def test_every_text_reads_as_the_aws_cli_reads_it(text: str, keyed: bool) -> None:
    text = f"a={text}" if keyed else text
    peer = outcome(lambda t: ShorthandParser().parse(t), text)
    mine = outcome(lambda t: parse(t, same), text)
    if peer[0] == "fault" and not str(peer[1]).startswith(("Expected", "Second")):
        assert mine[0] == "fault"  # the peer fell over its own feet
    else:
        said = str(mine[1]).replace("for input:\n ", "for input:\n", 1) if "Expected" in str(mine[1]) else mine[1]
        assert (mine[0], said) == peer  # version 1 of the AWS CLI lacks the blank before the echoed text


KEYS = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,5}", fullmatch=True)
TREES = st.recursive(
    st.text(max_size=8),
    lambda below: st.lists(below, min_size=1, max_size=3) | st.dictionaries(KEYS, below, min_size=1, max_size=3),
    max_leaves=6,
)


def written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}={written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4))
def test_what_is_written_with_quotes_comes_back(value: dict[str, Any]) -> None:
    if "\\" in repr(value):  # AWS unescapes quotes before backslashes: a backslash before a quote does not come back
        return
    assert parse(",".join(f"{k}={written(v)}" for k, v in value.items()), same) == value


@pytest.mark.parametrize(
    "text, found",
    [
        ('{"x":[1,3]}', '{"x":[1,3]}'),
        ('{"x":[1,3],"y":[1]}', '{"x":[1,3],"y":[1]}'),
        ("[[1,3,224,224]]", "[[1,3,224,224]]"),
        (r"{\"input0\":[1,3]}", '{"input0":[1,3]}'),
        ("{'x': [1, 3]}", "{'x': [1, 3]}"),
        ('{"a,}b":"]"}', '{"a,}b":"]"}'),
        ("{dtype=float32}", '{"dtype": "float32"}'),
        ("[a,b]", '["a", "b"]'),
        ("{x=[1,3,-1],v=10.2}", '{"x": [1, 3, -1], "v": "10.2"}'),
    ],
)
def test_json_stands_unquoted_where_the_api_wants_json(text: str, found: str) -> None:
    assert parse(f"DataInputConfig={text}", same, OURS) == {"DataInputConfig": found}
    assert parse(f"A=1,DataInputConfig={text},B=2", same, OURS) == {"A": "1", "DataInputConfig": found, "B": "2"}
    assert parse(f"In={{DataInputConfig={text},B=2}}", same, OURS) == {"In": {"DataInputConfig": found, "B": "2"}}


@pytest.mark.parametrize("text", ['{"x":[1,3]', "{'x'", "[[1,3]x", '{"x":1}}'])
def test_broken_json_is_still_a_fault(text: str) -> None:
    with pytest.raises(ShorthandError, match="for input:"):
        parse(f"DataInputConfig={text}", same, OURS)


def test_a_file_is_read_where_at_stands_before_equals() -> None:
    files = {"file://a": "one\n"}
    assert parse("A@=file://a,B=file://a", files.__getitem__) == {"A": "one\n", "B": "file://a"}
    assert parse("A={B@=file://a}", files.__getitem__) == {"A": {"B": "one\n"}}
