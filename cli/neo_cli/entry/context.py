"""What one run of the command knows of the world: its line, streams, environment and clock. The only reader of os.environ."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from neo_cli.clients.profile import Profile
from neo_cli.entry.options import GLOBAL_OPTIONS


class Context:
    """Built once by `main`, handed to every verb (click: `context.obj`); tests build their own.

    `options` holds the global options of the line; `option` and `setting` are how the rest of the house asks.
    """

    def __init__(
        self,
        argv: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        stdin: TextIO | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        now: Callable[[], float] = time.time,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.argv = list(argv)
        self.environ: Mapping[str, str] = {} if environ is None else environ
        self.stdin: TextIO = sys.stdin if stdin is None else stdin
        self.stdout: TextIO = sys.stdout if stdout is None else stdout
        self.stderr: TextIO = sys.stderr if stderr is None else stderr
        self.now = now
        self.options: dict[str, Any] = dict(options or {})
        self.operation = ""  # the API operation in progress, for error messages
        self._profile: Profile | None = None

    @classmethod
    def of_process(cls, argv: Sequence[str] | None = None) -> Context:
        """The context of this process."""
        return cls(sys.argv[1:] if argv is None else argv, os.environ)

    @property
    def profile(self) -> Profile:
        """The profile in force; its files are read at the first question."""
        if self._profile is None:
            self._profile = Profile(self.environ, self.options.get("profile"))
        return self._profile

    def option(self, name: str) -> Any:
        """A global option: the flag, else its environment variable, else its configuration key, else None.

        For an option that `neo_cli.clients.base` traces to its source (engine, region, profile, endpoint_url) this is
        the flag alone.
        """
        value = self.options.get(name)
        record = GLOBAL_OPTIONS[name]
        if value is not None or record.traced:
            return value
        if name == "color" and self.environ.get("NO_COLOR"):
            return "off"  # no-color.org; the AWS CLI does not listen
        for variable in record.env:
            if self.environ.get(variable):
                return self.environ[variable]
        return (self.setting(record.config) or None) if record.config else None

    def setting(self, key: str) -> str | None:
        """The profile's setting `key`, None where it has none."""
        return self.profile.get(key)

    @property
    def debug(self) -> bool:
        return bool(self.options.get("debug"))

    @property
    def interactive(self) -> bool:
        """Whether a person sits at both ends: progress may be drawn, questions may be asked."""
        return _is_terminal(self.stdin) and _is_terminal(self.stderr)

    def colors(self, stream: TextIO) -> bool:
        """Whether `stream` may be coloured: --color, NO_COLOR, a dumb or no terminal."""
        wanted = self.option("color")
        if wanted in ("on", "off"):
            return bool(wanted == "on")
        return _is_terminal(stream) and self.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """Columns for help and progress: $COLUMNS, else the terminal's, else 80."""
        columns = self.environ.get("COLUMNS", "")
        if columns.isdigit() and int(columns) > 0:
            return int(columns)
        try:
            return os.get_terminal_size(self.stdout.fileno()).columns or 80
        except (OSError, ValueError, AttributeError):
            return 80

    def say(self, text: str) -> None:
        """Tell a person something, on standard error."""
        self.stderr.write(text if text.endswith("\n") else text + "\n")
        self.stderr.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False
