"""Convolutions and products in bfloat16: operands rounded to it, sums in float32, by vdpbf16ps or AMX tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.fast.activations import NONE, Act
from neo_cli.backends.native.fast.conv import blocks_of, dense, flat, merge, pack, padded
from neo_cli.backends.native.fast.taps import taps_of
from neo_cli.backends.native.ir import Graph, Node
from neo_cli.backends.native.operators import Context
from neo_cli.backends.native.schedule import Tiles

BLOCK, WORDS = 32, 16  # channels of a block of the buffer, and words of two channels


def used(graph: Graph) -> bool:
    """Is any convolution or product made in bfloat16?"""
    return any(part.attrs.get("halves") for node in graph.nodes for part in node.attrs.get("parts", [node]))


def words(weights: np.ndarray) -> np.ndarray:
    """[OC, IC, KH, KW] float32 as [OC, ceil(IC / 2), KH, KW] of uint32: two channels rounded to bfloat16, the even one low."""
    import ml_dtypes

    oc, ic, kh, kw = weights.shape
    wide = np.zeros((oc, -(-ic // 2) * 2, kh, kw), np.uint32)
    wide[:, :ic] = weights.astype(ml_dtypes.bfloat16).view(np.uint16)
    found: np.ndarray = wide[:, 0::2] | wide[:, 1::2] << 16
    return found


@dataclass
class Buffer:
    """What is kept of the input, rounded: `blocks` blocks of lines of `width` pixels of so many `words` each.

    `parts` are the weights of each group [groups, OC, IC, KH, KW] as the buffer's channels meet them. An output row's
    lines begin `stride` lines after the one before's, and are `span`; its pixels are `step` apart. `line` and `pixel` are
    the source's floats from one to the next. `windows`: a pixel holds the whole window; where its rows lie, of `row` floats.
    """

    parts: np.ndarray
    words: int
    blocks: int
    stride: int
    span: int
    step: int
    width: int
    line: int
    pixel: int
    windows: tuple[int, ...] = ()
    row: int = 0


def _blocks(node: Node, lanes: int) -> Buffer:
    """Blocks of 32 channels; of windows of one row or column only the lines and pixels that they meet."""
    x, weights, y, attrs = node.inputs[0], node.inputs[1], node.outputs[0], node.attrs
    assert x is not None and weights is not None and weights.const is not None
    group, ic, oc, width = attrs["group"], x.image[1], y.image[1], y.image[3]
    parts = dense(weights.const, group, merge(group, ic // group, oc // group, lanes))
    (kh, kw), (sh, sw), (dh, dw) = parts.shape[3:], attrs["strides"], attrs["dilations"]
    stride, span, line = (sh, (kh - 1) * dh + 1, 1) if kh > 1 else (1, 1, sh)
    step, columns, pixel = (sw, (width - 1) * sw + (kw - 1) * dw + 1, 1) if kw > 1 else (1, width, sw)
    blocks = blocks_of(parts.shape[2], BLOCK)
    return Buffer(parts, WORDS, blocks, stride, span, step, columns, line * x.pitch[2], pixel * x.layout.block)


def _windows(node: Node) -> Buffer:
    """Few channels, each a plane of its own: a pixel of the buffer is the whole window [IC][KH][KW], as one block."""
    x, weights, y, attrs = node.inputs[0], node.inputs[1], node.outputs[0], node.attrs
    assert x is not None and weights is not None and weights.const is not None
    oc, ic, kh, kw = weights.const.shape
    (sh, sw), dh = attrs["strides"], attrs["dilations"][0]
    places = tuple(c * x.pitch[1] + i * dh * x.pitch[2] for c in range(ic) for i in range(kh))
    parts, words = weights.const.reshape(1, oc, -1, 1, 1), blocks_of(ic * kh * kw, BLOCK) * WORDS
    return Buffer(parts, words, 1, 1, 1, 1, y.image[3], sh * x.pitch[2], sw, places, kw)


def halves(node: Node, ctx: Context) -> str:
    """fast.Conv with attribute `halves`; its inputs and attributes."""
    x, y, add, attrs, cpu = node.inputs[0], node.outputs[0], node.inputs[3], node.attrs, ctx.cpu
    assert x is not None
    (n, _, oh, ow), lanes, (dh, dw) = y.image, cpu.lanes, attrs["dilations"]
    kept = _windows(node) if x.layout.block == 1 else _blocks(node, lanes)
    (ocg, icg, kh, kw), words, columns = kept.parts.shape[1:], kept.words, kept.width
    one_line = not kept.windows and flat(node, taps_of(node)[0])
    height, width = (1, oh * ow) if one_line else (oh, ow)
    outs, vectors = blocks_of(ocg, lanes), min(cpu.vectors, blocks_of(ocg, lanes))
    tiles = schedule.registers(height, width) if cpu.tiles else schedule.tiles(cpu, vectors, height, width)
    unit = kept.blocks * words * 4 * (tiles.columns if one_line else columns * tiles.rows * kept.stride)
    units = math.ceil(width / tiles.columns) if one_line else math.ceil(height / tiles.rows)
    band = math.ceil(units / math.ceil(units / max(1, cpu.band // unit)))
    columns = band * tiles.columns if one_line else columns
    lines = 1 if one_line else (band * tiles.rows - 1) * kept.stride + kept.span
    missing = kept.blocks * words * 2 - icg  # channels of the last block
    unused = 0 if cpu.tiles else missing // 8 * 4
    joined = dw == 1 and not (unused and kw > 1)
    across = range(1 if joined else kw)
    taps = [(i * dh * columns + j * dw) * words for i in range(kh) for j in across]
    run = (kw if joined else 1) * words
    plan = schedule.direct(cpu, height, width, kept.blocks, len(taps) * run, outs, 0)
    kernels = _kernels(ctx, tiles, vectors, outs, kept.step * words)
    act: Act = attrs.get("act") or NONE
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    ctx.include("bf16.h")
    shared = n == len(kept.parts) == 1 and band == units and kept.blocks > 1 and not ctx.inside
    buffer, name = (
        ctx.scratch(kept.blocks * lines * columns * words, private=not shared),
        f"halves_{ctx.step}_{ctx.prefix}",
    )
    ctx.declare(f"""\
