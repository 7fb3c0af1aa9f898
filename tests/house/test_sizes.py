"""Files and functions stay small enough to be read."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = (
    sorted((ROOT / "cli").rglob("*.py"))
    + sorted((ROOT / "tests").rglob("*.py"))
    + sorted((ROOT / "docs").rglob("*.py"))
)
OWN = [f for f in FILES if ".models" not in f.parts]


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(f.relative_to(ROOT)): n for f in OWN if (n := len(f.read_text(encoding="utf-8").splitlines())) > 400}
    assert not long


def test_no_function_is_longer_than_60_lines() -> None:
    long = []
    for file in OWN:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (node.end_lineno or 0) - node.lineno + 1 > 60
            ):
                long.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not long


def test_every_module_says_what_it_promises() -> None:
    silent = [
        str(f.relative_to(ROOT))
        for f in OWN
        if f.read_text(encoding="utf-8").strip() and not ast.get_docstring(ast.parse(f.read_text(encoding="utf-8")))
    ]
    assert not silent
