"""A job's own settings in this process's environment for a while, as AWS's libraries look nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from neo_cli.jobs import settings


@contextmanager
def lent(environ: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """This process's environment is `environ` meanwhile, as AWS's libraries look nowhere else."""
    before = {name: os.environ.get(name) for name in settings.KEPT}
    _set({name: environ.get(name) for name in settings.KEPT})
    try:
        yield environ
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
