"""Convolutions of any rank, group, dilation and type, transposed and deformable ones too, row by row."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.matmul_plain import point
from neo_cli.backends.native.ops.reading import given, integer, integers, needed, text
from neo_cli.backends.native.ops.window import HELP, Window, row_head, taps, window


def convolve(
    ctx: Context, node: Node, x: Value, w: Value, kind: str, left: str, right: str, start: str, finish: str
) -> str:
    """Rows of sums over channels and taps. `left` is the element x at PLACE, `right` the weight at PLACE."""
    ctx.declare(HELP)
    y = node.outputs[0]
    size, out = x.shape[2:], y.shape[2:]
    win = window(node, w.shape[2:], size, out)
    filters, channels, inner = w.shape[0], w.shape[1], math.prod(size)
    group = integer(node, "group", 1)
    head, block = row_head(x.shape[0] * filters, out)

    def action(at: str, tap: str) -> str:
        weight = right.replace("PLACE", f"(o * {channels} + c) * {math.prod(win.kernel)} + {tap}")
        return f"const {kind} l = {weight}; FOR_J acc[j] += l * ({kind}){left.replace('PLACE', at)};"

    image = f"((m / {filters}) * {x.shape[1]} + o / {filters // group} * {channels} + c) * {inner}"
    put = finish.replace("PLACE", f"m * {math.prod(out)} + row * {out[-1]} + first + j")
    return f"""{{ {head}
const idx o = m % {filters};
{kind} acc[{block}];
for (idx j = 0; j < span; j++) acc[j] = {start};
for (idx c = 0; c < {channels}; c++) {{
{taps(win, size, action, image)}
}}
for (idx j = 0; j < span; j++) {{ const {kind} a = acc[j]; {put} }}
}} }}"""


@operator("Conv")
def conv(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, w, bias = needed(node, 0), needed(node, 1), given(node, 2)
    kind = types.compute(x.dtype)
    start = types.load(bias.dtype, "x2", "o") if bias is not None else "0"
    left, right = types.load(x.dtype, "x0", "PLACE"), types.load(w.dtype, "x1", "PLACE")
    return convolve(ctx, node, x, w, kind, left, right, start, types.store(x.dtype, "y0", "PLACE", "a"))


@operator("ConvInteger")
def conv_integer(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, w = needed(node, 0), needed(node, 1)
    left = f"(x0[PLACE] - {point(node, 2, 0, '0')})"
    right = f"x1[PLACE] - {point(node, 3, w.shape[0], 'o')}"
    return convolve(ctx, node, x, w, "pm_i32", left, right, "0", "y0[PLACE] = a;")


@operator("QLinearConv")
def qlinear_conv(node: Node, ctx: Context) -> str:
    """The integer convolution, scaled and rounded to the output's type as ONNX Runtime does."""
    ctx.include("plain_types.h")
    x, w, bias = needed(node, 0), needed(node, 3), given(node, 8)
    low, high = types.limits(node.outputs[0].dtype)
    filters = w.shape[0]
    left = f"(x0[PLACE] - {point(node, 2, 0, '0')})"
    right = f"x3[PLACE] - {point(node, 5, filters, 'o')}"
    factor = f"x1[0] * {point(node, 4, filters, 'o')} / x6[0]"
    finish = f"y0[PLACE] = pm_quantise((float)a * ({factor}), {point(node, 7, 0, '0')}, {low}, {high});"
    return convolve(ctx, node, x, w, "pm_i32", left, right, "x8[o]" if bias is not None else "0", finish)


def transposed_pads(node: Node, win: Window, size: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...]:
    """The padding before each axis; derived from the output's shape when that or auto_pad is given."""
    auto = text(node, "auto_pad", "NOTSET")
    if auto == "NOTSET" and integers(node, "output_shape") is None:
        return win.before
    if auto == "VALID":
        return (0,) * win.rank
    extra = integers(node, "output_padding") or [0] * win.rank
    total = [
        s * (i - 1) + e + r - o for s, i, e, r, o in zip(win.strides, size, extra, win.reach, out)
    ]  # fmt: skip
    return tuple(t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in (max(0, t) for t in total))


