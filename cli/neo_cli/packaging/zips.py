"""Model files that are zip archives themselves (.keras, .pt, .npz): one reading of them, within the caps of the archive.

Frameworks read the same file with different libraries: Python's zipfile, PyTorch's miniz (which ignores the case of names)
and HDF5. What these could read differently is refused: names twice or in two spellings, local headers that contradict the
directory, members that overlap, sizes that are not true, a zip archive behind another file.
"""

from __future__ import annotations

import itertools
import struct
import unicodedata
import zipfile
import zlib
from pathlib import Path
from typing import IO

from neo_cli.base.errors import InputError
from neo_cli.runtime.untar import Caps

END = 22  # bytes of the record at the end, without its comment
LOCAL, SIZE = b"PK\x03\x04", 30  # a local header's signature and its length before name and extra field
ENCRYPTED, LATER, ZIP64 = 0x1, 0x8, 0xFFFFFFFF  # flags: encrypted; sizes follow the data; sizes are in the extra field
APPENDED = (".tflite",)  # labels and the like lie behind the model, and nothing here reads them
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def check(file: Path, caps: Caps) -> None:
    """Return when the file is no zip archive, or one that every reader reads alike; InputError otherwise."""
    with file.open("rb") as stream:
        begins = stream.read(4)
        if begins not in (LOCAL, b"PK\x05\x06"):
            if file.suffix.lower() not in APPENDED and _is_behind(stream):
                raise InputError(
                    f"The file '{file.name}' in the input archive is two files in one: a zip archive lies behind it."
                )
            return
        try:
            with zipfile.ZipFile(stream) as inner:
                infos = inner.infolist()
                if _said(stream) != inner.start_dir:  # zipfile looks for the directory, miniz goes where the end says
                    raise InputError(
                        f"The file '{file.name}' in the input archive is two files in one: its directory is not where it says."
                    )
                _caps(file, infos, caps)
                for info in infos:
                    _name(file, info)
                _spellings(file, infos)
                starts = [_data(stream, file, info) for info in infos]
                _overlap(file, infos, starts, inner.start_dir)
                for info, start in zip(infos, starts, strict=True):
                    _length(stream, start, file, info)
        except BROKEN as error:
            raise InputError(f"The file '{file.name}' in the input archive is a broken zip archive.") from error


def _is_behind(stream: IO[bytes]) -> bool:
    """Whether zip readers find an archive at the end of a file that does not begin as one."""
    try:
        with zipfile.ZipFile(stream) as inner:
            for info in inner.infolist():
                stream.seek(info.header_offset)
                if stream.read(4) == LOCAL:
                    return True
    except BROKEN:
        pass
    return False


def _said(stream: IO[bytes]) -> int:
    """Where the directory begins as the record at the end has it, without regard for what lies before the archive."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - END - 0xFFFF))
    tail = stream.read()
    place = tail.rfind(b"PK\x05\x06")
    (offset,) = struct.unpack_from("<I", tail, place + 16)
    if offset != ZIP64:
        return int(offset)
    signature, _, place = struct.unpack_from("<4sIQ", tail, place - 20)
    stream.seek(place)
    record = stream.read(56)
    if (signature, record[:4]) != (b"PK\x06\x07", b"PK\x06\x06"):
        raise zipfile.BadZipFile("the record of a large archive is not where its end says")
    return int(struct.unpack_from("<Q", record, 48)[0])


def _caps(file: Path, infos: list[zipfile.ZipInfo], caps: Caps) -> None:
    total, packed = sum(i.file_size for i in infos), max(1, file.stat().st_size)
    bomb = total > caps.ratio_from and total > caps.ratio * packed
    if len(infos) > caps.members * 10 or total > caps.total or bomb:
        raise InputError(
            f"The file '{file.name}' in the input archive unpacks to too much: {total} bytes in {len(infos)} members."
        )


def _name(file: Path, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if (
        name.startswith(("/", "\\"))
        or "\\" in name
        or ".." in name.split("/")
        or any(ord(c) < 32 or ord(c) == 127 for c in name)
    ):
        raise InputError(f"The file '{file.name}' in the input archive has a member called {ascii(name)[:80]}.")
    if info.flag_bits & ENCRYPTED or info.compress_type not in METHODS:
        raise InputError(
            f"The file '{file.name}' in the input archive has a member that is encrypted or packed by a method no framework writes: {ascii(name)[:80]}."
        )


def _spellings(file: Path, infos: list[zipfile.ZipInfo]) -> None:
    seen: set[str] = set()
    for info in infos:
        key = unicodedata.normalize("NFC", info.filename).casefold()
        if key in seen:
            raise InputError(
                f"The file '{file.name}' in the input archive holds {ascii(info.filename)[:80]} twice, or in two spellings."
            )
        seen.add(key)


def _data(stream: IO[bytes], file: Path, info: zipfile.ZipInfo) -> int:
    """Where the member's data begin; its local header must say what the directory says."""
    stream.seek(info.header_offset)
    head = stream.read(SIZE)
    signature, _, flags, method, _, _, _, packed, size, name_length, extra = struct.unpack("<4sHHHHHIIIHH", head)
    name = stream.read(name_length)
    own = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")
    same = (
        signature == LOCAL
        and name == own
        and method == info.compress_type
        and flags & ENCRYPTED == info.flag_bits & ENCRYPTED
    )
    if not flags & LATER:
        same &= packed in (info.compress_size, ZIP64) and size in (info.file_size, ZIP64)
    if not same:
        raise InputError(
            f"The file '{file.name}' in the input archive describes {ascii(info.filename)[:80]} in two ways."
        )
    return info.header_offset + SIZE + name_length + extra


def _overlap(file: Path, infos: list[zipfile.ZipInfo], starts: list[int], directory: int) -> None:
    spans = sorted((i.header_offset, start + i.compress_size) for i, start in zip(infos, starts, strict=True))
    spans.append((directory, directory))
    if any(end > start for (_, end), (start, _) in itertools.pairwise(spans)):
        raise InputError(f"The file '{file.name}' in the input archive has members that overlap.")


def _length(stream: IO[bytes], start: int, file: Path, info: zipfile.ZipInfo) -> None:
    """A deflated member is exactly as long as it says; a stored one's two sizes are the same."""
    found = info.compress_size
    if info.compress_type == zipfile.ZIP_DEFLATED:
        stream.seek(start)
        found, engine, left = 0, zlib.decompressobj(-15), info.compress_size
        while left and not engine.eof and found <= info.file_size:
            block = stream.read(min(left, 2**20))
            left -= len(block) or left
            while block and found <= info.file_size:
                found += len(engine.decompress(block, 2**20))
                block = engine.unconsumed_tail
        found = found if engine.eof else -1
    if found != info.file_size:
        raise InputError(
            f"The file '{file.name}' in the input archive has a member that is not as long as it says: {ascii(info.filename)[:80]}."
        )
