"""Invariant 3: one table, one contract suite, one docs page for each kind of thing."""

import ast
import importlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ROOT / "cli" / "neo_cli"
TABLES = {
    "FRONTENDS": ("neo_cli.frontends", "neo_cli.frontends."),
    "BACKENDS": ("neo_cli.backends", "neo_cli.backends."),
    "ENGINES": ("neo_cli.runtime.engines", "neo_cli.runtime.engines."),
    "FORMATS": ("neo_cli.entry.output", "neo_cli.entry.output."),
    "STORES": ("neo_cli.jobs.stores", "neo_cli.jobs.stores."),
    "LOCATIONS": ("neo_cli.worker.locations", "neo_cli.worker.locations."),
    "PASSES": ("neo_cli.passes", "neo_cli.passes."),
    "COMMANDS": ("neo_cli.entry.commands", "neo_cli.entry."),
}
PAGES = {
    "FRONTENDS": "support.md", "BACKENDS": "support.md", "FORMATS": "reference.md", "COMMANDS": "reference.md",
    "STORES": "architecture.md", "LOCATIONS": "architecture.md", "PASSES": "architecture.md", "ENGINES": "artifact.md",
}  # fmt: skip


def entries(table: str) -> dict[str, str]:
    """Name -> "module:attr" of a table; rows with a help line hold it second."""
    rows = getattr(importlib.import_module(TABLES[table][0]), table)
    pairs = rows.items() if isinstance(rows, dict) else rows
    return {name: row if isinstance(row, str) else row[0] for name, row in pairs}


@pytest.mark.parametrize("table", TABLES)
def test_every_entry_lies_in_its_room_and_exists(table: str) -> None:
    for name, path in entries(table).items():
        module, _, attribute = path.partition(":")
        assert module.startswith(TABLES[table][1]), f"{name} of {table} points to {module}"
        file = HOUSE.parent / Path(*module.split("."))
        source = file.with_suffix(".py") if file.with_suffix(".py").is_file() else file / "__init__.py"
        assert source.is_file(), f"{name} of {table}: no module {module}"
        assert attribute in names_of(source), f"{name} of {table}: {module} has no {attribute}"


def names_of(source: Path) -> set[str]:
    """Names bound at the top level of a module, found without importing it."""
    found: set[str] = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {a.asname or a.name for a in node.names}
    return found


@pytest.mark.parametrize("table", PAGES)
def test_every_entry_stands_in_the_docs(table: str) -> None:
    text = (ROOT / "docs" / PAGES[table]).read_text(encoding="utf-8")
    missing = [name for name in entries(table) if name not in text]
    assert not missing, f"docs/{PAGES[table]} does not mention {missing}"


# Names that mean something in one room only: a literal elsewhere is a special case in the wrong place.
ALLOWED = {
    "framework": ("frontends", "targets/images.py", "api", "skeletons"),
    "device": ("targets", "api"),
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_names_of_a_table_are_written_in_their_room_only(kind: str) -> None:
    model = json.loads((HOUSE / "api" / "model.json").read_text(encoding="utf-8"))["shapes"]
    names = set(model["Framework" if kind == "framework" else "TargetDevice"]["enum"]) - {
        "lambda",
        "coreml",
    }  # a word of Python, and a back end of the same name
    for file in HOUSE.rglob("*.py"):
        room = file.relative_to(HOUSE).as_posix()
        if room.startswith(ALLOWED[kind]):
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare | ast.Match | ast.Dict | ast.Set | ast.Tuple | ast.List):
                literals = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
                assert not literals & names, f"{room}:{node.lineno} decides by {sorted(literals & names)}"
