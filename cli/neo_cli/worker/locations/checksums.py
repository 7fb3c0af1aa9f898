"""The checksums that S3 keeps with objects: what an object's head promises, and whether the bytes that came keep it.

Whole objects carry SHA-256, SHA-1, CRC-32 or CRC-64/NVME (what AWS's own tools write since 2025). A checksum of checksums,
as objects sent in parts may have it, and CRC-32C say nothing here that TLS and gzip's own CRC do not.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

CHUNK = 2**22
POLYNOMIAL = 0x9A6C9329AC4BC9B5  # CRC-64/NVME, bits reversed (NVM Express, "64b CRC")
LANES = 2**14


def kept(head: Mapping[str, Any], file: Path) -> bool:
    """Whether the file has the checksum of the object's head; True where the head has none that is known here."""
    in_parts = "-" in head.get("ETag", "")  # without a type, only this tells a checksum of checksums on every server
    whole = head.get("ChecksumType", "COMPOSITE" if in_parts else "FULL_OBJECT") == "FULL_OBJECT"
    for name, compute in KNOWN.items():
        promised = head.get(name)
        if whole and promised and "-" not in promised:
            return base64.b64encode(compute(file)).decode() == promised
    return True


def of_parts(checksums: list[str]) -> str:
    """What S3 keeps for an object sent in parts that have these SHA-256 checksums (base64); AWS puts -N behind it."""
    return base64.b64encode(hashlib.sha256(b"".join(map(base64.b64decode, checksums))).digest()).decode()


def sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _digest(name: str, file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, name).digest()


def _crc32(file: Path) -> bytes:
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(CHUNK):
            value = zlib.crc32(block, value)
    return value.to_bytes(4, "big")


def crc64(file: Path) -> bytes:
    """CRC-64/NVME, big-endian: many lanes of the data at once, joined in pairs (zlib's crc32_combine, Mark Adler)."""
    value = 0
    with file.open("rb") as stream:
        while block := stream.read(CHUNK):
            for part in (block[: len(block) // LANES * LANES], block[len(block) // LANES * LANES :]):
                if part:
                    value = _shift(value, len(part)) ^ (_lanes(part) if len(part) >= LANES else _plain(part))
    return value.to_bytes(8, "big")


KNOWN = {
    "ChecksumSHA256": lambda file: _digest("sha256", file),
    "ChecksumCRC64NVME": crc64,
    "ChecksumCRC32": _crc32,
    "ChecksumSHA1": lambda file: _digest("sha1", file),
}


@cache
def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        found.append(value)
    return tuple(found)


def _plain(data: bytes) -> int:
    table, value = _table(), 2**64 - 1
    for byte in data:
        value = table[(value ^ byte) & 255] ^ value >> 8
    return value ^ (2**64 - 1)


def _lanes(data: bytes) -> int:
    import numpy as np

    table = np.array(_table(), np.uint64)
    lanes = np.frombuffer(data, np.uint8).reshape(LANES, -1)
    values = np.full(LANES, 2**64 - 1, np.uint64)
    for column in np.ascontiguousarray(lanes.T):
        values = table[(values ^ column) & np.uint64(255)] ^ values >> np.uint64(8)
    values = ~values
    length = lanes.shape[1]
    while len(values) > 1:
        bits = _zeros(length)
        left = np.zeros(len(values) // 2, np.uint64)
        for number, column in enumerate(bits):
            left ^= np.where(values[::2] >> np.uint64(number) & np.uint64(1), np.uint64(column), np.uint64(0))
        values, length = left ^ values[1::2], length * 2
    return int(values[0])


def _shift(value: int, length: int) -> int:
    """The checksum of what `value` is the checksum of, once `length` zero bytes' worth of room is made behind it."""
    shifted = 0
    for number, column in enumerate(_zeros(length)):
        if value >> number & 1:
            shifted ^= column
    return shifted


@cache
def _zeros(length: int) -> tuple[int, ...]:
    """The operator of `length` zero bytes on a checksum: what becomes of each of its 64 bits."""
    if length == 0:
        return tuple(1 << n for n in range(64))
    if length == 1:
        return tuple((1 << n) >> 8 ^ _table()[(1 << n) & 255] for n in range(64))
    half = _zeros(length // 2)
    both = tuple(_apply(half, column) for column in half)
    return tuple(_apply(_zeros(1), column) for column in both) if length % 2 else both


def _apply(operator: tuple[int, ...], value: int) -> int:
    found, number = 0, 0
    while value:
        if value & 1:
            found ^= operator[number]
        value, number = value >> 1, number + 1
    return found
