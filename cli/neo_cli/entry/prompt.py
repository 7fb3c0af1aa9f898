"""Auto-prompt: the command line is edited with completion, and required parameters that are missing are asked for."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from neo_cli.api import shapes
from neo_cli.base.errors import ExitCode, UsageError
from neo_cli.entry.commands import ALIASES, COMMANDS, command, operations
from neo_cli.entry.scan import Scanned

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

Ask = Callable[[str, list[str]], str]  # a question and what may be answered


def ask(context: Context, mode: str, found: Scanned) -> int:
    """Complete the line with the person's help and run it; `on-partial` asks only where the line is not enough."""
    from neo_cli.entry.main import perform, read

    if mode == "on-partial":
        try:
            return perform(context, found)
        except UsageError:
            pass  # what was missing is asked for now
    if not context.stdin.isatty():
        context.stderr.write("Warning: Input is not a terminal (fd=0).\n\nneo-cli: [ERROR]:\n")
        return ExitCode.GENERAL
    argv = complete(_edited(context), question(context))
    context.say("neo-cli " + shlex.join(argv))
    context.argv = [word for word in argv if word not in ("--cli-auto-prompt", "--no-cli-auto-prompt")]
    return perform(context, read(context.argv))


def complete(argv: list[str], answer: Ask) -> list[str]:
    """`argv` with the command and every required parameter that was missing, as `answer` gives them."""
    name = next((word for word in argv if word in COMMANDS or word in ALIASES), "")
    if not name:
        name = answer("command", list(COMMANDS))
        argv = [name, *argv]
    if ALIASES.get(name, name) not in operations():
        return argv
    made: Any = command(name)
    if "help" in argv or any(word.startswith(("--cli-input", "--generate-cli-skeleton")) for word in argv):
        return argv
    flags = list(made.required)
    if made.operation == "CreateCompilationJob" and "--model-package-version-arn" not in argv:
        flags.insert(2, "--input-config")  # the model does not require it, a job does
    for flag in flags:
        if flag not in argv and not any(word.startswith(f"{flag}=") for word in argv):
            shape = shapes.shape(made.shape["members"][made.flags[flag]]["shape"])
            argv = [*argv, flag, *_value(made.flags[flag], shape, answer)]
    return argv


def _value(name: str, shape: dict[str, Any], answer: Ask) -> list[str]:
    """The value of one parameter: a text, shorthand of a structure's members, or a list's items."""
    if shape["type"] == "structure":
        return [",".join(_members(name, shape, answer))]
    if shape["type"] == "list":
        item = shapes.shape(shape["member"]["shape"])
        if item["type"] == "structure":
            return [",".join(_members(name, item, answer))]
        return answer(f"{name} (blanks between several)", []).split()
    return [answer(name, shape.get("enum", []))]


USUAL = {
    "OutputConfig": ("TargetDevice",),
    "InputConfig": ("DataInputConfig",),
    "StoppingCondition": ("MaxRuntimeInSeconds",),
}


def _members(name: str, shape: dict[str, Any], answer: Ask) -> Iterator[str]:
    wanted = [*shape.get("required", []), *USUAL.get(name, ())]
    for member, entry in shape["members"].items():
        if member in wanted:
            text = answer(f"{name}.{member}", shapes.shape(entry["shape"]).get("enum", []))
            if text:
                yield f"{member}={_quoted(text)}"


def _quoted(text: str) -> str:
    """A shorthand value that reads back as `text`."""
    if text and not set(text) & set(",'\"[]{}\\ "):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _edited(context: Context) -> list[str]:
    """The line as the person leaves it, completion as in the shell."""
    session, completer = _session(context)
    shown = shlex.join(word for word in context.argv if "auto-prompt" not in word)
    text = session.prompt("neo-cli ", default=shown + " " if shown else "", completer=completer)
    try:
        return shlex.split(text)
    except ValueError as fault:
        raise UsageError(f"The line cannot be read: {fault}") from fault


def question(context: Context) -> Ask:
    """A function that asks on the terminal, with completion of what may be answered."""

    def answer(text: str, choices: list[str]) -> str:
        from prompt_toolkit.completion import FuzzyWordCompleter

        session, _ = _session(context)
        names = _known(text, choices, context)
        found: str = session.prompt(f"{text}: ", completer=FuzzyWordCompleter(names) if names else None)
        return found.strip()

    return answer


def _known(text: str, choices: list[str], context: Context) -> list[str]:
    if text == "CompilationJobName":
        from neo_cli.entry.completion import job_names

        return job_names(context, "")
    return choices


def _session(context: Context) -> tuple[Any, Any]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer, Completion

    from neo_cli.entry.completion import candidates

    class Line(Completer):
        def get_completions(self, document: Any, complete_event: Any) -> Iterator[Any]:
            before = document.text_before_cursor
            words = before.split()
            if not before or before[-1].isspace():
                words.append("")
            for value, help_text in candidates(words, context):
                yield Completion(value, start_position=-len(words[-1]), display_meta=help_text)

    output = None
    if not context.stdout.isatty() and context.stderr.isatty():  # the response alone goes to standard output
        from prompt_toolkit.output import create_output

        output = create_output(stdout=context.stderr)
    return PromptSession(complete_while_typing=True, output=output), Line()
