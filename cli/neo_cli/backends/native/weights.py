"""Constants as one blob: each array once, 64-byte aligned, in a file that is mapped when the model is loaded."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

ALIGN = 64
# The file is a TVM parameter file with one array of bytes, so that DLR reads it too.
_LIST, _ARRAY = 0xF7E58D4F05049CB7, 0xDD5E40F096B4A13F


@dataclass
class Weights:
    """The arrays in the order in which they were asked for; equal ones share a place."""

    size: int = 0
    arrays: list[tuple[int, np.ndarray]] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)

    @property
    def start(self) -> int:
        """Where the blob begins in its file."""
        return len(_head(self.size))

    @property
    def name(self) -> str:
        """What the array is called in its file."""
        return _name()

    def place(self, array: np.ndarray) -> int:
        """The offset of `array` in the blob."""
        array = np.ascontiguousarray(array)
        key = (
            hashlib.blake2b(array.data.cast("B") if array.size else b"", digest_size=16).digest()
            + array.dtype.char.encode()
        )
        if key not in self.places:
            self.places[key] = self.size
            self.arrays.append((self.size, array))
            self.size += -(-max(1, array.nbytes) // ALIGN) * ALIGN
        return self.places[key]

    def write(self, path: Path) -> int:
        """Write the file; the offset in it where the blob starts."""
        head = _head(self.size)
        path.unlink(missing_ok=True)  # it may be mapped
        with path.open("wb") as file:
            file.write(head)
            self._body(file)
        return len(head)

    def embed(self, folder: Path) -> str:
        """Write the blob alone for `#embed`; its name, which changes with its content, as a build's cache goes by the text."""
        digest = hashlib.blake2b(b"".join(self.places), digest_size=16).hexdigest()
        with (folder / f"weights-{digest}.bin").open("wb") as file:
            self._body(file)
        return f"weights-{digest}.bin"

    def _body(self, file: BinaryIO) -> None:
        start = file.tell()
        for offset, array in self.arrays:
            file.write(b"\0" * (start + offset - file.tell()))
            file.write(array.tobytes() if array.nbytes < 1 << 16 else array.reshape(-1).view(np.uint8).data)
        file.write(b"\0" * (start + self.size - file.tell()))


def _name() -> str:
    """The one array's name, as long as the alignment of what follows needs."""
    fixed = 24 + 8 + 8 + 16 + 8 + 4 + 4 + 8 + 8
    return "weights".ljust(7 + (-(fixed + 7)) % ALIGN, "_")


def _head(size: int) -> bytes:
    """The file's beginning."""
    name = _name().encode()
    return b"".join(
        [
            struct.pack("<QQQ", _LIST, 0, 1),
            struct.pack("<Q", len(name)) + name,
            struct.pack("<Q", 1),
            struct.pack("<QQ", _ARRAY, 0),
            struct.pack("<iii", 1, 0, 1),  # CPU 0, one dimension
            struct.pack("<BBH", 1, 8, 1),  # uint8
            struct.pack("<qq", size, size),
        ]
    )
