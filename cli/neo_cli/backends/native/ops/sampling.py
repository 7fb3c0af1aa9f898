"""Reading images at computed places: GridSample, RoiAlign, MaxRoiPool, and Col2Im, which puts patches back."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.reading import constant, integer, integers, needed, number, text

REFLECT = """
static inline double pm_reflect(double at, double low, double high)
{
    const double range = high - low;
    if (range <= 0) return low;
    double d = at < low ? low - at : at - low;
    const double turns = pm_floor(d / range);
    d -= turns * range;
    return (long long)turns % 2 == 0 ? (at < low || turns > 0 ? low + d : at) : high - d;
}
"""
MODES = {"bilinear": "linear", "bicubic": "cubic"}


@operator("GridSample")
def grid_sample(node: Node, ctx: Context) -> str:
    """Values at the coordinates of a grid, for images of any number of axes."""
    ctx.include("plain_types.h")
    ctx.declare(REFLECT)
    x, grid, y = needed(node, 0), needed(node, 1), node.outputs[0]
    mode = text(node, "mode", "linear")
    mode, padding = MODES.get(mode, mode), text(node, "padding_mode", "zeros")
    aligned = integer(node, "align_corners", 0)
    size, points = x.shape[2:], math.prod(y.shape[2:])
    rank, area = len(size), math.prod(size)
    taps = {"nearest": 1, "linear": 2, "cubic": 4}[mode]
    lines, inner = [], area
    loops, weight, place, valid = [], [], [], []
    for d, n in enumerate(size):
        inner //= n
        raw = types.load(
            grid.dtype, "x1", f"(i / {points * x.shape[1]} * {points} + i % {points}) * {rank} + {rank - 1 - d}"
        )
        scaled = f"(({raw}) + 1.0) / 2.0 * {n - 1}" if aligned else f"((({raw}) + 1.0) * {n} - 1.0) / 2.0"
        low, high = ("0.0", f"{n - 1}.0") if aligned else ("-0.5", f"{n - 0.5}")
        lines.append(f"double c{d} = {scaled};")
        if padding == "border":
            lines.append(f"c{d} = c{d} < 0 ? 0 : (c{d} > {n - 1} ? {n - 1} : c{d});" if mode != "cubic" else "")
        elif padding == "reflection":
            lines.append(f"c{d} = pm_reflect(c{d}, {low}, {high});" if mode != "cubic" else "")
        base = f"pm_rint(c{d})" if mode == "nearest" else f"pm_floor(c{d})"
        shift = 1 if mode == "cubic" else 0
        lines.append(f"const double b{d} = {base}, t{d} = c{d} - b{d};")
        if mode == "cubic":
            lines.append(
                f"const double w{d}[4] = {{ ((-0.75 * (t{d} + 1) + 3.75) * (t{d} + 1) - 6.0) * (t{d} + 1) + 3.0, "
                f"(1.25 * t{d} - 2.25) * t{d} * t{d} + 1.0, (1.25 * (1 - t{d}) - 2.25) * (1 - t{d}) * (1 - t{d}) + 1.0, "
                f"((-0.75 * (2 - t{d}) + 3.75) * (2 - t{d}) - 6.0) * (2 - t{d}) + 3.0 }};"
            )
        elif mode == "linear":
            lines.append(f"const double w{d}[2] = {{ 1 - t{d}, t{d} }};")
        loops.append(f"for (int k{d} = 0; k{d} < {taps}; k{d}++) {{ double p{d} = b{d} + k{d} - {shift};")
        if padding == "border":
            loops.append(f"p{d} = p{d} < 0 ? 0 : (p{d} > {n - 1} ? {n - 1} : p{d});")
        elif padding == "reflection":
            loops.append(
                f"p{d} = pm_reflect(p{d}, {low}, {high}); p{d} = p{d} < 0 ? 0 : (p{d} > {n - 1} ? {n - 1} : p{d});"
            )
        valid.append(f"p{d} >= 0 && p{d} <= {n - 1}")
        place.append(f"(idx)p{d} * {inner}")
        if mode != "nearest":
            weight.append(f"w{d}[k{d}]")
    value = types.load(x.dtype, "x0", f"i / {points} * {area} + {' + '.join(place)}")
    lines_text, loops_text = "\n".join(line for line in lines if line), "\n".join(loops)
    return f"""{{ SPLIT({y.size});
for (idx i = begin; i < end; i++) {{
{lines_text}
double a = 0;
{loops_text}
if ({" && ".join(valid)}) a += {" * ".join([*weight, value])};
{"}" * rank}
{types.store(y.dtype, "y0", "i", types.convert("a", "float64", y.dtype))}
}} }}"""


@operator("RoiAlign")
def roi_align(node: Node, ctx: Context) -> str:
    """Average or maximum of bilinear samples in the bins of each region."""
    ctx.include("plain_types.h")
    x, rois, y = needed(node, 0), needed(node, 1), node.outputs[0]
    _, channels, high, wide = x.shape
    out_h, out_w = y.shape[2:]
    kind = types.compute(x.dtype)
    scale, ratio = types.literal(number(node, "spatial_scale", 1), x.dtype), integer(node, "sampling_ratio", 0)
    half = (
        text(node, "coordinate_transformation_mode", "half_pixel" if node.version >= 16 else "output_half_pixel")
        == "half_pixel"
    )
    shift = "0.5f" if half else "0"
    least = "" if half else "rh = rh < 1 ? 1 : rh; rw = rw < 1 ? 1 : rw;"
    top = text(node, "mode", "avg") == "max"
    box = [types.load(rois.dtype, "x1", f"r * 4 + {k}") + f" * {scale} - {shift}" for k in range(4)]
    read = types.load(x.dtype, "x0", "at + {0}")
    s = types.suffix(x.dtype)
    corners = ", ".join(
        f"{w} * {read.format(f'{yy} * {wide} + {xx}')}"
        for w, yy, xx in (
            ("(1 - fy) * (1 - fx)", "ya", "xa"),
            ("(1 - fy) * fx", "ya", "xb"),
            ("fy * (1 - fx)", "yb", "xa"),
            ("fy * fx", "yb", "xb"),
        )
    )
    gather = f"const {kind} v[4] = {{ {corners} }};"
    step = "for (int q = 0; q < 4; q++) a = v[q] > a ? v[q] : a;" if top else "a += v[0] + v[1] + v[2] + v[3];"
    return f"""{{ SPLIT({y.size});
for (idx i = begin; i < end; i++) {{
const idx ox = i % {out_w}, oy = i / {out_w} % {out_h}, c = i / {out_w * out_h} % {channels}, r = i / {out_w * out_h * channels};
const {kind} x_0 = {box[0]}, y_0 = {box[1]};
{kind} rw = ({box[2]}) - x_0, rh = ({box[3]}) - y_0; {least}
const {kind} bh = rh / {out_h}, bw = rw / {out_w};
const idx gh = {ratio or f"(idx)pm_ceil{s}(bh)"}, gw = {ratio or f"(idx)pm_ceil{s}(bw)"};
const idx at = ((idx)x2[r] * {channels} + c) * {high * wide};
{kind} a = {"-PM_INF" if top else "0"};
for (idx sy = 0; sy < gh; sy++) for (idx sx = 0; sx < gw; sx++) {{
{kind} py = y_0 + oy * bh + (sy + ({kind})0.5) * bh / gh, px = x_0 + ox * bw + (sx + ({kind})0.5) * bw / gw;
if (py < -1 || py > {high} || px < -1 || px > {wide}) {{ {"a = a < 0 ? 0 : a;" if top else ""} continue; }}
py = py < 0 ? 0 : py; px = px < 0 ? 0 : px;
idx ya = (idx)py, xa = (idx)px, yb = ya + 1, xb = xa + 1;
if (ya >= {high - 1}) {{ ya = yb = {high - 1}; py = ya; }}
if (xa >= {wide - 1}) {{ xa = xb = {wide - 1}; px = xa; }}
const {kind} fy = py - ya, fx = px - xa;
{gather}
{step}
}}
{types.store(y.dtype, "y0", "i", "a" if top else "gh * gw > 0 ? a / (gh * gw) : 0")}
}} }}"""


@operator("MaxRoiPool")
def max_roi_pool(node: Node, ctx: Context) -> str:
    """The maximum of each bin of a region given in whole pixels."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    _, channels, high, wide = x.shape
    out_h, out_w = y.shape[2:]
    scale = types.literal(number(node, "spatial_scale", 1), "float32")
    edges = [
        f"(idx)pm_roundf((float){types.load(needed(node, 1).dtype, 'x1', f'r * 5 + {k}')} * {scale})"
        for k in (1, 2, 3, 4)
    ]
    kind = types.compute(x.dtype)
    return f"""{{ SPLIT({y.size});
for (idx i = begin; i < end; i++) {{
const idx ox = i % {out_w}, oy = i / {out_w} % {out_h}, c = i / {out_w * out_h} % {channels}, r = i / {out_w * out_h * channels};
const idx x_0 = {edges[0]}, y_0 = {edges[1]}, x_1 = {edges[2]}, y_1 = {edges[3]};
const float bh = (float)(y_1 - y_0 + 1 > 1 ? y_1 - y_0 + 1 : 1) / {out_h}, bw = (float)(x_1 - x_0 + 1 > 1 ? x_1 - x_0 + 1 : 1) / {out_w};
idx ys = (idx)pm_floorf(oy * bh) + y_0, ye = (idx)pm_ceilf((oy + 1) * bh) + y_0, xs = (idx)pm_floorf(ox * bw) + x_0, xe = (idx)pm_ceilf((ox + 1) * bw) + x_0;
ys = ys < 0 ? 0 : ys; xs = xs < 0 ? 0 : xs; ye = ye > {high} ? {high} : ye; xe = xe > {wide} ? {wide} : xe;
{kind} a = ye <= ys || xe <= xs ? 0 : -PM_INF;
for (idx py = ys; py < ye; py++) for (idx px = xs; px < xe; px++) {{
const {kind} v = {types.load(x.dtype, "x0", f"(((idx)x1[r * 5] * {channels} + c) * {high} + py) * {wide} + px")}; a = v > a ? v : a; }}
{types.store(y.dtype, "y0", "i", "a")}
}} }}"""


