"""What a shared library asks of its loader, read from the file: symbols, other libraries, memory that stays writable."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

# Of the System V ABI: program header types, dynamic tags.
_LOAD, _DYNAMIC, _RELRO = 1, 2, 0x6474E552
_NEEDED, _STRTAB, _SYMTAB, _SYMENT = 1, 5, 6, 11
_WRITABLE, _PAGE = 2, 4096
_IMPORTS = 1  # of a PE file's directories
_PE_WRITABLE, _PE_DISCARDABLE = 0x8000_0000, 0x0200_0000


@dataclass(frozen=True)
class Demands:
    """`symbols` and `libraries` that others must bring; bytes that may be written after the loader is done."""

    symbols: tuple[str, ...]
    libraries: tuple[str, ...]
    writable: int


def demands(path: Path) -> Demands:
    """Of an ELF file or a DLL."""
    data = path.read_bytes()
    return _elf(data) if data.startswith(b"\x7fELF") else _pe(data)


def _elf(data: bytes) -> Demands:
    wide = data[4] == 2
    start, size, count = struct.unpack_from("<Q14xHH" if wide else "<L10xHH", data, 32 if wide else 28)
    headers = []
    for at in range(start, start + size * count, size):
        if wide:
            kind, flags, offset, address, _, stored, length = struct.unpack_from("<2L5Q", data, at)
        else:
            kind, offset, address, _, stored, length, flags = struct.unpack_from("<7L", data, at)
        headers.append((kind, flags, offset, address, stored, length))

    def place(address: int) -> int:
        found = (o + address - a for kind, _, o, a, stored, _ in headers if kind == _LOAD and a <= address < a + stored)
        return next(found)

    tags = []
    for kind, _, offset, _, stored, _ in headers:
        if kind == _DYNAMIC:
            tags = list(struct.iter_unpack("<2Q" if wide else "<2L", data[offset : offset + stored]))
    table = dict(tags)
    strings, symbols = place(table[_STRTAB]), place(table[_SYMTAB])

    def text(at: int) -> str:
        return data[strings + at : data.index(b"\0", strings + at)].decode()

    names = []
    # lld and zig put the names behind the symbols, so the table's end is where its next neighbour begins.
    ends = [place(v) for t, v in tags if t in (4, 5, 7, 17, 0x6FFFFEF5) and place(v) > symbols]
    for at in range(symbols, min(ends), table[_SYMENT]):
        name, section = struct.unpack_from("<L2xH" if wide else "<L10xH", data, at)
        if name and not section:
            names.append(text(name))
    needed = tuple(text(value) for tag, value in tags if tag == _NEEDED)
    return Demands(tuple(names), needed, _stays_writable(headers))


def _stays_writable(headers: list[tuple[int, ...]]) -> int:
    """Bytes of writable segments that are not made read-only after relocation; those are whole pages."""
    left = 0
    for kind, flags, _, address, _, length in headers:
        if kind == _LOAD and flags & _WRITABLE:
            covered = 0
            for other, _, _, start, _, size in headers:
                if other == _RELRO:
                    end = -(-(start + size) // _PAGE) * _PAGE
                    covered += max(0, min(end, address + length) - max(start, address))
            left += length - covered
    return left


def _pe(data: bytes) -> Demands:
    start = struct.unpack_from("<L", data, 60)[0]
    sections, optional = struct.unpack_from("<H", data, start + 6)[0], struct.unpack_from("<H", data, start + 20)[0]
    directories = start + 24 + (112 if struct.unpack_from("<H", data, start + 24)[0] == 0x20B else 96)
    imports = struct.unpack_from("<2L", data, directories + 8 * _IMPORTS)
    writable = 0
    for index in range(sections):
        at = start + 24 + optional + 40 * index
        length, flags = struct.unpack_from("<L", data, at + 8)[0], struct.unpack_from("<L", data, at + 36)[0]
        if flags & _PE_WRITABLE and not flags & _PE_DISCARDABLE:
            writable += length
    return Demands((), ("an import table",) if imports[1] else (), writable)
