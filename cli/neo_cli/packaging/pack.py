"""An artifact's folder as a tar.gz of which every byte depends on the files alone."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path

LEVEL = 1  # weights shrink by as much at this level as at any other, and each next one costs seconds
TRIAL, PLACES = 1 << 17, 8  # bytes from places across the largest file that show whether compressing is worth its time
WORTH = 0.85  # float weights shrink to about 0.93, for three seconds per 100 MB


def pack(folder: Path, archive: Path, created: int) -> str:
    """Write `archive` and return its BLAKE2b hash: members sorted, times `created`, no owner, no names of this machine."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    level = _level(folder)
    with archive.open("wb") as stream:
        with gzip.GzipFile(filename="", mode="wb", fileobj=stream, compresslevel=level, mtime=0) as zipped:
            with tarfile.open(fileobj=zipped, mode="w", format=tarfile.GNU_FORMAT) as tar:
                for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix()):
                    _add(tar, path, path.relative_to(folder).as_posix(), created)
    with archive.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b()).hexdigest()


def _level(folder: Path) -> int:
    """LEVEL, or 0 where the largest file would hardly shrink."""
    largest = max((p for p in sorted(folder.rglob("*")) if p.is_file()), key=lambda p: p.stat().st_size)
    size = largest.stat().st_size
    if size < TRIAL * PLACES:
        return LEVEL
    before = after = 0
    with largest.open("rb") as stream:
        for place in range(PLACES):
            stream.seek(size * place // PLACES)
            part = stream.read(TRIAL)
            before, after = before + len(part), after + len(zlib.compress(part, LEVEL))
    return LEVEL if after < WORTH * before else 0


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
