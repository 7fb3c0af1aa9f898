"""Where the output goes: standard output in its encoding, or a pager that starts when there is something to show."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from neo_cli.base.errors import ConfigurationError, NeoError

if TYPE_CHECKING:
    from neo_cli.entry.context import Context


class PagerError(ConfigurationError):
    code = "Pager"


class Sink:
    """A place to write text to; used as a context manager, it leaves nothing buffered and no pager behind."""

    def __init__(self, context: Context) -> None:
        self._stdout = encoded(context.stdout, context.environ.get("AWS_CLI_OUTPUT_ENCODING"))
        self.tty: bool = context.stdout.isatty()
        self.color: bool = self.tty if context.option("color") in (None, "auto") else context.option("color") == "on"
        self._environ = context.environ
        self._command = pager_command(context) if self.tty else ""
        self._pager: Any = None

    @property
    def paged(self) -> bool:
        """Whether a pager stands between us and the terminal."""
        return bool(self._command)

    def write(self, text: str) -> None:
        """Write; a full disk is the caller's error."""
        self._target().write(text)

    def write_all(self, text: str) -> None:
        """Write a whole document; a reader that has left, or a full disk, is passed over as the AWS CLI does."""
        try:
            target = self._target()
            target.write(text)
            target.flush()
        except OSError:
            if self._pager is None:
                discard(self._stdout)

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._pager is not None:
            return self._close_pager(fault)
        if fault is None:
            self._stdout.flush()
        return False

    def _target(self) -> TextIO:
        if not self._command:
            return self._stdout
        if self._pager is None:
            self._pager = open_pager(self._command, self._environ)
        return self._pager.stdin

    def _close_pager(self, fault: BaseException | None) -> bool:
        """Wait until the reader has seen enough; Ctrl-C meanwhile belongs to the pager."""
        import signal

        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._pager.communicate()
        except OSError:
            pass  # left early, with text still in our buffer
        finally:
            self._pager.wait()
            signal.signal(signal.SIGINT, before)
        return isinstance(fault, BrokenPipeError)


def encoded(stdout: TextIO, encoding: str | None) -> TextIO:
    """`stdout`, re-encoded where AWS_CLI_OUTPUT_ENCODING asks for it."""
    if not encoding:
        if getattr(stdout, "errors", None) in ("strict", "surrogateescape") and hasattr(stdout, "reconfigure"):
            stdout.reconfigure(errors="backslashreplace")  # a terminal that lacks a letter gets its escape
        return stdout
    import codecs

    try:
        codecs.lookup(encoding)
    except LookupError as fault:
        raise NeoError(f"Unknown codec `{encoding}` specified for AWS_CLI_OUTPUT_ENCODING.") from fault
    if hasattr(stdout, "reconfigure"):
        stdout.reconfigure(encoding=encoding)
    return stdout


def pager_command(context: Context) -> str:
    """The pager: AWS_PAGER, cli_pager, PAGER, less; an empty string at any of them, or --no-cli-pager, is none."""
    if context.option("no_cli_pager"):
        return ""
    found = (context.environ.get("AWS_PAGER"), context.setting("cli_pager"), context.environ.get("PAGER"), "less")
    return next(value for value in found if value is not None)


def open_pager(command: str, environ: Any) -> Any:
    """The pager's process, its stdin open for text."""
    import shlex
    import subprocess

    try:
        return subprocess.Popen(
            shlex.split(command), stdin=subprocess.PIPE, encoding="utf-8", env={"LESS": "FRX", **environ}
        )
    except (OSError, ValueError) as fault:
        raise PagerError(
            f"Unable to redirect output to pager. Received the following error when opening pager:\n{fault}\n\n"
            'Learn more about configuring the output pager by running "aws help config-vars".'
        ) from fault


def discard(stdout: TextIO) -> None:
    """Point a broken standard output to nowhere, so that what it still holds raises no second error at exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout.fileno())
        os.close(nowhere)
        stdout.flush()
    except (OSError, ValueError):
        pass
