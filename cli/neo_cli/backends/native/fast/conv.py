"""Convolutions, transposed ones too, and products with constant matrices, on blocked images and volumes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.fast.activations import NONE, Act
from neo_cli.backends.native.fast.images import border, each_sample
from neo_cli.backends.native.fast.taps import Taps, taps_of
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator


@operator("fast.Conv")
def conv(node: Node, ctx: Context) -> str:
    """inputs: x, weights [OC, IC / group, (KD,) KH, KW], bias or None, a value to add or None (attr `add_after`: after act).

    attr `up`: a transposed convolution, whose strides are the steps of its output. attr `depth`: stride, dilation and pads
    along the slices of volumes.
    """
    x, weights = node.inputs[0], node.inputs[1]
    assert x is not None and weights is not None and weights.const is not None
    if node.attrs.get("halves"):
        from neo_cli.backends.native.fast.halves import halves  # which packs as is done here

        return border(node.outputs[0], ctx) + halves(node, ctx)
    parts = []
    for window in taps_of(node):
        rule = _depthwise if depthwise_fits(window.weights, node.attrs["group"], x) else _direct
        parts.append(rule(node, ctx, window))
    if len(parts) > 1:
        parts = [f"{{\n{part}\n}}" for part in parts]
    return border(node.outputs[0], ctx) + "\n".join(parts)


def depthwise_fits(weights: np.ndarray, group: int, x: Value) -> bool:
    """One input and one output channel a group, and few enough taps to be written out."""
    return weights.shape[1] == 1 and group == weights.shape[0] == x.image[1] and math.prod(weights.shape[2:]) <= 49


def blocks_of(channels: int, lanes: int) -> int:
    return -(-channels // lanes)


def merge(group: int, icg: int, ocg: int, lanes: int) -> int:
    """How many groups are computed as one, with zeros between them, so that each begins at a whole block."""
    for factor in range(1, group + 1):
        if group % factor == 0 and (factor == group or (icg * factor % lanes == 0 and ocg * factor % lanes == 0)):
            return factor
    return group


def dense(weights: np.ndarray, group: int, factor: int) -> np.ndarray:
    """[group / factor, OC, IC, ...] with `factor` groups on the diagonal of each matrix."""
    oc, icg, *kernel = weights.shape
    ocg = oc // group
    if factor == 1:
        return weights.reshape(group, ocg, icg, *kernel)
    parts = weights.reshape(group // factor, factor, ocg, icg, *kernel)
    made = np.zeros((group // factor, factor * ocg, factor * icg, *kernel), np.float32)
    for i in range(factor):
        made[:, i * ocg : (i + 1) * ocg, i * icg : (i + 1) * icg] = parts[:, i]
    return made


def pack(weights: np.ndarray, block: int, lanes: int, vectors: int) -> np.ndarray:
    """[OC, IC, taps...] in reading order: [group of vectors][IC block][taps...][ic][vectors * lanes]."""
    oc, ic = weights.shape[:2]
    taps = math.prod(weights.shape[2:])
    outs, ins = blocks_of(oc, lanes), blocks_of(ic, block)
    wide = np.zeros((outs * lanes, ins * block, taps), weights.dtype)
    wide[:oc, :ic] = weights.reshape(oc, ic, taps)
    parts = []
    for start, count in ((0, outs // vectors), (outs // vectors * vectors, 1 if outs % vectors else 0)):
        if count:
            size = vectors if start == 0 and outs >= vectors else outs % vectors
            cut = wide[start * lanes : (start + count * size) * lanes]
            cut = cut.reshape(count, size, lanes, ins, block, taps).transpose(0, 3, 5, 4, 1, 2)
            parts.append(cut.reshape(-1))
    return np.concatenate(parts)


def padded(bias: np.ndarray | None, channels: int, lanes: int) -> np.ndarray:
    """A bias for whole blocks."""
    made = np.zeros(blocks_of(channels, lanes) * lanes, np.float32)
    if bias is not None:
        made[:channels] = bias
    return made


def _bias(node: Node) -> np.ndarray | None:
    value = node.inputs[2]
    return None if value is None else value.const


def flat(node: Node, window: Taps) -> bool:
    """A convolution of single pixels, which lie in one row in every buffer."""
    x, add, y = node.inputs[0], node.inputs[3], node.outputs[0]
    assert x is not None
    return (
        window.kernel == window.strides == window.step == (1, 1, 1)
        and not node.attrs.get("rows")
        and (x.image[0], *x.image[2:]) == (y.image[0], *y.image[2:])
        and not any(window.pads)
        and not any(v.layout.bordered for v in (x, add, y) if v is not None)
    )


def _offsets(window: Taps, x: Value, joined: bool) -> list[int]:
    """Where the taps lie, from the first; those of a row are one when `joined`."""
    (kd, kh, kw), (dd, dh, dw) = window.kernel, window.dilations
    columns = range(1 if joined else kw)
    return [
        i * dd * x.pitch[0] + j * dh * x.pitch[2] + k * dw * x.layout.block
        for i in range(kd)
        for j in range(kh)
        for k in columns
    ]


def _direct(node: Node, ctx: Context, window: Taps) -> str:
    x, y, add = node.inputs[0], node.outputs[0], node.inputs[3]
    assert x is not None
    lanes, block, attrs = ctx.cpu.lanes, x.layout.block, node.attrs
    ic, oc, group = x.image[1], y.image[1], attrs["group"]
    factor = merge(group, ic // group, oc // group, lanes)
    if flat(node, window):
        n, h, w = window.size
        window = replace(window, size=(1, 1, n * h * w) if y.volume else (n, 1, h * w))
    images, height, width = window.size
    pitch, out_pixel = window.strides[2] * block, window.step[2] * lanes
    partial = ic * factor // group % block  # padding of the last block is skipped, a multiple of 4 for lanes
    skip = (block - partial) // 4 * 4 if partial and block > 4 else 0
    joined = window.dilations[2] == 1 and not (skip and window.kernel[2] > 1)
    taps, run = _offsets(window, x, joined), window.kernel[2] * block if joined else block
    ins, outs = blocks_of(ic * factor // group, block), blocks_of(oc * factor // group, lanes)
    image_bytes = ins * 4 * (x.pitch[0] if y.volume else x.pitch[1])
    plan = schedule.direct(
        ctx.cpu, height, width, ins, len(taps) * run, outs, image_bytes, images, images * height * width == 1
    )
    ctx.include("conv.h")
    lane = int(not ctx.cpu.broadcast and run % 4 == 0)
    short = run if run <= 12 and not lane else 0
    tail = outs % plan.vectors
    tiles = plan.tiles

    def kernel(shape: tuple[int, int] | None, vectors: int) -> str:
        if shape is None or not vectors:
            return "0"
        name = f"conv_{shape[0]}x{shape[1]}x{vectors}_p{pitch}" + ("l" if lane else f"_{short}" if short else "")
        if out_pixel == lanes:
            ctx.declare(f"CONV_TILE({name}, {shape[0]}, {shape[1]}, {vectors}, {pitch}, {lane}, {short})")
            return name
        name += f"_o{out_pixel}"
        ctx.declare(
            f"CONV_TILE_APART({name}, {shape[0]}, {shape[1]}, {vectors}, {pitch}, {lane}, {short}, {out_pixel})"
        )
        return name

    whole, widths = (tiles.rows, tiles.columns), (plan.vectors, tail)
    act: Act = attrs.get("act") or NONE
    (sd, sh, _), (od, oh, _) = window.strides, window.step
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    text = f"""\
static const idx tap[] = {{{", ".join(map(str, taps))}}};
static const struct conv c = {{
    .in_image = {sd * x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {sh * x.pitch[2]},
    .out_image = {od * y.pitch[0]}, .out_plane = {y.pitch[1]}, .out_row = {oh * y.pitch[2]}, .out_pixel = {out_pixel},
    .add_image = {od * add_pitch[0]}, .add_plane = {add_pitch[1]}, .add_row = {oh * add_pitch[2]},
    .images = {images}, .together = {plan.together}, .height = {height}, .width = {width}, .blocks = {ins}, .panel = {plan.panel}, .panels_first = {int(plan.panels_first)},
    .taps = {len(taps)}, .run = {run}, .skip = {skip}, .pitch = {pitch}, .vectors = {plan.vectors}, .sections = {outs},
    .rows = {tiles.rows}, .columns = {tiles.columns}, .band = {plan.band}, .add_after = {int(bool(attrs.get("add_after")))},
    {act.fields(ctx)}, .tap = tap,
    .tile = {{{kernel(whole, widths[0])}, {kernel(whole, widths[1])}}},
    .edge = {{{kernel(tiles.edge, widths[0])}, {kernel(tiles.edge, widths[1])}}}, .edge_columns = {tiles.edge[1] if tiles.edge else 0},
}};
"""
    parts = dense(window.weights, group, factor)
    return text + each_sample(node, _call(node, ctx, window, parts, plan.vectors))


def _starts(node: Node, window: Taps) -> tuple[int, int, int]:
    """The elements at which a window's input, output and summand begin."""
    x, y, add = node.inputs[0], node.outputs[0], node.inputs[3]
    assert x is not None

    def at(value: Value, place: tuple[int, int, int]) -> int:
        pitches = (value.pitch[0], value.pitch[2], value.layout.block)
        return value.first + sum(p * q for p, q in zip(place, pitches))

    slices, rows, columns = window.pads
    before = (-slices, -rows, -columns)
    return at(x, before), at(y, window.place), 0 if add is None else at(add, window.place)


def _call(node: Node, ctx: Context, window: Taps, parts: np.ndarray, vectors: int) -> str:
    """The call, or one for each group, with weights and bias packed; `parts` are the groups' weights."""
    x, y, add = node.inputs[0], node.outputs[0], node.inputs[3]
    assert x is not None
    lanes, block = ctx.cpu.lanes, x.layout.block
    ocg, icg = parts.shape[1:3]
    ins, outs = blocks_of(icg, block), blocks_of(ocg, lanes)
    add_plane = add.pitch[1] if add is not None else 0
    start, out, added_at = _starts(node, window)
    added = f"x3 + {added_at}" if add is not None else "0"
    packed = [pack(part, block, lanes, vectors) for part in parts]
    bias = _bias(node)
    biases = [padded(None if bias is None else bias[i * ocg : (i + 1) * ocg], ocg, lanes) for i in range(len(parts))]
    w, b = ctx.constant(np.concatenate(packed)), ctx.constant(np.concatenate(biases))
    if len(parts) == 1:
        return f"conv_direct(&c, f, x0 + {start}, {w}, {b}, {added}, y0 + {out});"
    add_step = f" + g * {outs * add_plane}" if add is not None else ""
    return (
        f"for (int g = 0; g < {len(parts)}; g++)\n"
        f"    conv_direct(&c, f, x0 + {start} + g * {ins * x.pitch[1]}, {w} + g * {packed[0].size}, {b} + g * {outs * lanes}, "
        f"{added}{add_step}, y0 + {out} + g * {outs * y.pitch[1]});"
    )


def _depthwise(node: Node, ctx: Context, window: Taps) -> str:
    x, y, add = node.inputs[0], node.outputs[0], node.inputs[3]
    assert x is not None
    lanes, attrs, channels = ctx.cpu.lanes, node.attrs, x.image[1]
    images, oh, ow = window.size
    (kd, kh, kw), (sd, sh, sw), (dd, dh, dw) = window.kernel, window.strides, window.dilations
    (od, up, _), out_pixel = window.step, window.step[2] * lanes
    blocks, count_taps = blocks_of(channels, lanes), kd * kh * kw
    wide = np.zeros((blocks * lanes, count_taps), np.float32)
    wide[:channels] = window.weights.reshape(channels, count_taps)
    w = ctx.constant(wide.reshape(blocks, lanes, count_taps).transpose(0, 2, 1))
    b = ctx.constant(padded(_bias(node), channels, lanes))
    count = min(ow, math.ceil(ow / math.ceil(ow / ctx.cpu.row)))
    rest = ow % count
    name = f"depthwise_{kd}x{kh}x{kw}_p{sw * lanes}_d{dw * lanes}_{count}_{rest}_o{out_pixel}"
    ctx.include("depthwise.h")
    ctx.declare(f"DEPTHWISE({name}, {kd}, {kh}, {kw}, {sw * lanes}, {dw * lanes}, {count}, {rest}, {out_pixel})")
    act: Act = attrs.get("act") or NONE
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    start, out, added_at = _starts(node, window)
    added = f"x3 + {added_at}" if add is not None else "0"
    return f"""\
static const struct depthwise c = {{
    .in_image = {sd * x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {sh * x.pitch[2]}, .row_pitch = {dh * x.pitch[2]}, .slice_pitch = {dd * x.pitch[0]},
    .out_image = {od * y.pitch[0]}, .out_block = {y.pitch[1]}, .out_row = {up * y.pitch[2]},
    .add_image = {od * add_pitch[0]}, .add_block = {add_pitch[1]}, .add_row = {up * add_pitch[2]},
    .images = {images}, .blocks = {blocks}, .height = {oh}, .width = {ow}, .add_after = {int(bool(attrs.get("add_after")))},
    {act.fields(ctx)},
}};
{each_sample(node, f"{name}(&c, f, x0 + {start}, {w}, {b}, {added}, y0 + {out});")}"""
