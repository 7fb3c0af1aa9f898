"""Pooling: maximum (with indices), average, Lp, global ones, and the inverse of maximum pooling."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.expressions import extreme
from neo_cli.backends.native.ops.loops import strides
from neo_cli.backends.native.ops.reading import integer, integers, needed
from neo_cli.backends.native.ops.reduce import fold, reduce_loop
from neo_cli.backends.native.ops.window import HELP, Window, row_head, taps, window


def _pool(node: Node, ctx: Context, start: str, step: str, finish: str) -> str:
    """Rows of accumulators `acc[j]`; `step` has the element as v and the accumulator as a."""
    ctx.include("plain_types.h")
    ctx.declare(HELP)
    x, y = needed(node, 0), node.outputs[0]
    size, out = x.shape[2:], y.shape[2:]
    win = _window(node)
    kind = types.compute(x.dtype)
    head, block = row_head(math.prod(x.shape[:2]), out)

    def action(at: str, tap: str) -> str:
        return f"FOR_J {{ const {kind} v = {types.load(x.dtype, 'x0', at)}; {kind} a = acc[j]; acc[j] = {step}; }}"

    place = f"m * {math.prod(out)} + row * {out[-1]} + first + j"
    return f"""{{ {head}
{kind} acc[{block}];
for (idx j = 0; j < span; j++) acc[j] = {start};
{taps(win, size, action, f"m * {math.prod(size)}")}
for (idx j = 0; j < span; j++) {{ const {kind} a = acc[j]; {types.store(y.dtype, "y0", place, finish)} }}
}} }}"""


def _window(node: Node) -> Window:
    x, y = needed(node, 0), node.outputs[0]
    return window(node, integers(node, "kernel_shape") or [], x.shape[2:], y.shape[2:])


@operator("MaxPool")
def max_pool(node: Node, ctx: Context) -> str:
    x = needed(node, 0)
    if len(node.outputs) > 1 and node.outputs[1].size:
        return _max_with_indices(node, ctx)
    low = types.literal(types.limits(x.dtype)[0], x.dtype)
    return _pool(node, ctx, low, extreme(">", "v", "a", x.dtype), "a")


def _max_with_indices(node: Node, ctx: Context) -> str:
    """The first largest element and its place in the whole input."""
    ctx.include("plain_types.h")
    x, y, win = needed(node, 0), node.outputs[0], _window(node)
    size, out = x.shape[2:], y.shape[2:]
    kind = types.compute(x.dtype)
    loops, place, flat = [], [], []
    order = strides(size)
    if integer(node, "storage_order", 0):  # column-major numbers for the indices
        columns = list(reversed(strides(tuple(reversed(size)))))
    else:
        columns = list(order)
    rest = math.prod(out)
    for d in range(win.rank):
        rest //= out[d]
        loops.append(
            f"for (idx k{d} = 0; k{d} < {win.kernel[d]}; k{d}++) {{ const idx p{d} = q / {rest} % {out[d]} * {win.strides[d]}"
            f" - {win.before[d]} + k{d} * {win.dilations[d]}; if (p{d} < 0 || p{d} >= {size[d]}) continue;"
        )
        place.append(f"p{d} * {order[d]}")
        flat.append(f"p{d} * {columns[d]}")
    low = types.literal(types.limits(x.dtype)[0], x.dtype)
    area = math.prod(size)
    return f"""{{ SPLIT({y.size});
for (idx i = begin; i < end; i++) {{
const idx q = i % {math.prod(out)}, c = i / {math.prod(out)};
{kind} best = {low}; idx where = -1;
{" ".join(loops)}
const {kind} v = {types.load(x.dtype, "x0", f"c * {area} + {' + '.join(place)}")};
if (v > best || where < 0) {{ best = v; where = c * {area} + {" + ".join(flat)}; }}
{"}" * win.rank}
{types.store(y.dtype, "y0", "i", "best")} y1[i] = where;
}} }}"""


def counts(node: Node, ctx: Context) -> str:
    """How many elements the window of position (o0, ..., first + j) averages, as a product of tables."""
    x, y, win = needed(node, 0), node.outputs[0], _window(node)
    padded = integer(node, "count_include_pad", 0)
    import numpy as np

    parts = []
    for d, (size, out) in enumerate(zip(x.shape[2:], y.shape[2:])):
        low, high = (-win.before[d], size + win.after[d]) if padded else (0, size)
        places = [
            [o * win.strides[d] - win.before[d] + k * win.dilations[d] for k in range(win.kernel[d])]
            for o in range(out)
        ]
        table = [sum(low <= p < high for p in row) for row in places]
        if len(set(table)) == 1:
            parts.append(str(table[0]))
        else:
            at = "first + j" if d == win.rank - 1 else f"o{d}"
            parts.append(f"{ctx.constant(np.array(table, np.float32))}[{at}]")
    return " * ".join(parts)


@operator("AveragePool")
def average_pool(node: Node, ctx: Context) -> str:
    return _pool(node, ctx, "0", "a + v", f"a / ({types.compute(needed(node, 0).dtype)})({counts(node, ctx)})")


def _power(node: Node, dtype: str) -> tuple[str, str]:
    """(|v|^p, the p-th root of a)."""
    p, s = integer(node, "p", 2), types.suffix(dtype)
    if p == 1:
        return f"pm_abs{s}(v)", "a"
    if p == 2:
        return "v * v", f"pm_sqrt{s}(a)"
    return f"pm_pow{s}(pm_abs{s}(v), {p})", f"pm_pow{s}(a, {types.literal(1 / p, dtype)})"


@operator("LpPool")
def lp_pool(node: Node, ctx: Context) -> str:
    term, root = _power(node, needed(node, 0).dtype)
    return _pool(node, ctx, "0", f"a + {term}", root)


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x = needed(node, 0)
    axes = list(range(2, len(x.shape)))
    count = math.prod(x.shape[2:])
    if node.op == "GlobalLpPool":
        from neo_cli.backends.native.ops.reduce import Fold

        term, root = _power(node, x.dtype)
        return reduce_loop(node, axes, Fold("0", f"a + {term}", root))
    return reduce_loop(node, axes, fold("Mean" if node.op == "GlobalAveragePool" else "Max", x.dtype, count))


@operator("MaxUnpool")
def max_unpool(node: Node, ctx: Context) -> str:
    """Each value goes where its index says; the indices count in the pooled input, or in the output when that is larger."""
    x, y = needed(node, 0), node.outputs[0]
    kernel = integers(node, "kernel_shape") or []
    steps = integers(node, "strides") or [1] * len(kernel)
    pads = integers(node, "pads") or [0] * (2 * len(kernel))
    rank = len(kernel)
    before = [
        (n - 1) * s - (pads[d] + pads[d + rank]) + k for d, (n, s, k) in enumerate(zip(x.shape[2:], steps, kernel))
    ]
    source, own, out = (*x.shape[:2], *before), strides((*x.shape[:2], *before)), strides(y.shape)
    terms = [f"at / {a} % {n} * {b}" for n, a, b in zip(source, own, out)]
    return f"""{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) y0[i] = 0; }}
BARRIER;
if (tid == 0) for (idx i = 0; i < {x.size}; i++) {{ const idx at = (idx)x1[i]; y0[{" + ".join(terms)}] = x0[i]; }}"""
