"""COMMANDS: what each command is called, where it lives, and its line of help; a name costs nothing until it is used."""

from __future__ import annotations

from collections.abc import Iterator

import click

from neo_cli.base.table import resolve

_OPERATION = "neo_cli.entry.verbs.operation:Operation"  # one verb for all that mirrors AWS, driven by api/model.json

COMMANDS: dict[str, tuple[str, str]] = {
    "create-compilation-job": (_OPERATION, "start compiling a model for a target"),
    "describe-compilation-job": (_OPERATION, "show one job"),
    "list-compilation-jobs": (_OPERATION, "list jobs, filtered and sorted"),
    "stop-compilation-job": (_OPERATION, "stop a running job"),
    "delete-compilation-job": (_OPERATION, "forget a job that has ended"),
    "add-tags": (_OPERATION, "add tags to a job, or change them"),
    "list-tags": (_OPERATION, "show a job's tags"),
    "delete-tags": (_OPERATION, "remove tags from a job"),
    "wait": ("neo_cli.entry.verbs.wait:command", "wait until a job has ended"),
    "logs": ("neo_cli.entry.verbs.logs:command", "show what a job has logged"),
    "run": ("neo_cli.entry.verbs.run:command", "run a compiled model on arrays"),
    "benchmark": ("neo_cli.entry.verbs.benchmark:command", "time a compiled model on this machine"),
    "quickstart": ("neo_cli.entry.verbs.quickstart:command", "compile and run a small model, start to end"),
    "targets": ("neo_cli.entry.verbs.targets:command", "list the targets and what each can do"),
    "skeletons": ("neo_cli.entry.verbs.skeletons:command", "print request files: skeletons and filled-in examples"),
    "doctor": ("neo_cli.entry.verbs.doctor:command", "say what is in force here, and from where"),
    "worker": ("neo_cli.entry.verbs.worker:command", "run waiting jobs in this process"),
    "completion": ("neo_cli.entry.verbs.completion:command", "print the completion script of a shell"),
}

ALIASES = {"list-compilation-job": "list-compilation-jobs"}


def names() -> Iterator[str]:
    """Every word that is a command, aliases included."""
    yield from COMMANDS
    yield from ALIASES


def operations() -> list[str]:
    """The commands that mirror AWS."""
    return [name for name, (path, _) in COMMANDS.items() if path == _OPERATION]


def command(name: str) -> click.Command:
    """The command called `name`, imported now."""
    name = ALIASES.get(name, name)
    found = resolve(COMMANDS[name][0])
    made: click.Command = found(name) if isinstance(found, type) else found
    return made
