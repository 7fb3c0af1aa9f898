"""Fourier transforms as sums over a table of angles: DFT and STFT."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import rows
from neo_cli.backends.native.ops.reading import axis_of, constant, given, integer, needed


def _angles(ctx: Context, length: int, inverse: bool) -> tuple[str, str]:
    """Tables of cos and sin of 2 pi j / length."""
    angle = 2 * math.pi * np.arange(length) / length
    return ctx.constant(np.cos(angle)), ctx.constant(np.sin(angle) * (1 if inverse else -1))


@operator("DFT")
def dft(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    rank = len(x.shape)
    axis = integer(node, "axis", 1) if node.version < 20 else -2
    named = constant(node, ctx, 2) if node.version >= 20 else None
    axis = axis_of(int(named.reshape(-1)[0]) if named is not None else axis, rank)
    asked = constant(node, ctx, 1)
    inverse, onesided = bool(integer(node, "inverse", 0)), bool(integer(node, "onesided", 0))
    if inverse and onesided:
        return _real_inverse(node, ctx, axis)
    length = int(asked.reshape(-1)[0]) if asked is not None else x.shape[axis]
    _, have, _ = rows(x.shape, axis)
    outer, size, _ = rows(y.shape, axis)
    inner, parts = math.prod(x.shape[axis + 1 : -1]), x.shape[-1]
    cos, sin = _angles(ctx, length, inverse)
    at = f"((o * {have} + t) * {inner} + j) * {parts}"
    imaginary = types.load(x.dtype, "x0", f"{at} + 1") if parts == 2 else "0"
    scale = f" / {length}" if inverse else ""
    to = f"((o * {size} + k) * {inner} + j) * 2"
    kind = types.compute(x.dtype)
    return f"""{{ SPLIT({outer * size * inner});
for (idx i = begin; i < end; i++) {{
const idx j = i % {inner}, k = i / {inner} % {size}, o = i / {inner * size};
double re = 0, im = 0;
for (idx t = 0; t < {min(have, length)}; t++) {{
const double a = {types.load(x.dtype, "x0", at)}, b = {imaginary}, c = {cos}[k * t % {length}], s = {sin}[k * t % {length}];
re += a * c - b * s; im += a * s + b * c;
}}
{types.store(y.dtype, "y0", to, f"({kind})(re{scale})")} {types.store(y.dtype, "y0", f"{to} + 1", f"({kind})(im{scale})")}
}} }}"""


def _real_inverse(node: Node, ctx: Context, axis: int) -> str:
    """The real signal of a one-sided spectrum."""
    x, y = needed(node, 0), node.outputs[0]
    _, have, _ = rows(x.shape, axis)
    outer, length, _ = rows(y.shape, axis)
    inner = math.prod(x.shape[axis + 1 : -1])
    cos, sin = _angles(ctx, length, True)
    at = f"((o * {have} + f) * {inner} + j) * 2"
    return f"""{{ SPLIT({outer * length * inner});
for (idx i = begin; i < end; i++) {{
const idx j = i % {inner}, t = i / {inner} % {length}, o = i / {inner * length};
double a = 0;
for (idx f = 0; f < {min(have, length // 2 + 1)}; f++) {{
const double twice = f == 0 || 2 * f == {length} ? 1 : 2;
a += twice * ({types.load(x.dtype, "x0", at)} * {cos}[f * t % {length}] - {types.load(x.dtype, "x0", f"{at} + 1")} * {sin}[f * t % {length}]);
}}
{types.store(y.dtype, "y0", "i", f"({types.compute(y.dtype)})(a / {length})")}
}} }}"""


@operator("STFT")
def stft(node: Node, ctx: Context) -> str:
    """Transforms of overlapping frames, each weighted with the window."""
    ctx.include("plain_types.h")
    x, window, y = needed(node, 0), given(node, 2), node.outputs[0]
    step = int(np.asarray(constant(node, ctx, 1)).reshape(-1)[0])
    frame = constant(node, ctx, 3)
    length = int(frame.reshape(-1)[0]) if frame is not None else window.size  # type: ignore[union-attr]
    batch, frames, bins, _ = y.shape
    signal, parts = x.shape[1], (x.shape[2] if len(x.shape) > 2 else 1)
    cos, sin = _angles(ctx, length, False)
    at = f"(b * {signal} + f * {step} + t) * {parts}"
    weight = types.load(window.dtype, "x2", "t") if window is not None else "1"
    imaginary = f"{types.load(x.dtype, 'x0', f'{at} + 1')} * w" if parts == 2 else "0"
    kind = types.compute(y.dtype)
    return f"""{{ SPLIT({batch * frames * bins});
for (idx i = begin; i < end; i++) {{
const idx k = i % {bins}, f = i / {bins} % {frames}, b = i / {bins * frames};
double re = 0, im = 0;
for (idx t = 0; t < {length}; t++) {{
const double w = {weight}, a = {types.load(x.dtype, "x0", at)} * w, v = {imaginary}, c = {cos}[k * t % {length}], s = {sin}[k * t % {length}];
re += a * c - v * s; im += a * s + v * c;
}}
{types.store(y.dtype, "y0", "i * 2", f"({kind})re")} {types.store(y.dtype, "y0", "i * 2 + 1", f"({kind})im")}
}} }}"""
