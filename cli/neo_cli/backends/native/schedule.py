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
    """Sizes of a direct convolution: output vectors of a tile, input blocks of a panel, tiles of a band."""

    vectors: int
    tiles: Tiles
    panel: int
    band: int
    panels_first: bool = False  # panels outside groups: the input does not stay in the second level, the output does
    together: int = 1  # images (or slices of a volume) that pass by before the next panel


def tiles(cpu: Cpu, vectors: int, height: int, width: int) -> Tiles:
    """Equal tiles as near the register limit as the width allows; several rows when the image is narrow."""
    return tiles_of(cpu.pixels if vectors > 1 else cpu.column, height, width)


def tiles_of(limit: int, height: int, width: int) -> Tiles:
    """The same for a register limit of so many pixels."""
    if width * 2 <= limit and height > 1:
        rows = min(limit // width, height)
        rest = height % rows
        return Tiles(rows, width, (rest, width) if rest else None)
    count = math.ceil(width / limit)
    columns = math.ceil(width / count)
    rest = width % columns
    return Tiles(1, columns, (1, rest) if rest else None)


def registers(height: int, width: int) -> Tiles:
    """Tiles of AMX: 16 pixels in each of two registers; two rows when the image is narrow."""
    if width <= 16 and height > 1:
        return Tiles(2, width, (1, width) if height % 2 else None)
    columns = math.ceil(width / math.ceil(width / 32))
    rest = width % columns
    return Tiles(1, columns, (1, rest) if rest else None)


def direct(
    cpu: Cpu,
    height: int,
    width: int,
    blocks: int,
    steps: int,
    out_vectors: int,
    in_bytes: int,
    images: int = 1,
    single: bool = False,
) -> Direct:
    """`steps` are the k steps of one input block (taps x run), `in_bytes` those of one image of the input.

    `single`: there is but one pixel, and the tile is as many vectors as make up for the time that a sum takes.
    """
    vectors = min(min(6, cpu.pixels * cpu.vectors) if single else cpu.vectors, out_vectors)
    shape = tiles(cpu, vectors, height, width)
    fit = max(1, cpu.panel // (steps * vectors * cpu.lanes * 4))
    panels = math.ceil(blocks / fit)
    count = math.ceil(height / shape.rows) * math.ceil(width / shape.columns)
    band = count if in_bytes <= cpu.band * 3 else max(4, math.ceil(count * cpu.band / in_bytes))
    out_bytes = out_vectors * cpu.lanes * height * width * 4
    first = panels > 1 and in_bytes > 2 * cpu.band and out_bytes <= cpu.band
    together = max(1, min(images, cpu.band * 3 // max(1, in_bytes))) if band == count else 1
    return Direct(vectors, shape, math.ceil(blocks / panels), count if first else band, first, together)


def quantised(cpu: Cpu, height: int, width: int, out_blocks: int, in_bytes: int) -> Direct:
    """The same for 8-bit numbers; all input blocks are one panel, as their weights take a quarter of the bytes."""
    vectors = min(cpu.int8.vectors, out_blocks)
    shape = tiles_of(cpu.int8.pixels * (cpu.int8.vectors // vectors), height, width)
    count = math.ceil(height / shape.rows) * math.ceil(width / shape.columns)
    band = count if in_bytes <= cpu.band else max(4, math.ceil(count * cpu.band / 2 / in_bytes))
    return Direct(vectors, shape, 1, band)


def winograd_pass(cpu: Cpu, points: int, ins: float, outs: int, tiles: int, images: int = 1) -> int:
    """Tiles of each image at a time, in equal parts, so that both transformed tensors stay near the second-level cache."""
    one = points * (ins + outs) * images * cpu.lanes * 4
    passes = max(1, math.ceil(one * tiles / (cpu.band * 4)))
    count = math.ceil(tiles / passes)
    few = math.ceil(4 * cpu.pixels / images)  # products of fewer pixels read more weights than they multiply
    return count if count >= few else tiles if images == 1 else min(tiles, few)


def algorithm(cpu: Cpu, ic: int, oc: int, height: int, width: int, most: int, images: int = 1, depth: int = 1) -> int:
    """0: direct; 2 or 4: Winograd with tiles of that size, at most `most`. By estimated time of a 3x3 convolution,
    or of a volume's slices with `depth` taps along them.

    Winograd's products are float32 on every CPU; direct ones are bfloat16 where the record says that these are faster.
    """
    best, chosen = _seconds(cpu, ic * depth, oc, height * width * images, 9, 0) / (cpu.halves or 1), 0
    for m in (2, 4):
        if m <= most and ic >= cpu.lanes and oc >= cpu.lanes:
            tiles = math.ceil(height / m) * math.ceil(width / m) * images
            points = (m + 2) ** 2
            transform = points * 4.0 * (math.ceil(ic / cpu.lanes) + math.ceil(oc / cpu.lanes)) * tiles / 2.5e9
            found = _seconds(cpu, ic * depth, oc, tiles, points, points) + transform
            if found < best * 0.95:
                best, chosen = found, m
    return chosen


def _seconds(cpu: Cpu, ic: int, oc: int, pixels: int, matrices: int, separate: int) -> float:
    """Products of `matrices` ic x oc matrices with `pixels` rows: arithmetic, or reading the weights, whichever is longer."""
    steps = ic if separate else ic * matrices
    full = math.ceil(pixels / cpu.pixels) * cpu.pixels / pixels  # tiles that are not full take as long
    share = steps / (steps + 24) / min(full, 1.3)
    rate = 10.0e9 * cpu.lanes * (1.0 if cpu.lanes == 16 else 1.2)
    arithmetic = 2.0 * ic * oc * pixels * matrices / (rate * share)
    return max(arithmetic, ic * oc * matrices * 4 / 10e9)
