"""MXNet's .params, every version of it, as arrays by name; nothing is allocated that the file does not hold."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import numpy as np

from neo_cli.frontends.mxnet_symbol import FormatError

LIST_MAGIC = 0x112
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?"}
MAX_RANK = 32
MAX_ARRAYS = 1_000_000


class _Reader:
    """A cursor over the file; whatever would reach past its end is a FormatError."""

    def __init__(self, path: Path) -> None:
        self.name, self.at = path.name, 0
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self.data: mmap.mmap | bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.size else b""

    def skip(self, count: int) -> int:
        start = self.at
        if count < 0 or start + count > self.size:
            raise FormatError(f"{self.name} ends early: {count} bytes are missing at {start}.")
        self.at += count
        return start

    def take(self, form: str) -> tuple[int, ...]:
        return struct.unpack_from("<" + form, self.data, self.skip(struct.calcsize("<" + form)))


def read_params(path: Path) -> dict[str, np.ndarray]:
    """Arrays by their full name ("arg:conv0_weight"); views of the file, float16 kept as it is."""
    file = _Reader(path)
    if file.size < 24 or file.take("QQ")[0] != LIST_MAGIC:
        raise FormatError(f"{path.name} is no MXNet parameter file.")
    (count,) = file.take("Q")
    if count > min(MAX_ARRAYS, file.size // 8):
        raise FormatError(f"{path.name} says it holds {count} arrays, more than its size allows.")
    arrays = [_array(file) for _ in range(count)]
    (names,) = file.take("Q")
    if names != count:
        raise FormatError(f"{path.name} has {count} arrays but {names} names.")
    found: dict[str, np.ndarray] = {}
    for array in arrays:
        (length,) = file.take("Q")
        start = file.skip(length)
        found[bytes(file.data[start : start + length]).decode("utf-8", "replace")] = array
    return found


def _array(file: _Reader) -> np.ndarray:
    (magic,) = file.take("I")
    if magic in (V2, V3):
        (storage,) = file.take("i")
        if storage not in (0, -1):
            raise FormatError(f"{file.name} holds a sparse array; save it dense.")
        rank = file.take("i")[0]
        dims = "q"
    elif magic == V1:
        rank = file.take("I")[0]
        dims = "q"
    else:  # before 0.12 the number of dimensions came first
        rank, dims = magic, "I"
    if rank == -1 and magic == V3:
        return np.zeros((0,), np.float32)
    if not 0 <= rank <= MAX_RANK:
        raise FormatError(f"{file.name} holds an array of {rank} dimensions.")
    shape = file.take(f"{rank}{dims}") if rank else ()
    if rank == 0 and magic != V3:
        return np.zeros((0,), np.float32)  # an array that was never filled has nothing after its shape
    file.take("ii")  # the device it was on
    (code,) = file.take("i")
    if code not in DTYPES:
        raise FormatError(f"{file.name} holds an array of the unknown type {code}.")
    dtype = np.dtype(DTYPES[code])
    total = 1
    for size in shape:
        if not 0 <= size <= file.size:
            raise FormatError(f"{file.name} holds an array with the dimension {size}, which its size does not allow.")
        total *= size
    start = file.skip(total * dtype.itemsize)
    return np.frombuffer(file.data, dtype, total, start).reshape(shape)
