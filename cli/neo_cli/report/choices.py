"""Which back end won for a model on a CPU, remembered, so that the same job packs the same bytes again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neo_cli.runtime import cpu


def digest_of(folder: Path) -> str:
    """A hash of the files below `folder` and their names; times and owners do not count."""
    whole = hashlib.blake2b()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as stream:
            part = hashlib.file_digest(stream, lambda: hashlib.blake2b()).hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{part}\n".encode())
    return whole.hexdigest()


def key(model_digest: str, target: str, request: Mapping[str, Any], threads: int, versions: Mapping[str, str]) -> str:
    """A name for "this model, these options, this CPU, these compilers"."""
    facts = [model_digest, target, request, threads, versions, cpu.name(), sorted(cpu.features() or ())]
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def recall(folder: Path, name: str) -> dict[str, Any] | None:
    """The record of an earlier choice; None when there is none that can be read."""
    try:
        found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("backend"), str) else None


def remember(folder: Path, name: str, record: Mapping[str, Any]) -> str | None:
    """Keep a choice; the reason when it cannot be kept, which is no fault of the job."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{name}.draft"
        draft.write_text(json.dumps(record), encoding="utf-8")
        draft.replace(folder / f"{name}.json")
    except OSError as error:
        return str(error)
    return None
