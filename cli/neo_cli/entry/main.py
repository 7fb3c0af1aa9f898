"""The command `neo-cli`: the line is read, one command runs, and whatever happens becomes an exit code here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from neo_cli.base.errors import ExitCode, NeoError, ParamValidation
from neo_cli.entry import commands
from neo_cli.entry.context import Context
from neo_cli.entry.options import GLOBAL_OPTIONS, check
from neo_cli.entry.scan import NONE, ONE, Argument, Misuse, Scanned, did_you_mean, invalid_choice, scan

HELP = ("help", "--help", "-h")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line in this process and return its exit code."""
    _reopen_closed_streams()
    return run(Context.of_process(argv))


def run(context: Context) -> int:
    """Run the line of `context`; nothing but the exit code leaves this function."""
    try:
        code = dispatch(context)
        context.stdout.flush()
    except BrokenPipeError:
        _leave_quietly(context)
        code = ExitCode.OK
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except (Exception, KeyboardInterrupt) as fault:
        from neo_cli.entry import faults

        code = faults.report(_translated(fault), context, getattr(context, "operation", ""))
    return int(code)


def dispatch(context: Context) -> int:
    """Read the line, settle the global options, run the command."""
    if context.argv[:1] == ["__complete"]:  # a shell asks, many times a minute
        from neo_cli.entry.completion import lines

        context.stdout.write(lines(context.argv[1:], context))
        return ExitCode.OK
    found = read(context.argv)
    context.options = {option.name: found.values.get(option.flag) for option in GLOBAL_OPTIONS.values()}
    if context.options["version"]:
        return _version(context)
    if found.words[:1] == ["help"] or (not found.words and any(word in HELP for word in found.rest)):
        return _help(context, found.rest)
    check(context.options)
    if context.debug:
        _log_to(context)
    mode = _prompt_mode(context)
    if mode:
        from neo_cli.entry.prompt import ask

        return ask(context, mode, found)
    return perform(context, found)


def perform(context: Context, found: Scanned) -> int:
    """Run the command the line names."""
    if not found.words:
        raise Misuse("the following arguments are required: operation")
    name = found.words[0]
    if name not in commands.names():
        text = invalid_choice("argument operation", name, commands.COMMANDS)
        raise Misuse(text, "" if "Maybe" in text else did_you_mean([name], commands.COMMANDS))
    try:
        command = commands.command(name)
    except ModuleNotFoundError as fault:
        raise NeoError(f"{name} is not installed here: {fault}") from fault
    return invoke(command, name, found.rest, context)


def invoke(command: click.Command, name: str, args: Sequence[str], context: Context) -> int:
    """Run a click command on `args`; what it returns is the exit code."""
    words = ["--help"] if list(args) == ["help"] else list(args)
    with command.make_context(
        f"neo-cli {name}",
        words,
        obj=context,
        color=context.colors(context.stdout),
        help_option_names=["--help", "-h"],
        max_content_width=context.width,
    ) as ctx:
        result = command.invoke(ctx)
    return result if isinstance(result, int) else ExitCode.OK


def read(argv: Sequence[str]) -> Scanned:
    """The global options, the command's name and everything that is the command's own."""
    arguments = [
        Argument(option.flag, ONE if option.metavar else NONE, option.choices, ours=option.ours)
        for option in GLOBAL_OPTIONS.values()
    ]
    return scan(arguments, argv, words=1, stop_at=frozenset({"--version"}))


def _translated(fault: BaseException) -> BaseException:
    """click's exceptions in our words."""
    if isinstance(fault, click.Abort | EOFError):  # Ctrl-C, or Ctrl-D at a question
        return KeyboardInterrupt()
    if isinstance(fault, click.UsageError) and fault.ctx and type(fault).__name__ == "NoArgsIsHelpError":  # click ≥ 8.2
        place = fault.ctx.command_path.removeprefix("neo-cli ")
        return ParamValidation(
            f"usage: neo-cli [options] {place} <subcommand> [parameters]\nneo-cli: [ERROR]: too few arguments"
        )
    if isinstance(fault, click.UsageError):
        text = fault.format_message()
        if text.startswith("No such command '"):
            return Misuse(invalid_choice("argument subcommand", text.split("'")[1], _subcommands(fault.ctx)))
        return Misuse(text)
    if isinstance(fault, click.ClickException):
        return NeoError(fault.format_message())
    return fault


def _subcommands(ctx: click.Context | None) -> list[str]:
    return ctx.command.list_commands(ctx) if ctx is not None and isinstance(ctx.command, click.Group) else []


def _version(context: Context) -> int:
    from neo_cli import __version__

    context.stdout.write(f"neo-cli {__version__}\n")
    return ExitCode.OK


def _help(context: Context, rest: Sequence[str]) -> int:
    """`help`, `help TOPIC`, or `help COMMAND` for `COMMAND help`."""
    from neo_cli.entry.help import TOPICS, root

    topic = next((word for word in rest if not word.startswith("-")), "")
    if topic in commands.names():
        return invoke(commands.command(topic), topic, ["help"], context)
    if topic and topic not in TOPICS:
        raise Misuse(invalid_choice("argument topic", topic, [*TOPICS, *commands.COMMANDS]))
    context.stdout.write(root(context, topic))
    return ExitCode.OK


def _prompt_mode(context: Context) -> str:
    """How much to ask: "on", "on-partial" or nothing."""
    if context.options["no_cli_auto_prompt"]:
        return ""
    if context.options["cli_auto_prompt"]:
        return "on"
    try:
        wanted = context.environ.get("AWS_CLI_AUTO_PROMPT") or context.setting("cli_auto_prompt") or ""
    except NeoError:  # a profile that does not exist is reported by whoever needs it
        return ""
    return wanted if wanted in ("on", "on-partial") and "help" not in context.argv else ""


def _log_to(context: Context) -> None:
    import logging

    logging.basicConfig(
        stream=context.stderr,
        level=logging.DEBUG,
        format="%(asctime)s - %(threadName)s - %(name)s - %(levelname)s - %(message)s",
        force=True,
    )
    logging.getLogger("neo_cli").debug("Arguments entered to CLI: %s", context.argv)


def _reopen_closed_streams() -> None:
    """A closed standard stream is no error: what goes there is lost."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream: Any = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, name, stream)


def _leave_quietly(context: Context) -> None:
    """The reader has left: what the stream still holds must raise nothing when Python flushes it at exit."""
    from neo_cli.entry.output.stream import discard

    discard(context.stdout)
