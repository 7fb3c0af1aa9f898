"""Convolutions and products of 8-bit numbers on blocked images: exact integer sums, scaled and rounded once."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.cpus import Int8
from neo_cli.backends.native.fast.activations import number
from neo_cli.backends.native.fast.conv import blocks_of, merge
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops.reading import needed

BLOCK = 16  # channels of a block: a vector of 128 bits, whatever the processor
KINDS = {"int8": 0, "uint8": 0, "int32": 1, "float32": 2}


@operator("fast.QConv")
def conv(node: Node, ctx: Context) -> str:
    """inputs: x, weights [OC, IC / group, KH, KW] of int8 and zero point 0, bias or None (int32), an addend or None; a zero
    point of x, when it is known only at run time (then there is one group and no padding).

    attrs: the window, `factor` (float32, one for each output channel), `low`, `high` and `zero` of the output in its own
    type; with an addend also `sum` (see `finish`). The output is 8-bit in blocks, or row-major int32 or float32.
    """
    x, weights = node.inputs[0], node.inputs[1]
    assert x is not None and weights is not None and weights.const is not None
    text = border(node.outputs[0], ctx)
    if depthwise_fits(weights.const, node.attrs["group"], x, node.outputs[0]):
        return text + _depthwise(node, ctx)
    return text + _direct(node, ctx)


def depthwise_fits(weights: np.ndarray, group: int, x: Value, y: Value) -> bool:
    """One input and one output channel a group, few taps, and bytes as a result."""
    one = weights.shape[1] == 1 and group == weights.shape[0] == x.image[1]
    return one and math.prod(weights.shape[2:]) <= 49 and KINDS[y.dtype] == 0 and x.layout.block == BLOCK


def machine(ctx: Context, header: str) -> Int8:
    """Include a kernel file, compiled for the way in which this processor multiplies."""
    int8 = ctx.cpu.int8
    ctx.define(f"Q_{int8.kind.upper()}")
    ctx.define(f"QW {int8.lanes}")
    if int8.dtype == "int8":
        ctx.define("Q_SIGNED")
    ctx.include(header)
    return int8


def border(value: Value, ctx: Context, pointer: str = "y0") -> str:
    """The statement that fills the border of a value with what stands for zero; nothing when it has none."""
    if ctx.inside or not any(value.layout.border):
        return ""
    machine(ctx, "int8_blocked.h")
    n, c, h, w = value.image
    top, left, bottom, right = value.layout.border
    return (
        f"q_border(f, {pointer}, {n * blocks_of(c, value.layout.block)}, {h + top + bottom}, {w + left + right}, "
        f"{value.layout.block}, {top}, {left}, {bottom}, {right}, {value.layout.fill});\n"
    )


def finish(node: Node) -> str:
    """The initialiser of struct qfinish: limits before the zero point is added, and the sum that follows.

    attr `sum`: (own scale, the addend's scale, the addend's zero point, whether the own one comes first, scale, zero point,
    low, high of the result, zero point of the addend's own type). ONNX Runtime adds in this order, in float.
    """
    y, add, attrs = node.outputs[0], node.inputs[3], node.attrs
    if KINDS[y.dtype]:
        return f"{{.low = {number(attrs['low'])}, .high = {number(attrs['high'])}}}"
    low, high = attrs["low"] - attrs["zero"], attrs["high"] - attrs["zero"]
    if add is None:
        return f"{{.low = {number(low)}, .high = {number(high)}, .zero = {y.layout.fill}}}"
    total = attrs["sum"]
    own, other = (float(np.float32(total[k]) / np.float32(total["scale"])) for k in ("own", "other"))
    parts = np.float32(own * attrs["zero"]), np.float32(other * total["other_zero"])
    fixed = float(np.float32(total["zero"]) - (parts[0] + parts[1]))
    shift = y.layout.fill - total["zero"]  # from the type of the tensor to that of its blocks
    return (
        f"{{.low = {number(low)}, .high = {number(high)}, .zero = {attrs['zero']}, .own = {number(own)}, "
        f".other = {number(other)}, .fixed = {number(fixed)}, .add_low = {number(total['low'])}, "
        f".add_high = {number(total['high'])}, .own_first = {int(total['own_first'])}, "
        f".add_shift = {add.layout.fill - total['other_zero']}, .add_zero = {shift}}}"
    )


def arranged(quads: np.ndarray, int8: Int8) -> np.ndarray:
    """[..., 16, 4], four input channels of sixteen output channels, in the order and type in which they are multiplied."""
    if int8.kind in ("vnni", "dot"):
        return quads
    wide = quads.astype(np.int16)
    if int8.kind == "wide":
        return wide.swapaxes(-1, -2)
    parts = wide.reshape(*wide.shape[:-2], BLOCK // int8.lanes, int8.lanes, 4)
    return np.stack([parts[..., [0, 2]], parts[..., [1, 3]]], axis=-3)


def pack(weights: np.ndarray, block: int, vectors: int, int8: Int8) -> np.ndarray:
    """[OC, IC, KH, KW] in reading order: [group of output blocks][IC block][KH][KW][quad][vectors][16][4]."""
    oc, ic, kh, kw = weights.shape
    outs, ins = blocks_of(oc, BLOCK), blocks_of(ic, block)
    wide = np.zeros((outs * BLOCK, ins * block, kh, kw), np.int8)
    wide[:oc, :ic] = weights
    parts = []
    whole = outs // vectors * vectors
    for start, end, size in ((0, whole, vectors), (whole, outs, outs - whole)):
        if end > start:
            cut = wide[start * BLOCK : end * BLOCK]
            cut = cut.reshape((end - start) // size, size, BLOCK, ins, block // 4, 4, kh, kw)
            parts.append(arranged(cut.transpose(0, 3, 6, 7, 4, 1, 2, 5), int8).reshape(-1))
    return np.concatenate(parts)


def dense(weights: np.ndarray, group: int, factor: int) -> np.ndarray:
    """[group / factor, OC, IC, KH, KW] with `factor` groups on the diagonal of each matrix."""
    oc, icg, kh, kw = weights.shape
    ocg = oc // group
    parts = weights.reshape(group // factor, factor, ocg, icg, kh, kw)
    made = np.zeros((group // factor, factor * ocg, factor * icg, kh, kw), weights.dtype)
    for i in range(factor):
        made[:, i * ocg : (i + 1) * ocg, i * icg : (i + 1) * icg] = parts[:, i]
    return made


def _geometry(y: Value, last: bool) -> tuple[int, int, int, int]:
    """(N, C, H, W) of an output that may be row-major."""
    return (1, y.shape[-1], 1, y.size // y.shape[-1]) if last else y.image


def _pitches(y: Value, last: bool) -> str:
    """Where elements of the output lie, in bytes, as fields of struct qconv."""
    if y.layout.block:
        image, plane, row = y.pitch
        return f".out_image = {image}, .out_plane = {plane}, .out_row = {row}, .out_pixel = {BLOCK}"
    _, c, h, w = _geometry(y, last)
    pixel, channel = (c, 1) if last else (1, h * w)
    return (
        f".out_image = {c * h * w * 4}, .out_plane = {BLOCK * channel * 4}, .out_row = {w * pixel * 4}, "
        f".out_pixel = {pixel * 4}, .out_channel = {channel * 4}"
    )


def _flat(node: Node) -> bool:
    """A 1x1 convolution whose pixels lie in one row in every buffer."""
    values = [v for v in (node.inputs[0], node.inputs[3], node.outputs[0]) if v is not None]
    return (
        needed(node, 1).shape[2:] == (1, 1)
        and node.attrs["strides"] == (1, 1)
        and not any(node.attrs["pads"])
        and not any(any(v.layout.border) for v in values)
    )


def _direct(node: Node, ctx: Context) -> str:
    x, y, add, attrs = needed(node, 0), node.outputs[0], node.inputs[3], node.attrs
    weights = needed(node, 1).array
    machine(ctx, "int8_conv.h")
    block = x.layout.block
    (_, ic, _, _), (n, oc, oh, ow) = x.image, _geometry(y, attrs["last"])
    group, (kh, kw) = attrs["group"], weights.shape[2:]
    factor = merge(group, ic // group, oc // group, BLOCK)
    parts = dense(weights, group, factor)
    (sh, sw), (dh, dw) = attrs["strides"], attrs["dilations"]
    height, width = (1, oh * ow) if _flat(node) else (oh, ow)
    rest = -(-(parts.shape[2] % block) // 4) or block // 4  # quads of the last block that hold channels
    joined = dw == 1 and (rest == block // 4 or kw == 1)
    taps = [i * dh * x.pitch[2] + j * dw * block for i in range(kh) for j in range(1 if joined else kw)]
    steps, last = (block // 4 * kw, rest * kw) if joined else (block // 4, rest)
    ins, outs = blocks_of(parts.shape[2], block), blocks_of(parts.shape[1], BLOCK)
    plan = schedule.quantised(ctx.cpu, height, width, outs, ins * x.pitch[1])
    tiles, pitch = plan.tiles, sw * block

    def kernel(shape: tuple[int, int] | None, vectors: int) -> str:
        if shape is None or not vectors:
            return "0"
        name = f"qconv_{shape[0]}x{shape[1]}x{vectors}_p{pitch}"
        ctx.declare(f"QCONV_TILE({name}, {shape[0]}, {shape[1]}, {vectors}, {pitch})")
        return name

    whole, widths = (tiles.rows, tiles.columns), (plan.vectors, outs % plan.vectors)
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    text = f"""\
static const idx tap[] = {{{", ".join(map(str, taps))}}};
static const struct qconv c = {{
    .in_image = {x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {sh * x.pitch[2]}, {_pitches(y, attrs["last"])},
    .add_image = {add_pitch[0]}, .add_plane = {add_pitch[1]}, .add_row = {add_pitch[2]},
    .images = {n}, .height = {height}, .width = {width}, .blocks = {ins}, .taps = {len(taps)}, .steps = {steps},
    .last_steps = {last}, .vectors = {plan.vectors}, .sections = {outs}, .channels = {parts.shape[1]},
    .rows = {tiles.rows}, .columns = {tiles.columns}, .band = {plan.band}, .kind = {KINDS[y.dtype]}, .tap = tap,
    .finish = {finish(node)},
    .tile = {{{kernel(whole, widths[0])}, {kernel(whole, widths[1])}}},
    .edge = {{{kernel(tiles.edge, widths[0])}, {kernel(tiles.edge, widths[1])}}}, .edge_columns = {tiles.edge[1] if tiles.edge else 0},
}};
"""
    before, own = _start(node, ctx)
    return before + text + _call(node, ctx, parts, plan.vectors, pitch, own)


def _call(node: Node, ctx: Context, parts: np.ndarray, vectors: int, pitch: int, own: str) -> str:
    """The call, or one for each group, with weights, bias and factors packed; `parts` are the groups' weights."""
    x, y, add, attrs = node.inputs[0], node.outputs[0], node.inputs[3], node.attrs
    assert x is not None
    block, (ocg, icg) = x.layout.block, parts.shape[1:3]
    ins, outs = blocks_of(icg, block), blocks_of(ocg, BLOCK)
    start = x.first - attrs["pads"][0] * x.pitch[2] - attrs["pads"][1] * block
    packed = [pack(part, block, vectors, ctx.cpu.int8) for part in parts]
    bias, factor = (a.reshape(len(parts), ocg) for a in (offsets(node), attrs["factor"]))
    w = ctx.constant(np.concatenate(packed))
    b, k = (ctx.constant(np.concatenate([padded(row) for row in rows])) for rows in (bias, factor))
    bytes_ = packed[0].nbytes
    step = f"g * {outs} * c.out_plane" if not y.layout.block and len(parts) > 1 else f"g * {outs * y.pitch[1]}"
    added = f"x3 + {add.first} + g * {outs * add.pitch[1]}" if add is not None else "0"
    first = y.first if y.layout.block else 0
    if len(parts) > 1 and not y.layout.block:  # groups end within a block of the scattered channels
        step = f"g * {ocg} * c.out_channel"
    return (
        f"for (int g = 0; g < {len(parts)}; g++)\n"
        f"    qconv_direct(&c, f, x0 + {start} + g * {ins * x.pitch[1]}, (const int8_t *){w} + g * {bytes_}, "
        f"{own or b} + g * {outs * BLOCK}, {k} + g * {outs * BLOCK}, {added}, (char *)y0 + {first} + {step}, {pitch});"
    )


def _start(node: Node, ctx: Context) -> tuple[str, str]:
    """The step that makes the sums' first values when x's zero point is known only at run time, and where these are."""
    if len(node.inputs) < 5:
        return "", ""
    sums = padded(needed(node, 1).array.sum(axis=(1, 2, 3), dtype=np.int32))
    start, base, k = ctx.scratch(len(sums), "int32"), ctx.constant(padded(offsets(node))), ctx.constant(sums)
    made = f"for (idx i = begin; i < end; i++) {start}[i] = {base}[i] - (int32_t)x4[0] * {k}[i];"
    return f"{{ SPLIT({len(sums)}); {made} }}\nPHASE;\n", start


def offsets(node: Node) -> np.ndarray:
    """The sums' first values, int32 [OC]: the bias, and what the zero point of x adds to each sum."""
    x, weights, bias = node.inputs[0], node.inputs[1], node.inputs[2]
    assert x is not None and weights is not None and weights.const is not None
    sums = weights.const.astype(np.int64).sum(axis=(1, 2, 3))
    start = -x.layout.fill * sums + (0 if bias is None else np.asarray(bias.const, np.int64))
    return (start & 0xFFFFFFFF).astype(np.uint32).view(np.int32)  # sums wrap, as ONNX Runtime's do


def padded(row: np.ndarray) -> np.ndarray:
    """One number a channel, for whole blocks."""
    made = np.zeros(blocks_of(len(row), BLOCK) * BLOCK, row.dtype)
    made[: len(row)] = row
    return made


def _depthwise(node: Node, ctx: Context) -> str:
    x, y, attrs = needed(node, 0), node.outputs[0], node.attrs
    assert node.inputs[3] is None
    weights = needed(node, 1).array
    int8 = machine(ctx, "int8_depthwise.h")
    (n, ic, _, _), (_, _, oh, ow) = x.image, y.image
    (kh, kw), (sh, sw), (dh, dw) = weights.shape[2:], attrs["strides"], attrs["dilations"]
    blocks, count = blocks_of(ic, BLOCK), kh * kw
    taps = [i * dh * x.pitch[2] + j * dw * BLOCK for i in range(kh) for j in range(kw)]
    wide = np.zeros((blocks * BLOCK, -(-count // 4) * 4), np.int8)
    wide[:ic, :count] = weights.reshape(ic, count)
    channels = wide.reshape(blocks, BLOCK, -1)
    if int8.kind == "wide":  # [block][tap][16]
        packed = channels.transpose(0, 2, 1).astype(np.int16)
    else:  # [block][quad of taps][quad of channels][pixels of a vector][4 channels][4 taps]
        quads = channels.reshape(blocks, 4, 4, -1, 4).transpose(0, 3, 1, 2, 4)[:, :, :, None]
        quads = np.broadcast_to(quads, (*quads.shape[:3], int8.lanes // 4, 4, 4)).reshape(blocks, -1, 4, int8.lanes, 4)
        packed = (
            quads
            if int8.kind != "madd"
            else np.stack([quads[..., [0, 2]], quads[..., [1, 3]]], axis=3).astype(np.int16)
        )
    pixels = 1 if int8.kind == "wide" else int8.lanes // 4
    bias, factor = (
        np.broadcast_to(padded(a).reshape(blocks, 4, 1, 4), (blocks, 4, pixels, 4))
        for a in (offsets(node), attrs["factor"])
    )
    start = x.first - attrs["pads"][0] * x.pitch[2] - attrs["pads"][1] * BLOCK
    name = f"qdepthwise_{count}_p{sw * BLOCK}"
    ctx.declare(f"QDEPTHWISE({name}, {count}, {sw * BLOCK})")
    return f"""\
static const idx tap[] = {{{", ".join(map(str, taps))}}};
static const struct qdepthwise c = {{
    .in_image = {x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {sh * x.pitch[2]},
    .out_image = {y.pitch[0]}, .out_block = {y.pitch[1]}, .out_row = {y.pitch[2]},
    .images = {n}, .blocks = {blocks}, .height = {oh}, .width = {ow}, .tap = tap,
    .finish = {finish(node)},
}};
{name}(&c, f, x0 + {start}, (const int8_t *){ctx.constant(packed)}, {ctx.constant(bias)}, {ctx.constant(factor)}, y0 + {y.first});"""
