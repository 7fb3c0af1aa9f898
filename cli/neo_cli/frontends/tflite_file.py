"""A .tflite file as records, its flatbuffer read by hand: bounds are checked, nothing of TensorFlow is needed.

Field numbers are those of TensorFlow Lite's schema (schema.fbs, version 3).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.frontends.tflite_codes import OPERATORS
from neo_cli.frontends.tflite_sparse import dense

TYPES = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16", 9: "int8", 10: "float64", 12: "uint64",
    15: "uint32", 16: "uint16",
}  # fmt: skip
LIMIT = 100_000  # entries of any vector of tables; real models have thousands


class Broken(ValueError):
    """The bytes are no TensorFlow Lite model."""


@dataclass(frozen=True)
class Quantization:
    """Scales and zero points: one of each, or one for each index along `axis`."""

    scale: np.ndarray
    zero: np.ndarray
    axis: int


@dataclass(frozen=True)
class FileTensor:
    """A tensor of the file; `data` is its constant, None for what is computed."""

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]  # the same with -1 where the size is free
    dtype: str
    quantization: Quantization | None
    data: np.ndarray | None


@dataclass(frozen=True)
class Operation:
    """An operator of the file; absent inputs are -1."""

    kind: str
    inputs: list[int]
    outputs: list[int]
    options: Table | None


@dataclass(frozen=True)
class File:
    """One subgraph of a file; the first has them all in `graphs`, for the operators that run one."""

    tensors: list[FileTensor]
    inputs: list[int]
    outputs: list[int]
    operations: list[Operation]
    version: int
    names: dict[int, str] = field(default_factory=dict)  # tensor -> name in the first signature
    graphs: tuple[File, ...] = ()


class Table:
    """A flatbuffers table: fields by number, each with a default."""

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        table = place - _read("<i", data, place)
        size = _read("<H", data, table)
        if size < 4 or size % 2:
            raise Broken("a table of odd size")
        self._fields = [_read("<H", data, table + 4 + 2 * i) for i in range((size - 4) // 2)]

    def number(self, number: int, kind: str = "<i", default: Any = 0) -> Any:
        """A scalar field, read by struct's `kind`."""
        offset = self._offset(number)
        return default if offset is None else _read(kind, self._data, offset)

    def flag(self, number: int) -> bool:
        return bool(self.number(number, "<B"))

    def text(self, number: int) -> str:
        offset = self._target(number)
        if offset is None:
            return ""
        return self._bytes(offset + 4, _read("<I", self._data, offset)).decode("utf-8", "replace")

    def table(self, number: int) -> Table | None:
        offset = self._target(number)
        return None if offset is None else Table(self._data, offset)

    def tables(self, number: int) -> list[Table]:
        offset = self._target(number)
        if offset is None:
            return []
        count = _read("<I", self._data, offset)
        if count > LIMIT:
            raise Broken("a vector of absurd length")
        places = [offset + 4 + 4 * i for i in range(count)]
        return [Table(self._data, place + _read("<I", self._data, place)) for place in places]

    def array(self, number: int, dtype: str) -> np.ndarray | None:
        """A vector of scalars; None where the file has none."""
        offset = self._target(number)
        if offset is None:
            return None
        kind = np.dtype(dtype).newbyteorder("<")
        count = _read("<I", self._data, offset)
        return np.frombuffer(self._bytes(offset + 4, count * kind.itemsize), kind)

    def _offset(self, number: int) -> int | None:
        if number >= len(self._fields) or not self._fields[number]:
            return None
        return self._place + self._fields[number]

    def _target(self, number: int) -> int | None:
        offset = self._offset(number)
        return None if offset is None else offset + _read("<I", self._data, offset)

    def _bytes(self, start: int, size: int) -> bytes:
        if start < 0 or start + size > len(self._data):
            raise Broken("a vector that ends beyond the file")
        return self._data[start : start + size]


def _read(kind: str, data: bytes, place: int) -> Any:
    size = struct.calcsize(kind)
    if place < 0 or place + size > len(data):
        raise Broken("an offset that points beyond the file")
    return struct.unpack_from(kind, data, place)[0]


