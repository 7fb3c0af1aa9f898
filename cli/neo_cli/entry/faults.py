"""An exception becomes a message on standard error and an exit code: in the format asked for, without a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neo_cli.base.errors import ConfigurationError, ExitCode, NeoError, ParamValidation, ServiceError
from neo_cli.entry.options import ERROR_FORMATS
from neo_cli.entry.scan import Misuse, UnknownOptions, did_you_mean

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

PROGRAM = "neo-cli"
USAGE = f"""usage: {PROGRAM} [options] <command> [parameters]
To see help text, you can run:

  {PROGRAM} help
  {PROGRAM} <command> help
"""


class Interrupted(Exception):
    """Ctrl-C."""


def report(fault: BaseException, context: Context, operation: str = "") -> int:
    """Tell the person what went wrong and return the exit code."""
    if isinstance(fault, KeyboardInterrupt | Interrupted):
        context.stdout.write("\n")  # as the AWS CLI does
        return ExitCode.INTERRUPTED
    if context.debug:
        import traceback

        context.stderr.write("".join(traceback.format_exception(fault)))
    if not isinstance(fault, NeoError):
        fault = _unforeseen(fault)
    write(fault, context, operation)
    return fault.exit


def _unforeseen(fault: BaseException) -> NeoError:
    """What nobody raised on purpose: an error of the machine speaks for itself, one of ours names its kind."""
    if isinstance(fault, OSError):
        return NeoError(str(fault))
    return NeoError(
        f"{type(fault).__name__}: {fault}".rstrip(": ") + "\n\nRun the command again with --debug for more."
    )


def write(fault: NeoError, context: Context, operation: str) -> None:
    """The message, in the format in force."""
    wanted = _format(context)
    if isinstance(fault, UnknownOptions):
        context.stderr.write(f"\n{USAGE}\n\n{PROGRAM}: [ERROR]: {fault.message}\n{_hint(fault)}")
    elif wanted in ("enhanced", "legacy") or not fault.code:
        context.stderr.write(f"\n{PROGRAM}: [ERROR]: {_sentence(fault, operation, wanted)}\n{_hint(fault)}")
        if isinstance(fault, Misuse):
            context.stderr.write(f"\n{USAGE}\n")
    else:
        _structured(_details(fault), wanted, context)
    context.stderr.flush()


def _format(context: Context) -> str:
    try:
        found = context.option("cli_error_format")
    except NeoError:  # the configuration cannot be read: that is the message to come
        found = None
    return found if found in ERROR_FORMATS else "enhanced"


def _sentence(fault: NeoError, operation: str, wanted: str) -> str:
    text = fault.message.strip() if not isinstance(fault, Misuse) else fault.message
    if isinstance(fault, ServiceError):
        called = getattr(fault, "operation", operation)
        retries = getattr(fault, "retries", None)
        after = "" if retries is None else f" (reached max retries: {retries})"
        place = f" when calling the {called} operation{after}" if called else ""
        return f"An error occurred ({fault.code}){place}: {text}"
    if isinstance(fault, ParamValidation | ConfigurationError) and wanted != "legacy":
        return f"An error occurred ({fault.code}): {text}"
    return text


def _details(fault: NeoError) -> dict[str, Any]:
    found = getattr(fault, "error", None)
    if found:
        return dict(found)
    if isinstance(fault, ServiceError):
        return {"Message": fault.message, "Code": fault.code}
    return {"Code": fault.code, "Message": fault.message.strip()}


def _structured(details: dict[str, Any], wanted: str, context: Context) -> None:
    if wanted == "json":
        from neo_cli.entry.output.json import dumps

        text = dumps(details) + "\n"
    elif wanted == "yaml":
        from neo_cli.entry.output.yaml import dumps as yaml

        text = yaml(details)
    elif wanted == "text":
        from neo_cli.entry.output.text import lines

        text = "".join(lines(details))
    else:
        from neo_cli.entry.output.grid import render
        from neo_cli.entry.output.table import layout

        text = render(layout("error", details), 80, context.colors(context.stderr), False)
    context.stderr.write(text)


def _hint(fault: NeoError) -> str:
    """Ours: a further line, set off from AWS's text, that says what was probably meant."""
    hint = getattr(fault, "hint", "") or _close_value(fault)
    return f"\n{hint}\n" if hint else ""


def _close_value(fault: NeoError) -> str:
    """For a refused device, framework or other enum value: the known one it is close to."""
    import re

    found = re.search(r"Value '([^']*)' at '[\w.]+' failed to satisfy constraint: [\w ]+: \[([^\]]+)\]", fault.message)
    if not isinstance(fault, ServiceError) or found is None:
        return ""
    value, known = found[1], found[2].split(", ")
    same = [name for name in known if name.lower().replace("-", "_") == value.lower().replace("-", "_")]
    return f"Did you mean {same[0]}?" if same else did_you_mean([value], known)
