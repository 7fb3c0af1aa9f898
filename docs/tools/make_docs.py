"""Write docs/reference.md, docs/support.md and docs/native_walkthrough.md from the program and the tests' record.

usage: python docs/tools/make_docs.py [--check]

`--check` writes nothing and fails when a page differs from what would be written.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RECORD = DOCS / "support.json"


def help_text(*command: str) -> str:
    """What `neo-cli COMMAND --help` prints at 100 columns, away from the user's configuration."""
    with tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_"))}
        env |= {"NEO_HOME": home, "HOME": home, "COLUMNS": "100", "AWS_PAGER": "", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
        run = subprocess.run(
            [sys.executable, "-m", "neo_cli", *command, "--help"], env=env, capture_output=True, text=True
        )
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} --help failed: {run.stderr}")
    return "\n".join(line.rstrip() for line in run.stdout.rstrip().splitlines())


def reference() -> str:
    from neo_cli.entry.commands import COMMANDS
    from neo_cli.entry.help import CODES, ENVIRONMENT
    from neo_cli.entry.output import FORMATS

    parts = ["# Reference", "", "Written by `docs/tools/make_docs.py` from the program itself; do not edit.", ""]
    parts += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    parts += [f"| {int(code)} | {text} |" for code, text in CODES.items()]
    parts += [
        "",
        "## Environment",
        "",
        "AWS's own variables are honoured as the AWS CLI v2 documents them; these are ours.",
        "",
    ]
    parts += ["| variable | meaning |", "|---|---|", *(f"| `{name}` | {text} |" for name, text in ENVIRONMENT.items())]
    parts += ["", "## Output formats", "", ", ".join(f"`{name}`" for name in FORMATS) + " (`--output`).", ""]
    parts += ["## neo-cli", "", "```text", help_text(), "```", ""]
    for name in COMMANDS:
        parts += [f"## {name}", "", "```text", help_text(name), "```", ""]
    return "\n".join(parts)


def support() -> str:
    from neo_cli.backends import BACKENDS
    from neo_cli.frontends import FRONTENDS
    from neo_cli.targets.devices import targets

    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {"targets": {}, "frameworks": {}}
    parts = [
        "# Support table",
        "",
        "Written by `docs/tools/make_docs.py` from the device records and from what the tests recorded",
        "in `docs/support.json`; do not edit.",
        "",
    ]
    parts += [
        "**ran**: executed on the machine that ran the tests. **emulated**: executed under qemu-user, on a software Vulkan",
        "driver, or (Core ML) evaluated from the saved program. **compiled only**: built and its header checked, not",
        "executed. **refused**: the job fails and says why. [Targets](targets.md) has the details.",
        "",
    ]
    parts += [
        "## Targets",
        "",
        "| target | triple, CPU | back ends | convnet | transformer | trees | GPU part | remarks |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, target in targets().items():
        seen = record["targets"].get(name, {})
        cells = [
            seen.get(kind, "refused" if target.refuse else "not recorded")
            for kind in ("convnet", "transformer", "trees")
        ]
        machine = f"`{target.triple}` `{target.cpu}`" if target.triple else ""
        remarks = " ".join(filter(None, [target.refuse, *target.notes]))
        cells.append(seen.get("gpu", "not recorded" if target.accelerate else ""))
        parts.append(f"| {name} | {machine} | {', '.join(target.backends)} | {' | '.join(cells)} | {remarks} |")
    parts += [
        "",
        "Every other Os/Arch/Accelerator combination is refused: AWS documents none, and the job says which exist.",
        "",
    ]
    parts += [
        "## Frameworks",
        "",
        "| framework | models compiled by the tests | of these equal to the framework's own numbers |",
        "|---|---|---|",
    ]
    for name in FRONTENDS:
        seen = record["frameworks"].get(name, {})
        parts.append(
            f"| {name} | {', '.join(sorted(seen)) or 'none yet'} | {sum(v == 'ran' for v in seen.values())} of {len(seen)} |"
        )
    parts += [
        "",
        "## Back ends",
        "",
        ", ".join(f"`{b}`" for b in BACKENDS)
        + "; the fastest that passes the check is packed where the target can run here.",
        "",
    ]
    return "\n".join(parts)


def walkthrough() -> str:
    sys.path.insert(0, str(Path(__file__).parent))
    from make_native_walkthrough import PAGE, page

    return page(PAGE.read_text(encoding="utf-8") if PAGE.is_file() else "")


def main() -> int:
    stale = []
    made = {"reference.md": reference, "support.md": support, "native_walkthrough.md": walkthrough}
    for name, write in made.items():
        page, text = DOCS / name, write()
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"stale: {', '.join(stale)}; run docs/tools/make_docs.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
