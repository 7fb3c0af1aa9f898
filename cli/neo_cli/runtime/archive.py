"""An artifact on disk: unpacked by safe rules, every file as its manifest says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from neo_cli.runtime import untar
from neo_cli.runtime.errors import ArtifactError

MANIFEST = "manifest"
RECORD = "meta/artifact.json"
FORMAT = 1  # of meta/artifact.json
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
CAPS = untar.Caps(total=64 << 30)


def unpack(archive: Path, into: Path) -> None:
    """Unpack a compiled model by the rules for input archives; see `untar`."""
    try:
        untar.unpack(archive, into, CAPS)
    except untar.Refused as error:
        raise ArtifactError(f"{archive.name} {error.text}") from error
    except (untar.Unreadable, OSError) as error:
        raise ArtifactError(f"{archive} is not a readable tar.gz: {error}") from error


def verify(folder: Path) -> None:
    """Every file has the hash its manifest gives, and no file is unlisted."""
    file = folder / MANIFEST
    if not file.is_file():
        raise ArtifactError(f"{folder} is no compiled model: it has no manifest.")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        listed = {str(entry["name"]): entry["hash"] for entry in record["files"]}
    except UNREADABLE as error:
        raise ArtifactError(f"The manifest cannot be read: {error}") from error
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    for name in sorted(listed):
        if name not in present:
            raise ArtifactError(f"The file '{name}' of the manifest is missing.")
        if hash_of(folder / name) != listed[name]:
            raise ArtifactError(f"The file '{name}' is damaged: its BLAKE2s hash is not the manifest's.")
    extra = sorted(present - set(listed))
    if extra:
        raise ArtifactError(f"The file '{extra[0]}' is not in the manifest.")


def hash_of(file: Path) -> str:
    """BLAKE2s-256 in hexadecimal, as in the manifests of Neo's own artifacts."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2s()).hexdigest()


def read_record(folder: Path) -> dict[str, Any]:
    """meta/artifact.json, of a format this runtime knows, with the names, dtypes and shapes of inputs and outputs."""
    file = folder / RECORD
    if not file.is_file():
        raise ArtifactError(f"{folder} has no {RECORD}: it was not made by neo-cli, or not completely unpacked.")
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if record.get("format") != FORMAT:
            raise ArtifactError(
                f"The artifact has format {record.get('format')!a:.40}; this runtime reads format {FORMAT}."
            )
        for tensor in (*record["inputs"], *record["outputs"]):
            if not isinstance(tensor["name"] + tensor["dtype"], str) or not all(
                isinstance(n, int) for n in tensor["shape"]
            ):
                raise TypeError("a tensor without name, dtype and shape")
    except UNREADABLE as error:
        raise ArtifactError(f"{RECORD} cannot be read: {error}") from error
    return record
