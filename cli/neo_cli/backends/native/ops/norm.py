"""Normalisations: batch, instance, group, layer, RMS, Lp, mean-variance, local response."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import rows
from neo_cli.backends.native.ops.reading import axis_of, given, integer, integers, needed, number
from neo_cli.backends.native.ops.reduce import FAST


def floating(dtype: str) -> tuple[str, str]:
    """(C type, function suffix) of the arithmetic of a floating dtype."""
    return types.real(dtype), types.suffix(dtype)


@operator("BatchNormalization")
def batch_norm(node: Node, ctx: Context) -> str:
    """(x - mean) * scale / sqrt(var + eps) + bias with the stored statistics."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    if integer(node, "training_mode", 0) or (node.version < 14 and len([v for v in node.outputs if v.size]) > 1):
        return _training_norm(node, ctx)
    outer, channels, inner = rows(x.shape, 1) if len(x.shape) > 1 else (x.shape[0], 1, 1)
    kind, s = floating(x.dtype)
    scale, bias, mean, var = (types.load(needed(node, i).dtype, f"x{i}", "c") for i in (1, 2, 3, 4))
    eps = types.literal(number(node, "epsilon", 1e-5), x.dtype)
    final = types.store(y.dtype, "y0", "p", f"{types.load(x.dtype, 'x0', 'p')} * factor + shift")
    return f"""{{ SPLIT({outer * channels});
for (idx i = begin; i < end; i++) {{
const idx c = i % {channels};
const {kind} factor = {scale} / pm_sqrt{s}({var} + {eps}), shift = {bias} - {mean} * factor;
for (idx p = i * {inner}; p < (i + 1) * {inner}; p++) {final}
}} }}"""


def _training_norm(node: Node, ctx: Context) -> str:
    """Statistics of this batch, and the running ones moved towards them."""
    x = needed(node, 0)
    outer, channels, inner = rows(x.shape, 1)
    kind, s = floating(x.dtype)
    load = types.load(x.dtype, "x0", "p")
    walk = f"for (idx o = 0; o < {outer}; o++) for (idx p = (o * {channels} + c) * {inner}; p < (o * {channels} + c + 1) * {inner}; p++)"
    eps, m = types.literal(number(node, "epsilon", 1e-5), x.dtype), number(node, "momentum", 0.9)
    moved = []
    for k, (old, new) in enumerate((("x3", "mean"), ("x4", "var")), 1):
        if len(node.outputs) > k and node.outputs[k].size:
            value = f"{types.load(needed(node, k + 2).dtype, old, 'c')} * {m!r} + {new} * {1 - m!r}"
            moved.append(types.store(node.outputs[k].dtype, f"y{k}", "c", f"({kind})({value})"))
    final = types.store(
        x.dtype, "y0", "p", f"({load} - mean) * factor + {types.load(needed(node, 2).dtype, 'x2', 'c')}"
    )
    return f"""{{ SPLIT({channels});
for (idx c = begin; c < end; c++) {{ {FAST}
{kind} mean = 0, var = 0;
{walk} mean += {load};
mean /= {outer * inner};
{walk} var += ({load} - mean) * ({load} - mean);
var /= {outer * inner};
const {kind} factor = {types.load(needed(node, 1).dtype, "x1", "c")} / pm_sqrt{s}(var + {eps});
{walk} {final}
{" ".join(moved)}
}} }}"""


def _moments(kind: str, load: str, size: int, center: bool = True) -> str:
    """Statements that declare `mean` and `var` of the row p = base .. base + size."""
    walk = f"for (idx p = base; p < base + {size}; p++)"
    square = f"{{ const {kind} d = {load} - mean; var += d * d; }}"
    first = f"{walk} mean += {load};\nmean /= {size};" if center else ""
    return f"{kind} mean = 0, var = 0;\n{first}\n{walk} {square}\nvar /= {size};"


