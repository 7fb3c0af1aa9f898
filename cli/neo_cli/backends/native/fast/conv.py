"""Convolutions and products with constant matrices, on blocked images."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.fast.activations import NONE, Act
from neo_cli.backends.native.fast.images import border
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator


@operator("fast.Conv")
def conv(node: Node, ctx: Context) -> str:
    """inputs: x, weights [OC, IC / group, KH, KW], bias or None, a value to add or None (attr `add_after`: after act)."""
    x, weights = node.inputs[0], node.inputs[1]
    assert x is not None and weights is not None and weights.const is not None
    y = node.outputs[0]
    text = border(y, ctx)
    if depthwise_fits(weights.const, node.attrs["group"], x):
        return text + _depthwise(node, ctx)
    return text + _direct(node, ctx)


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
    """[group / factor, OC, IC, KH, KW] with `factor` groups on the diagonal of each matrix."""
    oc, icg, kh, kw = weights.shape
    ocg = oc // group
    if factor == 1:
        return weights.reshape(group, ocg, icg, kh, kw)
    parts = weights.reshape(group // factor, factor, ocg, icg, kh, kw)
    made = np.zeros((group // factor, factor * ocg, factor * icg, kh, kw), np.float32)
    for i in range(factor):
        made[:, i * ocg : (i + 1) * ocg, i * icg : (i + 1) * icg] = parts[:, i]
    return made


def pack(weights: np.ndarray, block: int, lanes: int, vectors: int) -> np.ndarray:
    """[OC, IC, KH, KW] in reading order: [group of vectors][IC block][KH][KW][ic][vectors * lanes]."""
    oc, ic, kh, kw = weights.shape
    outs, ins = blocks_of(oc, lanes), blocks_of(ic, block)
    wide = np.zeros((outs * lanes, ins * block, kh, kw), np.float32)
    wide[:oc, :ic] = weights
    parts = []
    for start, count in ((0, outs // vectors), (outs // vectors * vectors, 1 if outs % vectors else 0)):
        if count:
            size = vectors if start == 0 and outs >= vectors else outs % vectors
            cut = wide[start * lanes : (start + count * size) * lanes]
            cut = cut.reshape(count, size, lanes, ins, block, kh, kw).transpose(0, 3, 5, 6, 4, 1, 2)
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


def flat(node: Node) -> bool:
    """A 1x1 convolution whose pixels lie in one row in every buffer."""
    kh, kw = node.inputs[1].const.shape[2:]  # type: ignore[union-attr]
    values = [v for v in (node.inputs[0], node.inputs[3], node.outputs[0]) if v is not None]
    return (
        kh == kw == 1
        and not node.attrs.get("rows")
        and tuple(node.attrs["strides"]) == (1, 1)
        and not any(node.attrs["pads"])
        and not any(any(v.layout.border) for v in values)
    )


def _direct(node: Node, ctx: Context) -> str:
    x, y, add = node.inputs[0], node.outputs[0], node.inputs[3]
    assert x is not None
    weights: np.ndarray = node.inputs[1].const  # type: ignore[union-attr,assignment]
    lanes, block, attrs = ctx.cpu.lanes, x.layout.block, node.attrs
    (n, ic, _, _), (_, oc, oh, ow) = x.image, y.image
    group = attrs["group"]
    factor = merge(group, ic // group, oc // group, lanes)
    parts = dense(weights, group, factor)
    kh, kw = weights.shape[2:]
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    height, width = (1, oh * ow) if flat(node) else (oh, ow)
    pitch = sw * block
    partial = ic * factor // group % block  # padding of the last block is skipped, a multiple of 4 for lanes
    skip = (block - partial) // 4 * 4 if partial and block > 4 else 0
    joined = dw == 1 and not (skip and kw > 1)
    taps = [i * dh * x.pitch[2] for i in range(kh)] if joined else [
        i * dh * x.pitch[2] + j * dw * block for i in range(kh) for j in range(kw)
    ]  # fmt: skip
    run = kw * block if joined else block
    ins, outs = blocks_of(ic * factor // group, block), blocks_of(oc * factor // group, lanes)
    plan = schedule.direct(ctx.cpu, height, width, ins, len(taps) * run, outs, ins * x.pitch[1] * 4)
    ctx.include("conv.h")
    lane = int(not ctx.cpu.broadcast and run % 4 == 0)
    short = run if run <= 12 and not lane else 0
    tail = plan.vectors > 1 and outs % plan.vectors
    tiles = plan.tiles

    def kernel(shape: tuple[int, int] | None, vectors: int) -> str:
        if shape is None or not vectors:
            return "0"
        name = f"conv_{shape[0]}x{shape[1]}x{vectors}_p{pitch}" + ("l" if lane else f"_{short}" if short else "")
        ctx.declare(f"CONV_TILE({name}, {shape[0]}, {shape[1]}, {vectors}, {pitch}, {lane}, {short})")
        return name

    whole, widths = (tiles.rows, tiles.columns), (plan.vectors, 1 if tail else 0)
    act: Act = attrs.get("act") or NONE
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    text = f"""\
static const idx tap[] = {{{", ".join(map(str, taps))}}};
static const struct conv c = {{
    .in_image = {x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {sh * x.pitch[2]},
    .out_image = {y.pitch[0]}, .out_plane = {y.pitch[1]}, .out_row = {y.pitch[2]},
    .add_image = {add_pitch[0]}, .add_plane = {add_pitch[1]}, .add_row = {add_pitch[2]},
    .images = {n}, .height = {height}, .width = {width}, .blocks = {ins}, .panel = {plan.panel}, .panels_first = {int(plan.panels_first)},
    .taps = {len(taps)}, .run = {run}, .skip = {skip}, .pitch = {pitch}, .vectors = {plan.vectors}, .sections = {outs},
    .rows = {tiles.rows}, .columns = {tiles.columns}, .band = {plan.band}, .add_after = {int(bool(attrs.get("add_after")))},
    {act.fields(ctx)}, .tap = tap,
    .tile = {{{kernel(whole, widths[0])}, {kernel(whole, widths[1])}}},
    .edge = {{{kernel(tiles.edge, widths[0])}, {kernel(tiles.edge, widths[1])}}}, .edge_columns = {tiles.edge[1] if tiles.edge else 0},
}};
"""
    return text + _call(node, ctx, parts, plan.vectors)


def _call(node: Node, ctx: Context, parts: np.ndarray, vectors: int) -> str:
    """The call, or one for each group, with weights and bias packed; `parts` are the groups' weights."""
    x, y, add, attrs = node.inputs[0], node.outputs[0], node.inputs[3], node.attrs
    assert x is not None
    lanes, block = ctx.cpu.lanes, x.layout.block
    ocg, icg = parts.shape[1:3]
    ins, outs = blocks_of(icg, block), blocks_of(ocg, lanes)
    add_plane = add.pitch[1] if add is not None else 0
    start = x.first - attrs["pads"][0] * x.pitch[2] - attrs["pads"][1] * block
    added = f"x3 + {add.first}" if add is not None else "0"
    packed = [pack(part, block, lanes, vectors) for part in parts]
    bias = _bias(node)
    biases = [padded(None if bias is None else bias[i * ocg : (i + 1) * ocg], ocg, lanes) for i in range(len(parts))]
    w, b = ctx.constant(np.concatenate(packed)), ctx.constant(np.concatenate(biases))
    if len(parts) == 1:
        return f"conv_direct(&c, f, x0 + {start}, {w}, {b}, {added}, y0 + {y.first});"
    add_step = f" + g * {outs * add_plane}" if add is not None else ""
    return (
        f"for (int g = 0; g < {len(parts)}; g++)\n"
        f"    conv_direct(&c, f, x0 + {start} + g * {ins * x.pitch[1]}, {w} + g * {packed[0].size}, {b} + g * {outs * lanes}, "
        f"{added}{add_step}, y0 + {y.first} + g * {outs * y.pitch[1]});"
    )


def _depthwise(node: Node, ctx: Context) -> str:
    x, y, add = node.inputs[0], node.outputs[0], node.inputs[3]
    assert x is not None
    weights: np.ndarray = node.inputs[1].const  # type: ignore[union-attr,assignment]
    lanes, attrs = ctx.cpu.lanes, node.attrs
    (n, ic, _, _), (_, _, oh, ow) = x.image, y.image
    kh, kw = weights.shape[2:]
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    blocks = blocks_of(ic, lanes)
    wide = np.zeros((blocks * lanes, kh * kw), np.float32)
    wide[:ic] = weights.reshape(ic, kh * kw)
    w = ctx.constant(wide.reshape(blocks, lanes, kh * kw).transpose(0, 2, 1))
    b = ctx.constant(padded(_bias(node), ic, lanes))
    limit = 14 if lanes == 16 else 7 if not ctx.cpu.broadcast else 4
    count = min(ow, math.ceil(ow / math.ceil(ow / limit)))
    rest = ow % count
    name = f"depthwise_{kh}x{kw}_p{sw * lanes}_d{dw * lanes}_{count}_{rest}"
    ctx.include("depthwise.h")
    ctx.declare(f"DEPTHWISE({name}, {kh}, {kw}, {sw * lanes}, {dw * lanes}, {count}, {rest})")
    act: Act = attrs.get("act") or NONE
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    start = x.first - attrs["pads"][0] * x.pitch[2] - attrs["pads"][1] * lanes
    added = f"x3 + {add.first}" if add is not None else "0"
    return f"""\
static const struct depthwise c = {{
    .in_image = {x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {sh * x.pitch[2]}, .row_pitch = {dh * x.pitch[2]},
    .out_image = {y.pitch[0]}, .out_block = {y.pitch[1]}, .out_row = {y.pitch[2]},
    .add_image = {add_pitch[0]}, .add_block = {add_pitch[1]}, .add_row = {add_pitch[2]},
    .images = {n}, .blocks = {blocks}, .height = {oh}, .width = {ow}, .add_after = {int(bool(attrs.get("add_after")))},
    {act.fields(ctx)},
}};
{name}(&c, f, x0 + {start}, {w}, {b}, {added}, y0 + {y.first});"""
