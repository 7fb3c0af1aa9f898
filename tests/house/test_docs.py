"""Docs are part of the change: links lead somewhere, every command is documented, and the project speaks of itself."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_links_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_the_changelog_names_the_version() -> None:
    from neo_cli import __version__

    assert __version__ in (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")


def test_every_dependency_has_a_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    reasons = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    missing = sorted(
        {n for d in wanted if (n := re.match(r"[A-Za-z0-9_.-]+", d).group(0)) != "neo-cli" and f"`{n}`" not in reasons}
    )  # type: ignore[union-attr]
    assert not missing


def test_tracked_files_are_small() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:  # an unpacked source archive has no git
        return
    big = [f for f in listing.stdout.split("\0") if f and (ROOT / f).is_file() and (ROOT / f).stat().st_size > 600_000]
    assert not big
