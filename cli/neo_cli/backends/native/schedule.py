"""Which algorithm and which block sizes a convolution gets, by shape and CPU: data, decided here and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neo_cli.backends.native.cpus import Cpu


@dataclass(frozen=True)
class Tiles:
    """Tiles of `rows` x `columns` pixels; narrower (or fewer rows) at the edge when `edge` is not None."""

    rows: int
    columns: int
    edge: tuple[int, int] | None


@dataclass(frozen=True)
class Direct:
    """Sizes of a direct convolution: output vectors of a tile, input blocks of a panel, rows of a band."""

    vectors: int
    tiles: Tiles
    panel: int
    band: int


def tiles(cpu: Cpu, vectors: int, height: int, width: int) -> Tiles:
    """Equal tiles as near the register limit as the width allows; several rows when the image is narrow."""
    limit = cpu.pixels if vectors > 1 else cpu.column
    if width * 2 <= limit and height > 1:
        rows = min(limit // width, height)
        rest = height % rows
        return Tiles(rows, width, (rest, width) if rest else None)
    count = math.ceil(width / limit)
    columns = math.ceil(width / count)
    rest = width % columns
    return Tiles(1, columns, (1, rest) if rest else None)


def direct(cpu: Cpu, height: int, width: int, blocks: int, steps: int, out_vectors: int, in_row_bytes: int) -> Direct:
    """`steps` are the k steps of one input block (taps x run), `in_row_bytes` the input bytes one output row needs."""
    vectors = min(cpu.vectors, out_vectors)
    shape = tiles(cpu, vectors, height, width)
    fit = max(1, cpu.panel // (steps * vectors * cpu.lanes * 4))
    panels = math.ceil(blocks / fit)
    band = height if in_row_bytes * height <= cpu.band * 2 else max(1, cpu.band // max(1, in_row_bytes))
    band = max(shape.rows, band // shape.rows * shape.rows)
    return Direct(vectors, shape, math.ceil(blocks / panels), band)
