"""A context whose standard output can be looked at, and what `emit` prints there."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neo_cli.entry.context import Context
from neo_cli.entry.output import emit

Printed = Callable[..., str]


@pytest.fixture
def printed(tmp_path: Path) -> Printed:
    """`printed(operation, pages, output, query=None, config="", environ={}, **options)` is the text on stdout."""

    def call(operation: str, pages: Any, output: str, query: str | None = None, config: str = "", **more: Any) -> str:
        environ = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config"), **more.pop("environ", {})}
        (tmp_path / "config").write_text(config or "[default]\n")
        stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        emit(operation, pages, query, Context(environ=environ, stdout=stdout, options={"output": output, **more}))
        stdout.flush()
        return stdout.buffer.getvalue().decode(stdout.encoding)  # type: ignore[attr-defined]

    return call