@operator("InstanceNormalization", "GroupNormalization")
def instance_norm(node: Node, ctx: Context) -> str:
    """Each channel (or group of channels) of each image by its own moments."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    outer, channels, inner = rows(x.shape, 1)
    parts = integer(node, "num_groups", 1) if node.op == "GroupNormalization" else channels
    size = channels // parts * inner
    kind, s = floating(x.dtype)
    load = types.load(x.dtype, "x0", "p")
    per_group = node.op == "GroupNormalization" and needed(node, 1).shape[0] == parts and node.version < 21
    each = f"(p / {inner}) % {channels}" if channels != parts else f"i % {channels}"
    c = f"i % {parts}" if per_group else each
    scale, bias = (types.load(needed(node, k).dtype, f"x{k}", "c") for k in (1, 2))
    eps = types.literal(number(node, "epsilon", 1e-5), x.dtype)
    final = types.store(x.dtype, "y0", "p", f"({load} - mean) * rate * {scale} + {bias}")
    return f"""{{ SPLIT({outer * parts});
for (idx i = begin; i < end; i++) {{ {FAST}
const idx base = i * {size};
{_moments(kind, load, size)}
const {kind} rate = 1 / pm_sqrt{s}(var + {eps});
for (idx p = base; p < base + {size}; p++) {{ const idx c = {c}; {final} }}
}} }}"""


@operator("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
@operator("SimplifiedLayerNormalization", domain="com.microsoft")
def layer_norm(node: Node, ctx: Context) -> str:
    """Rows of all axes from `axis` on; RMS leaves the mean in."""
    return layer_norm_rows(node, ctx, axis_of(integer(node, "axis", -1), len(needed(node, 0).shape)))


def layer_norm_rows(node: Node, ctx: Context, axis: int) -> str:
    ctx.include("plain_types.h")
    x = needed(node, 0)
    outer, size = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
    kind, s = floating(x.dtype)
    load = types.load(x.dtype, "x0", "p")
    center = node.op == "LayerNormalization"
    lead = x.shape[axis:]

    def factor(position: int) -> str | None:
        value = given(node, position)
        if value is None:
            return None
        if value.size == 1:
            return types.load(value.dtype, f"x{position}", "0")
        shape = value.shape
        while len(shape) > len(lead) and shape[0] == 1:
            shape = shape[1:]
        if tuple(shape) != tuple(lead[len(lead) - len(shape) :]):
            raise ctx.refuse(node, f"scale and bias of shape {value.shape} for rows of {lead}")
        inner = math.prod(shape)
        return types.load(value.dtype, f"x{position}", "p - base" if inner == size else f"(p - base) % {inner}")

    scale, bias = factor(1), factor(2) if center else None
    eps = types.literal(number(node, "epsilon", 1e-5), x.dtype)
    value = f"({load} - mean) * rate" + (f" * {scale}" if scale else "") + (f" + {bias}" if bias else "")
    extra = []
    for k, name in ((1, "mean"), (2, "rate")) if center else ((1, "rate"),):
        if len(node.outputs) > k and node.outputs[k].size:
            extra.append(types.store(node.outputs[k].dtype, f"y{k}", "i", name))
    return f"""{{ SPLIT({outer});
for (idx i = begin; i < end; i++) {{ {FAST}
const idx base = i * {size};
{_moments(kind, load, size, center)}
const {kind} rate = 1 / pm_sqrt{s}(var + {eps});
for (idx p = base; p < base + {size}; p++) {types.store(node.outputs[0].dtype, "y0", "p", value)}
{" ".join(extra)}
}} }}"""


@operator("MeanVarianceNormalization")
def mean_variance(node: Node, ctx: Context) -> str:
    """(x - mean) / (std + 1e-9) over the given axes (0, 2, 3 unless said otherwise)."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    rank = len(x.shape)
    axes = sorted(axis_of(a, rank) for a in (integers(node, "axes") or [0, 2, 3]) if a < rank)
    from neo_cli.backends.native.ops.loops import nest, strides

    own = strides(x.shape)
    kept = [d for d in range(rank) if d not in axes]
    size = math.prod(x.shape[a] for a in axes)
    kind, s = floating(x.dtype)
    gone, steps = [x.shape[a] for a in axes], [own[a] for a in axes]

    def inner(at: str, text: str) -> str:
        load = types.load(x.dtype, "x0", "p")
        return nest(
            gone,
            [steps],
            lambda q: f"const idx p = {at} + {q[0]}; const {kind} v = {load}; {text}",
            share=False,
            name="r",
        )

    def body(at: list[str]) -> str:
        final = types.store(x.dtype, "y0", "p", "(v - mean) * rate")
        return (
            f"{FAST} {kind} mean = 0, var = 0;\n{inner(at[0], 'mean += v;')}\nmean /= {size};\n"
            f"{inner(at[0], 'var += (v - mean) * (v - mean);')}\n"
            f"const {kind} rate = 1 / (pm_sqrt{s}(var / {size}) + {types.literal(1e-9, x.dtype)});\n{inner(at[0], final)}"
        )

    return nest([x.shape[d] for d in kept], [[own[d] for d in kept]], body)


@operator("LpNormalization")
def lp_norm(node: Node, ctx: Context) -> str:
    """x divided by its 1- or 2-norm along one axis; a row of norm zero stays zero."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    outer, size, inner = rows(x.shape, axis_of(integer(node, "axis", -1), len(x.shape)))
    kind, s = floating(x.dtype)
    load = types.load(x.dtype, "x0", f"base + k * {inner}")
    one = integer(node, "p", 2) == 1
    term = f"pm_abs{s}({load})" if one else f"{load} * {load}"
    final = types.store(x.dtype, "y0", f"base + k * {inner}", f"a == 0 ? 0 : {load} / a")
    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{
const idx base = i / {inner} * {size * inner} + i % {inner};
{kind} a = 0;
for (idx k = 0; k < {size}; k++) a += {term};
{"" if one else f"a = pm_sqrt{s}(a);"}
for (idx k = 0; k < {size}; k++) {final}
}} }}"""


@operator("LRN")
def local_response(node: Node, ctx: Context) -> str:
    """x / (bias + alpha / size * sum of squares of neighbouring channels) ^ beta."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    outer, channels, inner = rows(x.shape, 1)
    size = integer(node, "size", 1)
    kind, s = floating(x.dtype)
    alpha, beta, bias = number(node, "alpha", 1e-4), number(node, "beta", 0.75), number(node, "bias", 1)
    load = types.load(x.dtype, "x0", f"(o * {channels} + q) * {inner} + p")
    at = f"i * {inner} + p"
    base = f"({types.literal(bias, x.dtype)} + {types.literal(alpha / size, x.dtype)} * a)"
    power = f"pm_exp{s}(pm_log{s}({base}) * {types.literal(-beta, x.dtype)})"
    final = types.store(x.dtype, "y0", at, f"{types.load(x.dtype, 'x0', at)} * {power}")
    return f"""{{ SPLIT({outer * channels});
for (idx i = begin; i < end; i++) {{
const idx o = i / {channels}, c = i % {channels};
const idx low = c > {(size - 1) // 2} ? c - {(size - 1) // 2} : 0, high = c + {size // 2} < {channels} ? c + {size // 2} : {channels - 1};
for (idx p = 0; p < {inner}; p++) {{
{kind} a = 0;
for (idx q = low; q <= high; q++) {{ const {kind} v = {load}; a += v * v; }}
{final}
}} }} }}"""
