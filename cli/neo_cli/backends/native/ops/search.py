"""TopK by a partial heap, and Det by elimination."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import rows
from neo_cli.backends.native.ops.reading import axis_of, integer, needed


@operator("TopK")
def top_k(node: Node, ctx: Context) -> str:
    """The k best of each row, best first; of equal ones the first. A heap with the worst on top keeps the best so far."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    axis = axis_of(integer(node, "axis", -1), len(x.shape))
    outer, size, inner = rows(x.shape, axis)
    k = y.shape[axis]
    if not k * outer * inner:
        return ""
    sign = ">" if integer(node, "largest", 1) else "<"
    heap = ctx.scratch(k, "int64", private=True)
    value = types.load(x.dtype, "x0", "base + ({0}) * " + str(inner))
    a, b = value.format("p"), value.format("q")
    better = f"({a} {sign} {b} || ({a} == {b} && p < q))"  # p before q
    indices = f"y1[to] = {heap}[j];" if len(node.outputs) > 1 and node.outputs[1].size else ""
    sift = f"""for (idx at = root; 2 * at + 1 < count;) {{
idx low = 2 * at + 1;
if (low + 1 < count) {{ const idx p = {heap}[low], q = {heap}[low + 1]; if ({better}) low++; }}
const idx p = {heap}[at], q = {heap}[low];
if (!{better}) break;
{heap}[at] = q; {heap}[low] = p; at = low;
}}"""

    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{
const idx base = i / {inner} * {size * inner} + i % {inner};
idx count = {k};
for (idx j = 0; j < {k}; j++) {heap}[j] = j;
for (idx root = {k} / 2 - 1; root >= 0; root--) {{ {sift} }}
for (idx j = {k}; j < {size}; j++) {{
const idx p = j, q = {heap}[0];
if (!{better}) continue;
{heap}[0] = j;
const idx root = 0;
{sift}
}}
for (count = {k} - 1; count > 0; count--) {{ /* the worst goes behind the others */
const idx worst = {heap}[0], root = 0;
{heap}[0] = {heap}[count]; {heap}[count] = worst;
{sift}
}}
for (idx j = 0; j < {k}; j++) {{
const idx to = i / {inner} * {k * inner} + i % {inner} + j * {inner};
y0[to] = x0[base + {heap}[j] * {inner}]; {indices}
}} }} }}"""


@operator("Det")
def det(node: Node, ctx: Context) -> str:
    """Determinants by elimination with pivots."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    n, many = x.shape[-1], math.prod(x.shape[:-2])
    kind, s = types.real(x.dtype), types.suffix(x.dtype)
    m = ctx.scratch(n * n, "float64" if kind == "double" else "float32", private=True)
    return f"""{{ SPLIT({many});
for (idx i = begin; i < end; i++) {{
{kind} d = 1;
for (idx j = 0; j < {n * n}; j++) {m}[j] = {types.load(x.dtype, "x0", f"i * {n * n} + j")};
for (idx c = 0; c < {n}; c++) {{
idx p = c;
for (idx r = c + 1; r < {n}; r++) p = pm_abs{s}({m}[r * {n} + c]) > pm_abs{s}({m}[p * {n} + c]) ? r : p;
if ({m}[p * {n} + c] == 0) {{ d = 0; break; }}
if (p != c) {{ d = -d; for (idx j = 0; j < {n}; j++) {{ const {kind} t = {m}[p * {n} + j]; {m}[p * {n} + j] = {m}[c * {n} + j]; {m}[c * {n} + j] = t; }} }}
d *= {m}[c * {n} + c];
for (idx r = c + 1; r < {n}; r++) {{
const {kind} f = {m}[r * {n} + c] / {m}[c * {n} + c];
for (idx j = c; j < {n}; j++) {m}[r * {n} + j] -= f * {m}[c * {n} + j];
}} }}
{types.store(x.dtype, "y0", "i", "d")}
}} }}"""


@operator("Inverse", domain="com.microsoft")
def inverse(node: Node, ctx: Context) -> str:
    """Inverses by elimination with pivots; of a singular matrix, infinities and NaN."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    n, many = x.shape[-1], math.prod(x.shape[:-2])
    kind, s = types.real(x.dtype), types.suffix(x.dtype)
    m = ctx.scratch(2 * n * n, "float64" if kind == "double" else "float32", private=True)
    return f"""{{ SPLIT({many});
for (idx i = begin; i < end; i++) {{
for (idx r = 0; r < {n}; r++) for (idx j = 0; j < {n}; j++) {{
{m}[r * {2 * n} + j] = {types.load(x.dtype, "x0", f"(i * {n} + r) * {n} + j")};
{m}[r * {2 * n} + {n} + j] = r == j;
}}
for (idx c = 0; c < {n}; c++) {{
idx p = c;
for (idx r = c + 1; r < {n}; r++) p = pm_abs{s}({m}[r * {2 * n} + c]) > pm_abs{s}({m}[p * {2 * n} + c]) ? r : p;
const {kind} f = 1 / {m}[p * {2 * n} + c];
for (idx j = 0; j < {2 * n}; j++) {{
const {kind} t = {m}[p * {2 * n} + j]; {m}[p * {2 * n} + j] = {m}[c * {2 * n} + j]; {m}[c * {2 * n} + j] = t * f;
}}
for (idx r = 0; r < {n}; r++) {{
const {kind} g = {m}[r * {2 * n} + c];
if (r != c) for (idx j = 0; j < {2 * n}; j++) {m}[r * {2 * n} + j] -= g * {m}[c * {2 * n} + j];
}} }}
for (idx r = 0; r < {n}; r++) for (idx j = 0; j < {n}; j++)
{types.store(x.dtype, "y0", f"(i * {n} + r) * {n} + j", f"{m}[r * {2 * n} + {n} + j]")}
}} }}"""