@operator("ConvTranspose")
def conv_transpose(node: Node, ctx: Context) -> str:
    """Each row of the result gathers the rows that reach it; along a row the elements are scattered."""
    ctx.include("plain_types.h")
    ctx.declare(HELP)
    x, w, bias, y = needed(node, 0), needed(node, 1), given(node, 2), node.outputs[0]
    size, out = x.shape[2:], y.shape[2:]
    plain = Node(node.op, node.name, [], [], {k: v for k, v in node.attrs.items() if k != "auto_pad"})
    win = window(plain, w.shape[2:], size, out)
    before = transposed_pads(node, win, size, out)
    channels, filters, group = x.shape[1], w.shape[1], integer(node, "group", 1)
    kind, inner = types.compute(x.dtype), math.prod(size)
    head, _ = row_head(x.shape[0] * filters * group, out, block=1 << 30)
    row = ctx.scratch(out[-1], "float64" if kind == "double" else "float32", private=True)
    heads, place, flat, image, kernel = [], [], [], inner, math.prod(win.kernel)
    for d in range(win.rank - 1):
        image, kernel = image // size[d], kernel // win.kernel[d]
        heads.append(
            f"for (idx k{d} = 0; k{d} < {win.kernel[d]}; k{d}++) {{ "
            f"const idx t{d} = o{d} + {before[d]} - k{d} * {win.dilations[d]}, p{d} = t{d} / {win.strides[d]}; "
            f"if (t{d} < 0 || t{d} % {win.strides[d]} || p{d} >= {size[d]}) continue;"
        )
        place.append(f" + p{d} * {image}")
        flat.append(f"k{d} * {kernel} + ")
    step, width = win.strides[-1], out[-1]
    weight = types.load(w.dtype, "x1", f"(c * {filters} + o % {filters}) * {math.prod(win.kernel)} + {''.join(flat)}k")
    source = types.load(x.dtype, "x0", "at + j")
    start = types.load(bias.dtype, "x2", "o") if bias is not None else "0"
    put = types.store(y.dtype, "y0", f"m * {math.prod(out)} + row * {width} + j", f"{row}[j]")
    total = filters * group
    return f"""{{ {head}
const idx o = m % {total}, n = m / {total};
for (idx j = 0; j < {width}; j++) {row}[j] = {start};
for (idx c = o / {filters} * {channels // group}; c < (o / {filters} + 1) * {channels // group}; c++) {{
{" ".join(heads)}
const idx at = (n * {channels} + c) * {inner}{"".join(place)};
for (idx k = 0; k < {win.kernel[-1]}; k++) {{
const idx shift = k * {win.dilations[-1]} - {before[-1]};
const idx low = pm_low(-shift, {step}), high = pm_high({width - 1} - shift, {step}, {size[-1]});
const {kind} l = {weight};
for (idx j = low; j < high; j++) {row}[j * {step} + shift] += l * {source};
}}
{"}" * len(heads)} }}
for (idx j = 0; j < {width}; j++) {put}
}} }}"""


@operator("DeformConv")
def deform_conv(node: Node, ctx: Context) -> str:
    """A convolution whose taps are moved by offsets and read bilinearly."""
    ctx.include("plain_types.h")
    x, w, offset, bias, mask = needed(node, 0), needed(node, 1), needed(node, 2), given(node, 3), given(node, 4)
    if len(x.shape) != 4:
        raise ctx.refuse(node, "only images of two axes")
    (n, channels, high, wide), (filters, per, kh, kw) = x.shape, w.shape
    out_h, out_w = node.outputs[0].shape[2:]
    win = window(node, (kh, kw), (high, wide), (out_h, out_w))
    groups = integer(node, "offset_group", 1)
    kind = types.compute(x.dtype)
    area, taps_ = out_h * out_w, kh * kw
    read = types.load(x.dtype, "x0", "((b * {c} + c) * {h} + yy) * {w} + xx").format(c=channels, h=high, w=wide)
    shift = f"((b * {groups} + c / {channels // groups}) * {taps_} + t)"
    dy = types.load(offset.dtype, "x2", f"({shift} * 2) * {area} + p")
    dx = types.load(offset.dtype, "x2", f"({shift} * 2 + 1) * {area} + p")
    scale = f" * {types.load(mask.dtype, 'x4', f'{shift} * {area} + p')}" if mask is not None else ""
    weight = types.load(w.dtype, "x1", f"(o * {per} + q) * {taps_} + t")
    group = integer(node, "group", 1)
    return f"""{{ SPLIT({n * filters * area});
for (idx i = begin; i < end; i++) {{
const idx p = i % {area}, o = i / {area} % {filters}, b = i / {area * filters}, oy = p / {out_w}, ox = p % {out_w};
{kind} a = {types.load(bias.dtype, "x3", "o") if bias is not None else "0"};
for (idx q = 0; q < {per}; q++) for (idx t = 0; t < {taps_}; t++) {{
const idx c = o / {filters // group} * {per} + q;
const {kind} fy = oy * {win.strides[0]} - {win.before[0]} + t / {kw} * {win.dilations[0]} + {dy};
const {kind} fx = ox * {win.strides[1]} - {win.before[1]} + t % {kw} * {win.dilations[1]} + {dx};
const {kind} y0f = pm_floor{types.suffix(x.dtype)}(fy), x0f = pm_floor{types.suffix(x.dtype)}(fx), wy = fy - y0f, wx = fx - x0f;
{kind} v = 0;
for (int corner = 0; corner < 4; corner++) {{
const {kind} cy = y0f + corner / 2, cx = x0f + corner % 2;
if (!(cy >= 0 && cy < {high} && cx >= 0 && cx < {wide})) continue;
const idx yy = (idx)cy, xx = (idx)cx;
v += (corner / 2 ? wy : 1 - wy) * (corner % 2 ? wx : 1 - wx) * {read};
}}
a += v * {weight}{scale};
}}
{types.store(x.dtype, "y0", "i", "a")}
}} }}"""
