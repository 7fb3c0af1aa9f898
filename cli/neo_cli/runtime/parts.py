"""Which part of an artifact runs: the CPU part, or the GPU part beside it when it is right on this machine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.runtime import cpu
from neo_cli.runtime.engines import ENGINES
from neo_cli.runtime.errors import ArtifactError
from neo_cli.runtime.inputs import drawn

DEVICES = ("auto", "cpu", "gpu")
GATE = 1e-3  # max|Δ|/max|CPU part| between the two parts, as the compiler's check allows between source and build


def start(
    folder: Path, record: dict[str, Any], threads: int, device: str
) -> tuple[dict[str, Any], Any, tuple[str, ...]]:
    """(the part's record, its engine, warnings). "gpu" is the GPU part or ArtifactError, "auto" never fails for it."""
    if device not in DEVICES:
        raise ArtifactError(f"There is no device '{device}'; known are {', '.join(DEVICES)}.")
    part = _beside(record)
    if device == "gpu":
        if part is None:
            raise ArtifactError("The artifact has no GPU part; load it for the CPU.")
        return part, _engine(folder, part, threads), ()
    plain = _engine(folder, record, threads)
    if device == "cpu" or part is None:
        return record, plain, ()
    fast, why = _usable(folder, part, plain, threads)
    if fast is None:
        return record, plain, (f"The CPU part is used: {why}",)
    plain.close()
    return part, fast, ()


def _beside(record: Mapping[str, Any]) -> dict[str, Any] | None:
    return {**record, **record["accelerator"]} if "accelerator" in record else None


def _usable(folder: Path, part: dict[str, Any], plain: Any, threads: int) -> tuple[Any, str]:
    """The GPU part's engine, or None and a sentence."""
    try:
        missing: Callable[[Mapping[str, Any]], str | None] | None = getattr(_kind(part), "missing", None)
        why = missing(part["settings"]) if missing else None
        if why:
            return None, why
        fast = _engine(folder, part, threads)
    except Exception as error:  # engines and drivers have no common parent; the CPU part can always run
        return None, " ".join(str(error).split())
    try:
        feed = drawn(part["inputs"])
        fault = _difference(plain.run(feed), fast.run(feed))
    except Exception as error:
        fault = " ".join(str(error).split())[:200] or type(error).__name__
    if fault:
        fast.close()
        return None, f"the GPU part is wrong on this machine ({fault})."
    return fast, ""


def _difference(wanted: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> str | None:
    for name, answer in wanted.items():
        other = np.asarray(found[name])
        if answer.shape != other.shape or answer.dtype != other.dtype:
            return (
                f"'{name}' is {other.dtype}{list(other.shape)}, the CPU part returns {answer.dtype}{list(answer.shape)}"
            )
        if answer.dtype.kind != "f":
            off = 1 - float(np.mean(answer == other)) if answer.size else 0.0
            if off > 0.01:
                return f"{off:.0%} of the values of '{name}' differ from the CPU part's"
            continue
        scale = float(np.abs(answer).max(initial=0)) or 1.0
        error = float(np.abs(answer.astype(np.float64) - other).max(initial=0)) / scale
        if not error <= GATE:
            return f"'{name}' differs from the CPU part's by {error:.2g} of its largest value"
    return None


def _kind(record: Mapping[str, Any]) -> Any:
    if record["engine"] not in ENGINES:
        raise ArtifactError(f"The artifact needs the engine '{record['engine']}'; known are {', '.join(ENGINES)}.")
    module, _, attribute = ENGINES[record["engine"]].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise _absent(record, error) from error


def _engine(folder: Path, record: dict[str, Any], threads: int) -> Any:
    kind = _kind(record)
    cpu.demand(record["cpu_features"], record["os"], record["arch"], bool(getattr(kind, "portable", False)))
    try:
        return kind(folder, record, threads)
    except ImportError as error:
        raise _absent(record, error) from error


def _absent(record: Mapping[str, Any], error: ImportError) -> ArtifactError:
    return ArtifactError(f"The artifact runs on {record['engine']}, which is not installed here: {error}.")
