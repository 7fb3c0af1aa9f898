"""The table of cases is whole, and each test it names exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from reliability.cases import CASES, LATER

TESTS = Path(__file__).resolve().parents[1]


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    )


def test_every_case_has_its_tests() -> None:
    assert sorted([*CASES, *LATER]) == list(range(1, 81))
    missing = [
        (number, name)
        for number, (_, names) in CASES.items()
        for name in names
        if name.split("::")[1] not in names_in(name.split("::")[0])
    ]
    assert missing == [] and all(names for _, names in CASES.values())
