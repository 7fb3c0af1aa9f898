"""Sparse constants of a .tflite file in full."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Level = tuple[int | None, list[int], list[int]]  # the size of a dense dimension; else row segments and indices
KINDS = {1: "int32", 2: "uint16", 3: "uint8"}


def dense(values: np.ndarray, shape: tuple[int, ...], sparsity: Any) -> np.ndarray:
    """The tensor in full; ValueError when its description does not fit it.

    `sparsity` is a flatbuffers table as tflite_file reads it. The file stores its dimensions, then those of its blocks, in a traversal order, each dense or as compressed rows
    (SparsityParameters of TensorFlow Lite's schema).
    """
    order, blocks = _whole(sparsity.array(0, "int32")), _whole(sparsity.array(1, "int32"))
    levels = [_level(meta) for meta in sparsity.tables(2)]
    rank = len(shape)
    if (
        sorted(order) != list(range(len(levels)))
        or len(levels) != rank + len(blocks)
        or any(not 0 <= b < rank for b in blocks)
    ):
        raise ValueError("a sparse tensor whose dimensions do not fit its shape")
    block = [1] * rank
    for position, dimension in enumerate(blocks):
        block[dimension] = levels[order.index(rank + position)][0] or 1
    result = np.zeros(shape, values.dtype)
    try:
        for value, place in zip(values, _places(levels, 0, 0, ()), strict=True):
            by_dimension = dict(zip(order, place, strict=True))
            index = [by_dimension[d] for d in range(rank)]
            for position, dimension in enumerate(blocks):
                index[dimension] = index[dimension] * block[dimension] + by_dimension[rank + position]
            result[tuple(index)] = value
    except IndexError as error:
        raise ValueError("a sparse tensor that points beyond its shape") from error
    return result


def _places(levels: list[Level], depth: int, row: int, place: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The coordinates of each stored value, in the order of the values."""
    if depth == len(levels):
        yield place
        return
    size, segments, indices = levels[depth]
    if size is not None:
        for i in range(size):
            yield from _places(levels, depth + 1, row * size + i, (*place, i))
    else:
        for i in range(segments[row], segments[row + 1]):
            yield from _places(levels, depth + 1, i, (*place, indices[i]))


def _level(meta: Any) -> Level:
    if not meta.number(0, "<b"):
        return meta.number(1), [], []
    return None, _packed(meta, 2), _packed(meta, 4)


def _packed(meta: Any, number: int) -> list[int]:
    """A vector of 32, 16 or 8 bits: a union whose type stands before it."""
    kind, held = meta.number(number, "<B"), meta.table(number + 1)
    if held is None or kind not in KINDS:
        raise ValueError("a sparse tensor without its indices")
    return _whole(held.array(0, KINDS[kind]))


def _whole(found: np.ndarray | None) -> list[int]:
    return [] if found is None else [int(v) for v in found]
