"""Tensors out of nothing or out of a pattern: constants, ranges, identity and triangular matrices, grids, windows."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.reading import given, integer, needed


@operator("ConstantOfShape")
def constant_of_shape(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    y = node.outputs[0]
    value = np.asarray(node.attrs.get("value", np.zeros(1, np.float32))).reshape(-1)[0].item()
    put = types.store(y.dtype, "y0", "i", types.literal(value, y.dtype))
    return f"{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) {put} }}"


@operator("Range")
def range_(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    y = node.outputs[0]
    kind = types.compute(y.dtype)
    start, step = types.load(y.dtype, "x0", "0"), types.load(y.dtype, "x2", "0")
    put = types.store(y.dtype, "y0", "i", "start + step * i")
    return (
        f"{{ SPLIT({y.size}); const {kind} start = {start}, step = {step}; for (idx i = begin; i < end; i++) {put} }}"
    )


@operator("EyeLike")
def eye_like(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    y = node.outputs[0]
    width, shift = y.shape[1], integer(node, "k", 0)
    put = types.store(y.dtype, "y0", "i", f"(i % {width} - i / {width} == {shift})")
    return f"{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) {put} }}"


@operator("Trilu")
def trilu(node: Node, ctx: Context) -> str:
    """The upper or lower triangle; zero elsewhere."""
    x = needed(node, 0)
    high, wide = x.shape[-2:]
    shift = "(idx)x1[0]" if given(node, 1) is not None else "0"
    sign = ">=" if integer(node, "upper", 1) else "<="
    return f"""{{ SPLIT({x.size});
for (idx i = begin; i < end; i++) y0[i] = i % {wide or 1} - i / {wide or 1} % {high or 1} {sign} {shift} ? x0[i] : 0; }}"""


@operator("AffineGrid")
def affine_grid(node: Node, ctx: Context) -> str:
    """theta times the coordinates of the output's points."""
    ctx.include("plain_types.h")
    theta, y = needed(node, 0), node.outputs[0]
    size, dims = y.shape[1:-1], y.shape[-1]
    aligned = integer(node, "align_corners", 0)
    kind = types.compute(theta.dtype)
    lines = []
    rest = math.prod(size)
    for d, n in enumerate(size):
        rest //= n
        at = f"(i / {rest} % {n})"
        value = (
            f"({kind})-1 + {at} * ({kind}){2 / (n - 1) if n > 1 else 0}"
            if aligned
            else f"(2 * {at} + 1) / ({kind}){n} - 1"
        )
        lines.append(f"const {kind} g{len(size) - 1 - d} = {value};")  # x is the last axis
    points = math.prod(size)
    rows = []
    for r in range(dims):
        base = f"(i / {points} * {dims} + {r}) * {dims + 1}"
        terms = [f"{types.load(theta.dtype, 'x0', f'{base} + {c}')} * g{c}" for c in range(dims)]
        value = " + ".join([*terms, types.load(theta.dtype, "x0", f"{base} + {dims}")])
        rows.append(types.store(y.dtype, "y0", f"i * {dims} + {r}", value))
    return f"{{ SPLIT({y.shape[0] * points});\nfor (idx i = begin; i < end; i++) {{ {' '.join(lines)}\n{' '.join(rows)} }} }}"


@operator("HannWindow", "HammingWindow", "BlackmanWindow")
def cosine_window(node: Node, ctx: Context) -> str:
    """A window known but for its storage type."""
    ctx.include("plain_types.h")
    y = node.outputs[0]
    first, second, third = {
        "HannWindow": (0.5, 0.5, 0.0), "HammingWindow": (25 / 46, 21 / 46, 0.0), "BlackmanWindow": (0.42, 0.5, 0.08),
    }[node.op]  # fmt: skip
    period = y.size if integer(node, "periodic", 1) else max(1, y.size - 1)
    angle = 2 * math.pi * np.arange(y.size) / max(1, period)
    table = first - second * np.cos(angle) + third * np.cos(2 * angle)
    name = ctx.constant(table.astype(np.float64))
    put = types.store(y.dtype, "y0", "i", f"({types.compute(y.dtype)}){name}[i]")
    return f"{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) {put} }}"