static const idx {name}_tap[] = {{{", ".join(map(str, taps))}}}, {name}_window[] = {{{", ".join(map(str, kept.windows or (0,)))}}};
static const struct halves {name} = {{
    .c = {{
        .in_block = {lines * columns * words}, .in_row = {kept.stride * columns * words},
        .out_image = {y.pitch[0]}, .out_plane = {y.pitch[1]}, .out_row = {y.pitch[2]},
        .add_image = {add_pitch[0]}, .add_plane = {add_pitch[1]}, .add_row = {add_pitch[2]},
        .images = {n}, .height = {height}, .width = {width}, .blocks = {kept.blocks}, .panel = {plan.panel},
        .taps = {len(taps)}, .run = {run}, .skip = {unused}, .pitch = {kept.step * words}, .vectors = {vectors}, .sections = {outs},
        .rows = {tiles.rows}, .columns = {tiles.columns}, .add_after = {int(bool(attrs.get("add_after")))},
        {act.fields(ctx)}, .tap = {name}_tap,
        {kernels}
    }},
    .image = {x.pitch[0]}, .plane = {x.pitch[1]}, .line = {kept.line}, .pixel = {kept.pixel}, .sources = {blocks_of(icg, lanes)},
    .words = {words}, .windows = {len(kept.windows)}, .window = {name}_window, .window_row = {kept.row}, .flat = {int(one_line)},
    .stride = {kept.stride}, .span = {kept.span}, .width = {columns}, .band = {band},
    .tiles = {"tiles_{}_{}".format(*_shape(tiles, tiles.rows, tiles.columns)) if cpu.tiles else 0},
}};
""")
    return _calls(node, ctx, kept, vectors, name, buffer, shared)


def _shape(tiles: Tiles, rows: int, columns: int) -> tuple[int, int]:
    """The pixels of both tile registers for a whole tile or an edge's."""
    if tiles.rows > 1:
        return columns, columns if rows > 1 else 0
    first = math.ceil(tiles.columns / 2) if tiles.columns > WORDS else tiles.columns
    return min(columns, first), max(0, columns - first)


def _kernels(ctx: Context, tiles: Tiles, vectors: int, outs: int, pitch: int) -> str:
    """Initialisers of struct conv: a function for each kind of tile, declared."""
    main = _shape(tiles, tiles.rows, tiles.columns)
    if ctx.cpu.tiles:
        ctx.define("USE_TILES")
        ctx.declare("TILES_SHAPE({}, {})".format(*main))

    def kernel(shape: tuple[int, int] | None, count: int) -> str:
        if shape is None or not count:
            return "0"
        if not ctx.cpu.tiles:
            name = f"half_{shape[0]}x{shape[1]}x{count}_p{pitch}"
            ctx.declare(f"HALF_TILE({name}, {shape[0]}, {shape[1]}, {count}, {pitch})")
            return name
        pixels, below = _shape(tiles, *shape), int(tiles.rows > 1)
        same = pixels == main or pixels == (main[0], 0)  # what is left out may have any shape
        own, other = ("tiles_{}_{}".format(*found) for found in (main if same else pixels, main))
        ctx.declare("TILES_SHAPE({}, {})".format(*(main if same else pixels)))
        name = "half_{}_{}x{}_p{}{}".format(*pixels, count, pitch, "_rows" if below else "")
        name += "" if same else f"_in_{main[0]}_{main[1]}"
        ctx.declare(f"TILES_TILE({name}, {pixels[0]}, {pixels[1]}, {below}, {count}, {pitch}, {own}, {other})")
        return name

    whole, widths = (tiles.rows, tiles.columns), (vectors, 1 if vectors > 1 and outs % vectors else 0)
    made = [", ".join(kernel(shape, count) for count in widths) for shape in (whole, tiles.edge)]
    return f".tile = {{{made[0]}}}, .edge = {{{made[1]}}}, .edge_columns = {tiles.edge[1] if tiles.edge else 0},"


