"""What may follow on a command line: commands, options, values, and the names of this machine's jobs.

The shells' scripts call `neo-cli __complete WORD... CURRENT` and get one `value<TAB>help` a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from neo_cli.api import shapes
from neo_cli.base.errors import NeoError
from neo_cli.entry.commands import ALIASES, COMMANDS, command
from neo_cli.entry.options import GLOBAL_OPTIONS

if TYPE_CHECKING:
    from neo_cli.entry.context import Context
    from neo_cli.entry.verbs.operation import Operation

WORD = "__complete"
Candidate = tuple[str, str]
_FILES = {"--ca-bundle"}


def lines(words: Sequence[str], context: Context) -> str:
    """The answer to a shell: `words` without the program's name, the last one being typed."""
    return "".join(f"{value}\t{text}\n" for value, text in candidates([*words] or [""], context))


def candidates(words: Sequence[str], context: Context) -> list[Candidate]:
    """What the last of `words` may become; empty where only a file can be meant."""
    *before, current = words
    return sorted(dict((v, t) for v, t in _candidates(before, current, context) if v.startswith(current)).items())


def _candidates(before: Sequence[str], current: str, context: Context) -> Iterator[Candidate]:
    name = _command(before)
    made = _made(name) if name else None
    flag, attached = _pending(before, current)
    if flag:
        for value, text in _values(made, flag, attached, context):
            yield (f"{flag}={value}" if current.startswith("-") else value), text
        return
    if current.startswith("-"):
        yield from _options(made)
    elif name is None:
        yield from ((key, text) for key, (_, text) in COMMANDS.items())
        yield "help", "show the help page"
    elif made is not None:
        yield from _words(made, before[list(before).index(name) + 1 :])
        yield "help", "show the help page"


def _command(before: Sequence[str]) -> str | None:
    """The first word that is a command and no option's value."""
    skip = False
    for word in before:
        if skip:
            skip = False
        elif word.startswith("-"):
            option = GLOBAL_OPTIONS.get(word[2:].replace("-", "_"))
            skip = bool(option and option.metavar)
        elif word in COMMANDS or word in ALIASES:
            return word
    return None


def _made(name: str) -> click.Command | None:
    try:
        return command(name)
    except (ImportError, AttributeError):
        return None


def _pending(before: Sequence[str], current: str) -> tuple[str, str]:
    """The option whose value is being typed, and the value so far."""
    if current.startswith("--") and "=" in current:
        flag, _, value = current.partition("=")
        return flag, value
    if before and before[-1].startswith("--") and not current.startswith("-"):
        option = GLOBAL_OPTIONS.get(before[-1][2:].replace("-", "_"))
        takes_none = (option is not None and not option.metavar) or before[-1] == "--trust-model"
        return ("", "") if takes_none else (before[-1], current)
    return "", ""


def _options(made: click.Command | None) -> Iterator[Candidate]:
    for option in GLOBAL_OPTIONS.values():
        yield option.flag, option.help
    if made is None:
        return
    if hasattr(made, "flags"):
        operation: Any = made
        members = operation.shape["members"]
        for flag, member in operation.flags.items():
            yield flag, members[member].get("documentation", "")
        for argument in operation.arguments():
            if argument.flag not in operation.flags:
                yield argument.flag, ""
        return
    for parameter in made.params:
        for flag in parameter.opts:
            if flag.startswith("--"):
                yield flag, getattr(parameter, "help", None) or ""


def _words(made: click.Command, given: Sequence[str]) -> Iterator[Candidate]:
    """Subcommands and choices of words of our own commands."""
    if isinstance(made, click.Group):
        context = click.Context(made)
        for name in made.list_commands(context):
            sub = made.get_command(context, name)
            yield name, sub.get_short_help_str() if sub else ""
        return
    for parameter in made.params:
        if isinstance(parameter, click.Argument) and isinstance(parameter.type, click.Choice):
            yield from ((str(choice), "") for choice in parameter.type.choices)


def _values(made: click.Command | None, flag: str, typed: str, context: Context) -> Iterator[Candidate]:
    option = GLOBAL_OPTIONS.get(flag[2:].replace("-", "_"))
    if option is not None:
        yield from ((choice, "") for choice in option.choices)
        if flag == "--profile":
            yield from ((name, "") for name in _quiet(lambda: context.profile.names))
        return
    if flag == "--compilation-job-name":
        yield from ((name, "") for name in job_names(context, typed))
    elif made is not None and hasattr(made, "flags"):
        yield from _operation_values(made, flag, typed)  # type: ignore[arg-type]
    elif made is not None:
        for parameter in made.params:
            if flag in parameter.opts and isinstance(parameter.type, click.Choice):
                yield from ((str(choice), "") for choice in parameter.type.choices)


def _operation_values(made: Operation, flag: str, typed: str) -> Iterator[Candidate]:
    if flag == "--generate-cli-skeleton":
        yield from ((form, "") for form in ("input", "yaml-input", "output"))
        return
    member = made.flags.get(flag)
    if member is None:
        return
    shape = shapes.shape(made.shape["members"][member]["shape"])
    if shape["type"] == "list":
        shape = shapes.shape(shape["member"]["shape"])
    yield from ((value, "") for value in shape.get("enum", []))
    if shape["type"] == "structure" and not typed.startswith(("{", "[", "file")):
        yield from _shorthand(shape, typed)


def _shorthand(shape: dict[str, Any], typed: str) -> Iterator[Candidate]:
    """Keys of a structure, and the values of the key being typed; nested ones after "{"."""
    cut = max(typed.rfind(","), typed.rfind("{")) + 1
    done, part = typed[:cut], typed[cut:]
    if "{" in done and done.count("{") > done.count("}"):
        outer = done[: done.rindex("{")].rpartition(",")[2].rstrip("=")
        if outer in shape["members"]:
            shape = shapes.shape(shape["members"][outer]["shape"])
    key, equals, _ = part.partition("=")
    for name, member in shape.get("members", {}).items():
        below = shapes.shape(member["shape"])
        if equals and name == key:
            yield from ((f"{done}{name}={value}", "") for value in below.get("enum", []))
        elif not equals:
            opening = "={" if below["type"] == "structure" else "="
            yield f"{done}{name}{opening}", member.get("documentation", "")


def job_names(context: Context, typed: str) -> list[str]:
    """Names of the jobs in this machine's store that begin with `typed`; none from AWS: a key press sends nothing."""

    def ask() -> list[str]:
        from neo_cli.clients import client_for
        from neo_cli.clients.base import engine

        if engine(context).value != "local":
            return []
        wanted: dict[str, Any] = {"MaxResults": 100, "SortOrder": "Descending"}
        if typed:
            wanted["NameContains"] = typed
        page = client_for(context).call("ListCompilationJobs", wanted)
        return [job["CompilationJobName"] for job in page.get("CompilationJobSummaries", [])]

    return _quiet(ask)


def _quiet(ask: Any) -> list[str]:
    try:
        return list(ask())
    except (NeoError, OSError, ImportError):
        return []
