"""Every back end that may compile a model for a target, in the target's order, tried one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neo_cli.backends import ACCELERATORS, BACKENDS
from neo_cli.base.errors import CompileError, InternalError, JobError
from neo_cli.base.table import resolve
from neo_cli.model import memory
from neo_cli.model.build import Build
from neo_cli.model.model import Log, Model
from neo_cli.targets.devices import Target

VENDOR = "vendor"


@dataclass(frozen=True)
class Attempt:
    """What one back end did: a build, or the error with which it refused."""

    backend: str
    seconds: float
    build: Build | None = None
    error: JobError | None = None


def names(target: Target, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The back ends to try; CompileError when the one asked for makes nothing for this target."""
    made = target.backends or (VENDOR,)  # a refused target gets here only when a plug-in opens it
    wanted = options.get("backend")
    if wanted is None:
        return made
    possible = (*made, *target.on_request)
    if wanted not in possible:
        told = ", ".join(possible)
        raise CompileError(f"The back end '{wanted}' makes no code for {target.name}; back ends for it: {told}.")
    return (wanted,)


def attempts(
    model: Model, target: Target, options: Mapping[str, Any], chosen: tuple[str, ...], work: Path, log: Log
) -> Iterator[Attempt]:
    """Try each of `chosen` when the caller asks for the next, each in a folder of its own under `work`."""
    for name in chosen:
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        attempt = _attempt(BACKENDS[name], name, model, target, options, folder)
        build, error = attempt.build, attempt.error
        memory.give_back()
        told = ", ".join(build.notes) or "built" if build else error.message if error else ""
        log(f"back end {name}: {told} ({attempt.seconds:.1f} s)")
        yield attempt


def accelerators(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Iterator[Attempt]:
    """The attempts at a GPU part for `target`, best first; each is made when the caller asks for it."""
    for name in target.accelerate:
        folder = work / f"{name}-accelerator"
        folder.mkdir(parents=True, exist_ok=True)
        yield _attempt(ACCELERATORS[name], name, model, target, options, folder)


def _attempt(place: str, name: str, model: Model, target: Target, options: Mapping[str, Any], folder: Path) -> Attempt:
    start = time.monotonic()
    try:
        build, error = _compile(place, name, model, target, options, folder), None
    except JobError as refused:
        build, error = None, refused
    return Attempt(name, time.monotonic() - start, build, error)


def _compile(place: str, name: str, model: Model, target: Target, options: Mapping[str, Any], folder: Path) -> Build:
    try:
        compile = resolve(place)
        build: Build = compile(model, target, options, folder)
    except ImportError as error:
        raise CompileError(f"The back end {name} is not installed here: {error}.") from error
    except JobError:
        raise
    except Exception as error:
        raise InternalError(f"The back end {name} failed: {type(error).__name__}: {error}") from error
    return build