def read(path: Path) -> File:
    """The file's first subgraph, with all of them; Broken when it is no model."""
    data = path.read_bytes()
    if len(data) < 16 or data[4:8] != b"TFL3":
        raise Broken("it does not begin like a TensorFlow Lite file")
    root = Table(data, _read("<I", data, 0))
    codes = [max(c.number(0, "<b"), c.number(3)) for c in root.tables(1)]
    custom = [c.text(1) for c in root.tables(1)]
    graphs = root.tables(2)
    if not graphs:
        raise Broken("it holds no graph")
    kinds = [
        name or "CUSTOM" if code == 32 else OPERATORS.get(code, f"operator {code}") for code, name in zip(codes, custom)
    ]
    buffers, version = root.tables(4), root.number(0, "<I")
    read_in = tuple(_graph(graph, kinds, buffers, data, version) for graph in graphs)
    return replace(read_in[0], names=_names(root), graphs=read_in)


def _graph(graph: Table, kinds: list[str], buffers: list[Table], data: bytes, version: int) -> File:
    tensors = [_tensor(i, t, buffers, data) for i, t in enumerate(graph.tables(0))]
    operations = []
    for op in graph.tables(3):
        code = op.number(0, "<I")
        if code >= len(kinds):
            raise Broken("an operator without a code")
        indices = _indices(op, 1, len(tensors)), _indices(op, 2, len(tensors))
        operations.append(Operation(kinds[code], *indices, op.table(4)))
    return File(tensors, _indices(graph, 1, len(tensors)), _indices(graph, 2, len(tensors)), operations, version)


def _names(root: Table) -> dict[int, str]:
    signatures = root.tables(7)
    if not signatures or signatures[0].number(4, "<I"):
        return {}
    maps = [*signatures[0].tables(0), *signatures[0].tables(1)]
    return {m.number(1, "<I"): m.text(0) for m in maps if m.text(0)}


def _indices(table: Table, number: int, count: int) -> list[int]:
    found = table.array(number, "int32")
    values = [] if found is None else [int(v) for v in found]
    if any(v < -1 or v >= count for v in values):
        raise Broken("an operator that names a tensor which is not there")
    return values


def _tensor(index: int, table: Table, buffers: list[Table], data: bytes) -> FileTensor:
    code = table.number(1, "<b")
    shape = table.array(0, "int32")
    signature = table.array(7, "int32")
    sizes = () if shape is None else tuple(int(n) for n in shape)
    free = sizes if signature is None else tuple(int(n) for n in signature)
    dtype = TYPES.get(code, f"type {code}")
    place = table.number(2, "<I")
    raw = None
    if place < len(buffers):
        raw = buffers[place].array(0, "uint8")
        start, size = buffers[place].number(1, "<Q"), buffers[place].number(2, "<Q")
        if (raw is None or not len(raw)) and start > 1 and size:  # large files keep their weights behind the flatbuffer
            if start + size > len(data):
                raise Broken("weights that end beyond the file")
            raw = np.frombuffer(data, np.uint8, size, start)
    constant = None
    if raw is not None and len(raw) and dtype in TYPES.values():
        size = np.dtype(dtype).itemsize
        packed = raw[: len(raw) // size * size].view(np.dtype(dtype).newbyteorder("<"))
        sparsity = table.table(6)
        try:
            constant = packed if sparsity is None else dense(packed, sizes, sparsity)
        except ValueError as error:
            raise Broken(str(error)) from error
        if constant.size != int(np.prod(sizes, dtype=np.int64)):
            raise Broken(f"the tensor '{table.text(3)}' has {len(raw)} bytes for the shape {list(sizes)}")
        constant = constant.reshape(sizes)
    return FileTensor(
        index, table.text(3) or f"tensor{index}", sizes, free, dtype, _quantization(table.table(4)), constant
    )


def _quantization(table: Table | None) -> Quantization | None:
    if table is None:
        return None
    scale, zero = table.array(2, "float32"), table.array(3, "int64")
    if scale is None or not len(scale):
        return None
    zeros = np.zeros(len(scale), np.int64) if zero is None or not len(zero) else zero
    return Quantization(scale, np.broadcast_to(zeros, len(scale)) if len(zeros) == 1 else zeros, table.number(6))
