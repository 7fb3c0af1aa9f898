"""An artifact's folder as a tar.gz of which every byte depends on the files alone."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from pathlib import Path

LEVEL = 1  # weights hardly compress: 7 % at this level and at any other, and each next one costs seconds


def pack(folder: Path, archive: Path, created: int) -> str:
    """Write `archive` and return its BLAKE2b hash: members sorted, times `created`, no owner, no names of this machine."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.open("wb") as stream:
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=LEVEL, mtime=0) as zipped:
            with tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar:
                for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
                    _add(tar, path, path.relative_to(folder).as_posix(), created)
    with archive.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b()).hexdigest()


def _add(tar: tarfile.TarFile, path: Path, name: str, created: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.mtime, entry.mode = created, 0o644
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        return
    entry.size = path.stat().st_size
    with path.open("rb") as stream:
        tar.addfile(entry, stream)
