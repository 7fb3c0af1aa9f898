"""The input archive, unpacked in two passes: first every header is judged, then files are written.

One gzip-compressed tar of regular files and folders. Links of any kind, devices, sparse files, paths that leave the
folder, names that two file systems would read differently, and sizes or counts beyond the caps are refused before
anything is written, with the messages Neo's own loader had where it had one.
"""

from __future__ import annotations

import gzip
import io
import itertools
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from neo_cli.base.errors import InputError

UNTAR = "Unable to untar input model. Please confirm the model is a tar.gz file"
EMPTY = "No model file found."
BROKEN = (tarfile.TarError, EOFError, OSError, UnicodeError, ValueError, RecursionError, zlib.error)
IGNORED = ("__MACOSX",)


@dataclass(frozen=True)
class Caps:
    """What an archive may hold."""

    members: int = 10_000
    total: int = 5 * 2**30  # bytes unpacked
    ratio: int = 200  # unpacked to packed, beyond `ratio_from` bytes
    ratio_from: int = 64 * 2**20
    depth: int = 32
    component: int = 255


PLAIN = Caps()


def unpack(archive: Path, into: Path, caps: Caps = PLAIN) -> list[Path]:
    """Write the archive's files below the existing folder `into` (modes 0600 and 0700) and return them.

    Hidden files (a name that starts with a dot, AppleDouble's `._x` among them) and __MACOSX are left out.
    Raises InputError.
    """
    members = _judge(archive, caps)
    if not members:
        raise InputError(EMPTY)
    written = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = _clean(member.name)
                if name not in members or not member.isreg():
                    continue
                target = into.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                source = tar.extractfile(member)
                assert source is not None
                with os.fdopen(
                    os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
                ) as stream:
                    _copy(source, stream, member.size)
                written.append(target)
    except FileExistsError as error:
        raise InputError("The input archive holds a file twice.") from error
    except BROKEN as error:
        raise InputError(UNTAR) from error
    _check_zips(written, caps)
    return written


def _judge(archive: Path, caps: Caps) -> set[str]:
    """The names of the files to write, after all headers and all bytes have been read."""
    packed = archive.stat().st_size
    names: dict[str, str] = {}
    wanted: set[str] = set()
    total = count = 0
    try:
        with gzip.open(archive, "rb") as raw:
            counted = _Counted(raw, lambda size: _check_size(size, packed, caps))
            with tarfile.open(fileobj=io.BufferedReader(counted, 2**16), mode="r|") as tar:
                for member in tar:
                    count += 1
                    if count > caps.members:
                        raise InputError(f"The input archive has more than {caps.members} members.")
                    total += member.size
                    if total > caps.total:
                        raise InputError(f"The input archive unpacks to more than {caps.total} bytes.")
                    name = _checked_name(member, caps)
                    if not name:
                        continue
                    folded = name.casefold()
                    if folded in names and (member.isreg() or names[folded] != name):
                        raise InputError(f"The input archive holds {name!r} twice, or in two spellings.")
                    names[folded] = name
                    if member.isreg() and not _ignored(name):
                        wanted.add(name)
            while counted.read(2**20):  # the tail: the checksum is verified when all of it has been read
                pass
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(UNTAR) from error
    return wanted


def _checked_name(member: tarfile.TarInfo, caps: Caps) -> str:
    name = _clean(member.name)
    shown = ascii(member.name)[1:-1]
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if not (member.isreg() or member.isdir()) or member.issparse():
        kinds = {b"1": "a hard link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"6": "a pipe"}
        raise InputError(
            f"The input archive holds {kinds.get(member.type, 'something')} ('{shown}'); only regular files and folders are accepted."
        )
    parts = PurePosixPath(member.name).parts
    if (
        member.name.startswith(("/", "\\"))
        or ".." in parts
        or "\\" in member.name
        or (len(name) > 1 and name[1] == ":")
    ):
        raise InputError(f"The input archive holds a path that leaves its folder: '{shown}'.")
    try:
        encoded = [part.encode("utf-8") for part in parts]
    except UnicodeEncodeError:
        raise InputError(f"The input archive holds a name that is not UTF-8: '{shown}'.") from None
    if any(ord(c) < 32 or ord(c) == 127 for c in member.name):
        raise InputError(f"The input archive holds a name with control characters: '{shown}'.")
    if len(parts) > caps.depth or any(len(part) > caps.component for part in encoded):
        raise InputError(f"The input archive holds a path that is too deep or too long: '{shown}'.")
    return name


def _clean(name: str) -> str:
    """The name without leading `./` and trailing slashes; empty for the folder itself."""
    return "/".join(part for part in PurePosixPath(name).parts if part not in (".", "/"))


def _ignored(name: str) -> bool:
    parts = name.split("/")
    return parts[-1].startswith(".") or parts[0] in IGNORED


def _check_size(size: int, packed: int, caps: Caps) -> None:
    if size > caps.total + caps.members * 1024:
        raise InputError(f"The input archive unpacks to more than {caps.total} bytes.")
    if size > caps.ratio_from and size > caps.ratio * packed:
        raise InputError(f"The input archive unpacks to more than {caps.ratio} times its size.")


def _check_zips(files: list[Path], caps: Caps) -> None:
    """Model files that are zip archives themselves (.keras, .pt, .npz) keep the same caps."""
    for file in files:
        if not zipfile.is_zipfile(file):
            continue
        try:
            with zipfile.ZipFile(file) as inner:
                infos = inner.infolist()
        except (zipfile.BadZipFile, *BROKEN) as error:
            raise InputError(f"The file '{file.name}' in the input archive is a broken zip archive.") from error
        total, packed = sum(i.file_size for i in infos), max(1, file.stat().st_size)
        if (
            len(infos) > caps.members * 10
            or total > caps.total
            or (total > caps.ratio_from and total > caps.ratio * packed)
        ):
            raise InputError(
                f"The file '{file.name}' in the input archive unpacks to too much: {total} bytes in {len(infos)} members."
            )
        starts = sorted((i.header_offset, i.compress_size) for i in infos)
        if any(a + size > b for (a, size), (b, _) in itertools.pairwise(starts)):
            raise InputError(f"The file '{file.name}' in the input archive has members that overlap.")


class _Counted(io.RawIOBase):
    """A stream that tells how many bytes have been read from it; tarfile's reads go through it."""

    def __init__(self, stream: Any, tell: Callable[[int], None]) -> None:
        self._stream, self._tell, self._count = stream, tell, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._count += len(data)
        self._tell(self._count)
        return len(data)


def _copy(source: IO[bytes], target: IO[bytes], size: int) -> None:
    left = size
    for block in _blocks(source):
        left -= len(block)
        if left < 0:
            raise tarfile.ReadError("more bytes than the header says")
        target.write(block)
    if left:
        raise tarfile.ReadError("fewer bytes than the header says")


def _blocks(source: IO[bytes]) -> Iterator[bytes]:
    while block := source.read(2**20):
        yield block
