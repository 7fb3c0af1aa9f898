"""Softmax, LogSoftmax and Hardmax, in the two meanings of their axis (one axis since opset 13, all behind it before)."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import rows
from neo_cli.backends.native.ops.reading import axis_of, integer, needed
from neo_cli.backends.native.ops.reduce import FAST


def groups(node: Node) -> tuple[int, int, int]:
    """(outer, size, inner) of the axis the operator normalises over."""
    shape = needed(node, 0).shape
    if node.version >= 13:
        return rows(shape, axis_of(integer(node, "axis", -1), len(shape)))
    axis = axis_of(integer(node, "axis", 1), len(shape))
    return math.prod(shape[:axis]), math.prod(shape[axis:]), 1


@operator("Softmax", "LogSoftmax")
def softmax(node: Node, ctx: Context) -> str:
    """exp(x - max) / sum; rows of the last axis are contiguous, other axes are strided."""
    ctx.include("plain_types.h")
    outer, size, inner = groups(node)
    if not outer * size * inner:
        return ""
    dtype, s = needed(node, 0).dtype, types.suffix(needed(node, 0).dtype)
    kind = types.compute(dtype)
    at = f"base + k * {inner}" if inner > 1 else "base + k"
    load = types.load(dtype, "x0", at)
    if node.op == "Softmax":
        final = types.store(dtype, "y0", at, f"pm_exp{s}({load} - m) * r")
        if kind == {"float32": "float", "float64": "double"}.get(dtype):
            sums = f"const {kind} e = pm_exp{s}({load} - m); y0[{at}] = e; a += e;"
            final = f"y0[{at}] *= r;"
        else:
            sums = f"a += pm_exp{s}({load} - m);"
        end = f"const {kind} r = 1 / a;"
    else:
        sums, end = f"a += pm_exp{s}({load} - m);", f"const {kind} r = m + pm_log{s}(a);"
        final = types.store(dtype, "y0", at, f"{load} - r")
    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{ {FAST}
const idx base = i / {inner} * {size * inner} + i % {inner};
{kind} m = -({kind})PM_INF, a = 0;
for (idx k = 0; k < {size}; k++) {{ const {kind} v = {load}; m = v > m ? v : m; }}
for (idx k = 0; k < {size}; k++) {{ {sums} }}
{end}
for (idx k = 0; k < {size}; k++) {{ {final} }}
}} }}"""


@operator("Hardmax")
def hardmax(node: Node, ctx: Context) -> str:
    """One at the first largest element, zero elsewhere."""
    ctx.include("plain_types.h")
    outer, size, inner = groups(node)
    dtype = needed(node, 0).dtype
    load = types.load(dtype, "x0", f"base + k * {inner}")
    store = types.store(dtype, "y0", f"base + k * {inner}", "k == best")
    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{
const idx base = i / {inner} * {size * inner} + i % {inner};
idx best = 0;
{types.compute(dtype)} m = {types.load(dtype, "x0", "base")};
for (idx k = 1; k < {size}; k++) {{ const {types.compute(dtype)} v = {load}; if (v > m) {{ m = v; best = k; }} }}
for (idx k = 0; k < {size}; k++) {{ {store} }}
}} }}"""
