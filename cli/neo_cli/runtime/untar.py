"""A tar.gz from somebody else, unpacked in two passes: first every header is judged, then files are written.

Only regular files and folders. Links of any kind, devices, sparse files, paths that leave the folder, names that two file
systems would read differently, and sizes or counts beyond the caps are refused before anything is written.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

BROKEN = (tarfile.TarError, EOFError, OSError, UnicodeError, ValueError, RecursionError, OverflowError, zlib.error)
KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


class Refused(Exception):
    """The archive holds what the rules do not allow; `text` goes on after its name: "holds a symbolic link ('x')"."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Unreadable(Exception):
    """The bytes are no tar.gz, or a damaged one."""


@dataclass(frozen=True)
class Caps:
    """What an archive may hold."""

    members: int = 10_000
    total: int = 5 * 2**30  # bytes unpacked
    ratio: int = 200  # unpacked to packed, beyond `ratio_from` bytes
    ratio_from: int = 64 * 2**20
    depth: int = 32
    component: int = 255


def unpack(archive: Path, into: Path, caps: Caps, left_out: Callable[[str], bool] = lambda name: False) -> list[Path]:
    """Write the archive's files below the existing folder `into` (modes 0600 and 0700) and return them.

    `left_out` says which names, clean and relative, are not written. Raises Refused and Unreadable.
    """
    wanted = _judge(archive, caps, left_out)
    written = []
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = _clean(member.name)
                if name not in wanted or not member.isreg():
                    continue
                target = into.joinpath(*PurePosixPath(name).parts)
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                source = tar.extractfile(member)
                assert source is not None
                opened = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(opened, "wb") as stream:
                    _copy(source, stream, member.size)
                written.append(target)
    except FileExistsError as error:
        raise Refused("holds a file twice.") from error
    except BROKEN as error:
        raise Unreadable(str(error)) from error
    return written


def _judge(archive: Path, caps: Caps, left_out: Callable[[str], bool]) -> set[str]:
    """The names of the files to write, after all headers and all bytes have been read."""
    packed = archive.stat().st_size
    names: dict[str, tuple[str, bool]] = {}
    wanted: set[str] = set()
    total = count = 0
    try:
        with gzip.open(archive, "rb") as raw:
            counted = _Counted(raw, lambda size: _check_size(size, packed, caps))
            with tarfile.open(fileobj=io.BufferedReader(counted, 2**16), mode="r|") as tar:
                for member in tar:
                    count += 1
                    if count > caps.members:
                        raise Refused(f"has more than {caps.members} members.")
                    name = _checked_name(member, caps)
                    if member.size < 0:  # PAX records may say anything
                        raise tarfile.ReadError("a negative size")
                    total += member.size
                    if total > caps.total:
                        raise Refused(f"unpacks to more than {caps.total} bytes.")
                    if not name:
                        continue
                    _add(names, name, member.isreg())
                    if member.isreg() and not left_out(name):
                        wanted.add(name)
            while counted.read(2**20):  # the tail: the checksum is verified when all of it has been read
                pass
    except BROKEN as error:
        raise Unreadable(str(error)) from error
    return wanted


def _add(names: dict[str, tuple[str, bool]], name: str, is_file: bool) -> None:
    """Note a name and the folders above it: each has one spelling, and what is a file is nothing else."""
    parts = name.split("/")
    for end in range(1, len(parts) + 1):
        part, file = "/".join(parts[:end]), is_file and end == len(parts)
        key = unicodedata.normalize("NFC", part).casefold()
        if key in names and (file or names[key] != (part, False)):
            raise Refused(f"holds {part!r} twice, or in two spellings.")
        names[key] = (part, file)


def _checked_name(member: tarfile.TarInfo, caps: Caps) -> str:
    name = _clean(member.name)
    shown = ascii(member.name)[1:-1]
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    if not (member.isreg() or member.isdir()) or member.issparse():
        kind = "a sparse file" if member.issparse() else KINDS.get(member.type, "something")
        raise Refused(f"holds {kind} ('{shown}'); only regular files and folders are accepted.")
    parts = PurePosixPath(member.name).parts
    outside = member.name.startswith(("/", "\\")) or ".." in parts or "\\" in member.name
    if outside or (len(name) > 1 and name[1] == ":"):
        raise Refused(f"holds a path that leaves its folder: '{shown}'.")
    try:
        encoded = [part.encode("utf-8") for part in parts]
    except UnicodeEncodeError:
        raise Refused(f"holds a name that is not UTF-8: '{shown}'.") from None
    if any(ord(c) < 32 or ord(c) == 127 for c in member.name):
        raise Refused(f"holds a name with control characters: '{shown}'.")
    if len(parts) > caps.depth or any(len(part) > caps.component for part in encoded):
        raise Refused(f"holds a path that is too deep or too long: '{shown}'.")
    return name


def _clean(name: str) -> str:
    """The name without leading `./` and trailing slashes; empty for the folder itself."""
    return "/".join(part for part in PurePosixPath(name).parts if part not in (".", "/"))


def _check_size(size: int, packed: int, caps: Caps) -> None:
    if size > caps.total + caps.members * 1024:
        raise Refused(f"unpacks to more than {caps.total} bytes.")
    if size > caps.ratio_from and size > caps.ratio * packed:
        raise Refused(f"unpacks to more than {caps.ratio} times its size.")


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
