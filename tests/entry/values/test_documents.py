"""Input documents: JSON, YAML 1.2, standard input; the line wins, key by key."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.base.errors import ParamValidation
from neo_cli.entry.context import Context
from neo_cli.entry.output.yaml import dumps
from neo_cli.entry.values import documents

JSON, YAML = documents.FLAGS


def read(flag: str, text: str, stdin: str = "") -> dict[str, Any]:
    return documents.document(flag, text, Context(stdin=io.StringIO(stdin)))


SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TREES = st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("abc", min_size=1), below, max_size=3), max_leaves=8)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text("xyz", min_size=1, max_size=3), TREES, max_size=3))
def test_what_yaml_output_writes_yaml_input_reads(value: dict[str, Any]) -> None:
    assert read(YAML, dumps(value)) == value
    assert read(JSON, json.dumps(value)) == value
    assert read(YAML, json.dumps(value)) == value or "\\u" in json.dumps(value)


@pytest.mark.parametrize(
    "text, value",
    [
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("1:30", "1:30"), ("012", 12), ("0o14", 12), ("0x1F", 31),
        ("1_000", 1000), ("1e3", 1000.0), ("1.8", 1.8), ("'1.8'", "1.8"), ("true", True), ("~", None), ("", None),
        ("-0b11", -3), ("+5", 5), (".inf", float("inf")),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2(text: str, value: Any) -> None:
    assert read(YAML, f"A: {text}\n") == {"A": value}


@pytest.mark.parametrize(
    "text",
    ["A: 1\nA: 2\n", "A:\tx\n", "A: 1\n---\nA: 2\n", "A: !!python/name:os.system\n", "{[1]: 2}", "A: [1", "A: @x"],
)
def test_bad_yaml_is_refused_in_awss_words(text: str) -> None:
    with pytest.raises(ParamValidation) as fault:
        read(YAML, text)
    assert str(fault.value) == "Error parsing parameter 'cli-input-yaml': Invalid YAML received."


PIECES = ["a: ", "- ", "{", "}", "[", "]", "&x ", "*x", "!!int ", "!t ", "|\n", ">-\n", "\n", "  ", "\t", "'", '"', "\\u12", "? ", ": ", ", ", "<<: ", "---\n",
          "%YAML 1.2\n", "#", "1", "null", "\ud800", "\x00", "\ufeff", "9" * 5000, "1e999", "2026-01-01", "[" * 2000]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=9).map("".join))
def test_any_text_is_a_document_or_refused(text: str) -> None:
    for flag in (JSON, YAML):
        try:
            read(flag, text)
        except ParamValidation as fault:
            assert "Error parsing parameter" in str(fault) or "Invalid" in str(fault) or "must be" in str(fault), str(
                fault
            )


def test_anchors_and_merges_work() -> None:
    assert read(YAML, "A: &a {x: 1}\nB:\n  <<: *a\n  y: 2\n") == {"A": {"x": 1}, "B": {"x": 1, "y": 2}}


def test_standard_input_is_read() -> None:
    assert read(JSON, "-", '{"A": 1}') == {"A": 1}
    assert read(YAML, "-", "A: 1") == {"A": 1}


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text("A: é\n", encoding="utf-8")
    context = Context(environ={"HOME": str(tmp_path), "HERE": str(tmp_path)})
    for path in (f"file://{tmp_path}/in.yaml", "file://~/in.yaml", "file://$HERE/in.yaml"):
        assert documents.document(YAML, path, context) == {"A": "é"}


def test_the_line_wins_key_by_key() -> None:
    values = {JSON: '{"A": {"x": 1, "y": 2}, "B": 3}'}
    assert documents.merge({"A": {"x": 9}}, values, Context()) == {"A": {"x": 9}, "B": 3}
    with pytest.raises(ParamValidation, match="Only one --cli-input- parameter"):
        documents.merge({}, {JSON: "{}", YAML: "{}"}, Context())
