"""MatMul, Gemm and the integer matrix products, for every type and broadcast; the fast paths live elsewhere."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import broadcast
from neo_cli.backends.native.ops.reading import given, integer, needed, number


def _matrices(x: Value, other: Value) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both shapes with vectors made matrices."""
    a = (1, *x.shape) if len(x.shape) == 1 else x.shape
    b = (*other.shape, 1) if len(other.shape) == 1 else other.shape
    return a, b


def batched(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, str, str]:
    """(how many products, the offset expressions of both operands for product `m`)."""
    rank = max(len(a), len(b)) - 2
    lead_a, lead_b = a[:-2], b[:-2]
    out = [
        max((shape[d - rank + len(shape)] if d - rank + len(shape) >= 0 else 1) for shape in (lead_a, lead_b))
        if 0 not in (*lead_a, *lead_b) else 0
        for d in range(rank)
    ]  # fmt: skip

    def offset(lead: tuple[int, ...], size: int) -> str:
        steps = broadcast(lead, out)
        terms, inner = [], math.prod(out)
        for length, step in zip(out, steps):
            inner = inner // length if length else 1
            if step and length > 1:
                terms.append(f"m / {inner} % {length} * {step * size}")
        return " + ".join(terms) or "0"

    return math.prod(out), offset(lead_a, a[-2] * a[-1]), offset(lead_b, b[-2] * b[-1])