@operator("Col2Im")
def col2im(node: Node, ctx: Context) -> str:
    """Overlapping patches added back into an image: each pixel gathers what belongs to it."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    image = [int(v) for v in np.asarray(constant(node, ctx, 1)).reshape(-1)]
    block = [int(v) for v in np.asarray(constant(node, ctx, 2)).reshape(-1)]
    rank = len(image)
    steps, gaps = integers(node, "strides") or [1] * rank, integers(node, "dilations") or [1] * rank
    pads = integers(node, "pads") or [0] * (2 * rank)
    counts = [
        (n + pads[d] + pads[d + rank] - gaps[d] * (block[d] - 1) - 1) // steps[d] + 1 for d, n in enumerate(image)
    ]  # fmt: skip
    loops, tap, place, rest = [], "0", "0", math.prod(image)
    for d, n in enumerate(image):
        rest //= n
        loops.append(
            f"for (idx k{d} = 0; k{d} < {block[d]}; k{d}++) {{ const idx t{d} = i / {rest} % {n} + {pads[d]} - k{d} * {gaps[d]}, "
            f"p{d} = t{d} / {steps[d]}; if (t{d} < 0 || t{d} % {steps[d]} || p{d} >= {counts[d]}) continue;"
        )
        tap, place = f"({tap}) * {block[d]} + k{d}", f"({place}) * {counts[d]} + p{d}"
    area, patches = math.prod(image), math.prod(counts)
    load = types.load(x.dtype, "x0", f"(i / {area} * {math.prod(block)} + {tap}) * {patches} + {place}")
    return f"""{{ SPLIT({y.size});
for (idx i = begin; i < end; i++) {{
{types.compute(x.dtype)} a = 0;
{" ".join(loops)}
a += {load};
{"}" * rank}
{types.store(y.dtype, "y0", "i", "a")}
}} }}"""