def _calls(node: Node, ctx: Context, kept: Buffer, vectors: int, name: str, buffer: str, shared: bool) -> str:
    """The call, or one for each group; a step before it where the threads share one buffer."""
    x, y, add, attrs, parts = node.inputs[0], node.outputs[0], node.inputs[3], node.attrs, kept.parts
    assert x is not None
    lanes, (ocg, icg) = ctx.cpu.lanes, parts.shape[1:3]
    outs, sources = blocks_of(ocg, lanes), blocks_of(icg, lanes)
    packed = [pack(words(part), kept.words, lanes, vectors) for part in parts]
    bias = None if node.inputs[2] is None else node.inputs[2].const
    biases = [padded(None if bias is None else bias[i * ocg : (i + 1) * ocg], ocg, lanes) for i in range(len(parts))]
    w, b = ctx.constant(np.concatenate(packed)), ctx.constant(np.concatenate(biases))
    start = x.first - attrs["pads"][0] * x.pitch[2] - attrs["pads"][1] * x.layout.block
    added = "0" if add is None else f"x3 + {add.first} + g * {outs * add.pitch[1]}"
    fill = f"halves_share(&{name}, f, x0 + {start}, {buffer});\nPHASE;\n" if shared else ""
    return f"""\
{fill}for (int g = 0; g < {len(parts)}; g++)
    conv_halves(&{name}, f, x0 + {start} + g * {sources * x.pitch[1]}, (const float *){w} + g * {packed[0].size},
                {b} + g * {outs * lanes}, {added}, y0 + {y.first} + g * {outs * y.pitch[1]}, {buffer}, {int(shared)});"""


@dataclass(frozen=True)
class Product:
    """Blocks of 32 channels of a product's inner dimension, and the words of its buffer."""

    blocks: int
    buffer: int


def half_product(ctx: Context, name: str, rows: int, channels: int, outs: int, planes: tuple[int, int]) -> Product:
    """Declares the struct halves `name` of a product of blocked rows with packed words, `outs` vectors wide.

    `planes`: floats from one block of VL to the next, of the rows and of the result.
    """
    cpu, blocks, vectors = ctx.cpu, blocks_of(channels, BLOCK), min(ctx.cpu.vectors, outs)
    tiles = schedule.registers(1, rows) if cpu.tiles else schedule.tiles(cpu, vectors, 1, rows)
    units = math.ceil(rows / tiles.columns)
    columns = units * tiles.columns
    panel = schedule.direct(cpu, 1, rows, blocks, WORDS, outs, 0).panel
    unused = 0 if cpu.tiles else (blocks * BLOCK - channels) // 8 * 4
    kernels = _kernels(ctx, tiles, vectors, outs, WORDS)
    shape = "tiles_{}_{}".format(*_shape(tiles, tiles.rows, tiles.columns)) if cpu.tiles else "0"
    ctx.declare(f"""\
static const idx {name}_tap[] = {{0}};
static const struct halves {name} = {{
    .c = {{
        .in_block = {columns * WORDS}, .out_plane = {planes[1]}, .images = 1, .height = 1, .width = {rows}, .blocks = {blocks},
        .panel = {panel}, .taps = 1, .run = {WORDS}, .skip = {unused}, .pitch = {WORDS}, .vectors = {vectors}, .sections = {outs},
        .rows = 1, .columns = {tiles.columns}, {NONE.fields(ctx)}, .tap = {name}_tap,
        {kernels}
    }},
    .plane = {planes[0]}, .pixel = {cpu.lanes}, .sources = {blocks_of(channels, cpu.lanes)}, .words = {WORDS}, .flat = 1,
    .stride = 1, .span = 1, .width = {columns}, .band = {units}, .tiles = {shape},
}};
""")
    return Product(blocks, blocks * columns * WORDS)
