"""`neo-cli skeletons [NAME]`: the request files that come with neo-cli, listed or printed."""

from __future__ import annotations

from pathlib import Path

import click

from neo_cli.entry.context import Context
from neo_cli.entry.skeleton import FOLDER


def files() -> dict[str, Path]:
    """Every file by its name: `onnx`, `onnx.yaml`, `create-compilation-job.json`, ..."""
    found: dict[str, Path] = {}
    for path in sorted(FOLDER.glob("*/*")):
        if path.suffix in (".json", ".yaml"):
            found[path.name] = path
            found.setdefault(path.stem, path)
    return found


@click.command("skeletons")
@click.argument("name", required=False)
@click.pass_obj
def command(context: Context, name: str | None) -> None:
    """Print request files: skeletons and filled-in examples (ours, not AWS's).

    Without a NAME, list them: one example for each framework and each family of targets, and the empty skeletons that
    --generate-cli-skeleton prints. With a NAME (pytorch, jetson.yaml, create-compilation-job.json), print that file.

    \b
    Examples:
      neo-cli skeletons
      neo-cli skeletons pytorch > job.json
      neo-cli skeletons jetson.yaml | neo-cli create-compilation-job --cli-input-yaml - --compilation-job-name mine
    """
    known = files()
    if name is None:
        for path in dict.fromkeys(known.values()):
            context.stdout.write(f"{path.parent.name:<12}{path.name}\n")
        return
    if name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, 1)
        raise click.UsageError(f"No skeleton is called {name}." + (f" Did you mean {near[0]}?" if near else ""))
    context.stdout.write(known[name].read_text(encoding="utf-8"))
