"""Invariant 1: imports point down; office and workshop meet only in the job record."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_imports_point_down() -> None:
    """import-linter's contracts in pyproject.toml hold."""
    run = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_rooms_of_the_same_kind_do_not_know_each_other() -> None:
    """A front end imports no other front end, and a back end no other back end."""
    import ast

    for room in ("frontends", "backends"):
        folder = ROOT / "cli" / "neo_cli" / room
        for file in folder.rglob("*.py"):
            own = file.relative_to(folder).parts[0].removesuffix(".py")
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"neo_cli.{room}."):
                    other = (node.module or "").split(".")[2]
                    assert own == "__init__" or other.split("_")[0] == own.split("_")[0], (
                        f"{file.name} imports {node.module}"
                    )
                assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file.name} has a relative import"