def product(
    ctx: Context,
    count: int,
    sizes: tuple[int, int, int],
    left: str,
    right: str,
    accumulator: str,
    finish: str,
    start: str = "0",
) -> str:
    """Rows of the result are accumulated in a private row; `left` is an element (r, k), `right` one of (k, j)."""
    rows, depth, columns = sizes
    block = min(columns, 128)
    pieces = -(-columns // block) if columns else 0
    return f"""{{ SPLIT({count * rows * pieces});
for (idx item = begin; item < end; item++) {{
const idx m = item / {rows * pieces}, r = item / {pieces} % {rows}, first = item % {pieces} * {block};
const idx span = {columns} - first < {block} ? {columns} - first : {block};
{accumulator} acc[{block}];
for (idx j = 0; j < span; j++) acc[j] = {start};
for (idx k = 0; k < {depth}; k++) {{
const {accumulator} l = {left};
for (idx j = 0; j < span; j++) acc[j] += l * ({accumulator}){right};
}}
for (idx j = 0; j < span; j++) {{ const idx c = first + j; const {accumulator} a = acc[j]; {finish} }}
}} }}"""


def accumulator(dtype: str) -> str:
    """The unsigned type for integers, so that overflow wraps."""
    if types.is_float(dtype):
        return types.compute(dtype)
    return "pm_u64" if dtype in ("int64", "uint64") else "pm_u32"


@operator("MatMul")
def matmul(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, w, y = needed(node, 0), needed(node, 1), node.outputs[0]
    a, b = _matrices(x, w)
    count, from_a, from_b = batched(a, b)
    rows, depth, columns = a[-2], a[-1], b[-1]
    left = types.load(x.dtype, "x0", f"{from_a} + r * {depth} + k")
    right = types.load(w.dtype, "x1", f"{from_b} + k * {columns} + first + j")
    kind = accumulator(y.dtype)
    finish = types.store(y.dtype, "y0", f"(m * {rows} + r) * {columns} + c", "a")
    return product(ctx, count, (rows, depth, columns), left, right, kind, finish)


@operator("Gemm")
def gemm(node: Node, ctx: Context) -> str:
    """alpha * A' * B' + beta * C."""
    ctx.include("plain_types.h")
    x, w, bias, y = needed(node, 0), needed(node, 1), given(node, 2), node.outputs[0]
    rows, columns = y.shape
    turned_a, turned_b = integer(node, "transA", 0), integer(node, "transB", 0)
    depth = x.shape[0] if turned_a else x.shape[1]
    left = types.load(x.dtype, "x0", f"k * {rows} + r" if turned_a else f"r * {depth} + k")
    right = types.load(w.dtype, "x1", f"(first + j) * {depth} + k" if turned_b else f"k * {columns} + first + j")
    alpha, beta = number(node, "alpha", 1), number(node, "beta", 1)
    kind = types.compute(y.dtype) if types.is_float(y.dtype) else "double"
    value = "a" if alpha == 1 else f"{types.literal(alpha, 'float64')} * a"
    if bias is not None and beta:
        steps = broadcast(bias.shape, y.shape)
        term = types.load(bias.dtype, "x2", f"r * {steps[0]} + c * {steps[1]}")
        value += f" + {term}" if beta == 1 else f" + {types.literal(beta, 'float64')} * {term}"
    value = f"({types.compute(y.dtype)})({value})"
    if not types.is_float(y.dtype):
        kind, value = (accumulator(y.dtype), value) if alpha == beta == 1 else (kind, value)
    return product(
        ctx, 1, (rows, depth, columns), left, right, kind, types.store(y.dtype, "y0", f"r * {columns} + c", value)
    )


def point(node: Node, position: int, count: int, place: str) -> str:
    """A zero point (or scale) of one value or one for each row or column; "0" when it is left out."""
    value = given(node, position)
    if value is None:
        return "0"
    return f"x{position}[{place if value.size == count and count > 1 else 0}]"


@operator("MatMulInteger")
def matmul_integer(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, w, _y = needed(node, 0), needed(node, 1), node.outputs[0]
    a, b = _matrices(x, w)
    count, from_a, from_b = batched(a, b)
    rows, depth, columns = a[-2], a[-1], b[-1]
    zero_a, zero_b = _zeros(node, ctx, 2, 3, count, rows, columns)
    left = f"x0[{from_a} + r * {depth} + k] - {zero_a}"
    right = f"(x1[{from_b} + k * {columns} + first + j] - {zero_b})"
    return product(
        ctx, count, (rows, depth, columns), left, right, "pm_i32", f"y0[(m * {rows} + r) * {columns} + c] = a;"
    )


def _zeros(node: Node, ctx: Context, at_a: int, at_b: int, count: int, rows: int, columns: int) -> tuple[str, str]:
    """The zero points of both operands: one, or one for each row of A and column of B (of each product)."""

    def one(position: int, length: int, place: str) -> str:
        value = given(node, position)
        if value is None or value.size == 1:
            return "0" if value is None else f"x{position}[0]"
        if value.size == length:
            return f"x{position}[{place}]"
        if value.size == count * length:
            return f"x{position}[m * {length} + {place}]"
        raise ctx.refuse(node, f"zero points of shape {value.shape}")

    return one(at_a, rows, "r"), one(at_b, columns, "first + j")


@operator("QLinearMatMul")
def qlinear_matmul(node: Node, ctx: Context) -> str:
    """The integer product, scaled and rounded to the output's type as ONNX Runtime does."""
    ctx.include("plain_types.h")
    x, w, y = needed(node, 0), needed(node, 3), node.outputs[0]
    if not all(t.dtype in ("int8", "uint8") for t in (x, w, y)):
        raise ctx.refuse(node, "it multiplies 8-bit integers only")
    a, b = _matrices(x, w)
    count, from_a, from_b = batched(a, b)
    rows, depth, columns = a[-2], a[-1], b[-1]
    zero_a, zero_b = _zeros(node, ctx, 2, 5, count, rows, columns)
    left = f"x0[{from_a} + r * {depth} + k] - {zero_a}"
    right = f"(x3[{from_b} + k * {columns} + first + j] - {zero_b})"
    scale_a, scale_b = _zeros(node, ctx, 1, 4, count, rows, columns)
    low, high = types.limits(y.dtype)
    factor = f"{_f(node, 1, scale_a)} * {_f(node, 4, scale_b)} / {_f(node, 6, 'x6[0]')}"
    value = f"pm_quantise((float)a * ({factor}), x7[0], {low}, {high})"
    return product(
        ctx, count, (rows, depth, columns), left, right, "pm_i32", f"y0[(m * {rows} + r) * {columns} + c] = {value};"
    )


def _f(node: Node, position: int, text: str) -> str:
    """A scale as float, whatever its storage."""
    pointer, place = text.split("[", 1)
    return types.load(needed(node, position).dtype, pointer, place.removesuffix("]"))
