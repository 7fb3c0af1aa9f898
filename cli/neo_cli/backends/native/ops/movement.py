"""Operators that only move elements: reshape, transpose, expand, tile, concat, split, slice, pad, depth to space."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import Strides, broadcast, nest, strides
from neo_cli.backends.native.ops.reading import (
    axis_of,
    constant,
    given,
    integer,
    integers,
    listed,
    needed,
    number,
    text,
)


def move(
    shape: Strides, source: Strides, target: Strides, start: int = 0, to: int = 0, x: str = "x0", y: str = "y0"
) -> str:
    """Copies of single elements from one strided walk to another."""
    return nest(shape, [source, target], lambda at: f"{y}[{at[1]}] = {x}[{at[0]}];", [start, to])


@operator("OptionalHasElement")
def has_element(node: Node, ctx: Context) -> str:
    """A tensor that is there is an optional with an element."""
    return f"if (tid == 0) y0[0] = {int(given(node, 0) is not None)};"


@operator("Reshape", "Flatten", "Squeeze", "Unsqueeze", "OptionalGetElement")
def same_bytes(node: Node, ctx: Context) -> str:
    """The same elements in the same order."""
    size = node.outputs[0].size
    return move([size], [1], [1]) if size else ""


@operator("Transpose")
def transpose(node: Node, ctx: Context) -> str:
    x, y = needed(node, 0), node.outputs[0]
    order = integers(node, "perm") or list(reversed(range(len(x.shape))))
    own = strides(x.shape)
    return move(y.shape, [own[axis] for axis in order], strides(y.shape))


@operator("Expand")
def expand(node: Node, ctx: Context) -> str:
    y = node.outputs[0]
    return move(y.shape, broadcast(needed(node, 0).shape, y.shape), strides(y.shape))


@operator("Tile")
def tile(node: Node, ctx: Context) -> str:
    x, y = needed(node, 0), node.outputs[0]
    if integer(node, "axis", -1) >= 0:
        raise ctx.refuse(node, "opset 1's form with tiles and axis")
    shape = [part for whole, size in zip(y.shape, x.shape) for part in ((whole // size if size else 0), size)]
    own = [part for step in strides(x.shape) for part in (0, step)]
    return move(shape, own, strides(shape))


@operator("Concat")
def concat(node: Node, ctx: Context) -> str:
    y = node.outputs[0]
    axis = axis_of(integer(node, "axis", 1), len(y.shape))
    out, start, parts = strides(y.shape), 0, []
    for i, x in enumerate(node.inputs):
        assert x is not None
        parts.append(move(x.shape, strides(x.shape), out, to=start, x=f"x{i}"))
        start += x.shape[axis] * out[axis]
    return "\n".join(parts)


@operator("Split")
def split(node: Node, ctx: Context) -> str:
    x = needed(node, 0)
    axis = axis_of(integer(node, "axis", 0), len(x.shape))
    own, start, parts = strides(x.shape), 0, []
    for i, y in enumerate(node.outputs):
        parts.append(move(y.shape, own, strides(y.shape), start, y=f"y{i}"))
        start += y.shape[axis] * own[axis]
    return "\n".join(parts)


@operator("Slice")
def slice_(node: Node, ctx: Context) -> str:
    x, y = needed(node, 0), node.outputs[0]
    starts, ends = listed(node, ctx, 1, "starts"), listed(node, ctx, 2, "ends")
    if starts is None or ends is None:
        raise ctx.refuse(node, "starts and ends are missing")
    axes = listed(node, ctx, 3, "axes") or list(range(len(starts)))
    steps = listed(node, ctx, 4, "steps") or [1] * len(starts)
    walk, first, own = list(strides(x.shape)), 0, strides(x.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = axis_of(axis, len(x.shape))
        begin = range(x.shape[axis])[slice(start, end if abs(end) < 2**62 else None, step)]
        first += (begin[0] if len(begin) else 0) * own[axis]
        walk[axis] = own[axis] * step
    return move(y.shape, walk, strides(y.shape), first)


@operator("DepthToSpace", "SpaceToDepth")
def blocks(node: Node, ctx: Context) -> str:
    x, y = needed(node, 0), node.outputs[0]
    size = integer(node, "blocksize", 1)
    n, c, h, w = x.shape
    if node.op == "SpaceToDepth":
        shape = (n, c, h // size, size, w // size, size)
        order = (0, 3, 5, 1, 2, 4) if text(node, "mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
    elif text(node, "mode", "DCR") == "DCR":
        shape, order = (n, size, size, c // size**2, h, w), (0, 3, 4, 1, 5, 2)
    else:
        shape, order = (n, c // size**2, size, size, h, w), (0, 1, 4, 2, 5, 3)
    own = strides(shape)
    made = [shape[axis] for axis in order]
    assert math.prod(made) == y.size
    return move(made, [own[axis] for axis in order], strides(made))


@operator("ReverseSequence")
def reverse_sequence(node: Node, ctx: Context) -> str:
    """Each batch entry reversed over its own length along the time axis."""
    x = needed(node, 0)
    time, batch = integer(node, "time_axis", 0), integer(node, "batch_axis", 1)
    long, many = x.shape[time], x.shape[batch]
    inner = math.prod(x.shape[2:])
    step_t, step_b = strides(x.shape)[time], strides(x.shape)[batch]
    return f"""{{ SPLIT({many});
for (idx b = begin; b < end; b++)
for (idx t = 0; t < {long}; t++) {{
const idx from = t < (idx)x1[b] ? (idx)x1[b] - 1 - t : t;
for (idx i = 0; i < {inner}; i++) y0[b * {step_b} + t * {step_t} + i] = x0[b * {step_b} + from * {step_t} + i];
}} }}"""


def fill(ctx: Context, size: int, value: str) -> str:
    return f"{{ SPLIT({size}); for (idx i = begin; i < end; i++) y0[i] = {value}; }}"


@operator("Pad")
def pad(node: Node, ctx: Context) -> str:
    x, y = needed(node, 0), node.outputs[0]
    rank = len(x.shape)
    flat = listed(node, ctx, 1, "pads") or integers(node, "paddings") or []
    axes = [axis_of(int(a), rank) for a in (constant(node, ctx, 3) if given(node, 3) is not None else range(rank))]  # type: ignore[union-attr]
    before, after = [0] * rank, [0] * rank
    for k, axis in enumerate(axes):
        before[axis], after[axis] = flat[k], flat[k + len(axes)]
    mode = text(node, "mode", "constant")
    if mode != "constant":
        from neo_cli.backends.native.ops.mapped import mapped

        maps = [_source(mode, n, b, a) for n, b, a in zip(x.shape, before, after)]
        return mapped(ctx, x.shape, y.shape, maps)
    value = given(node, 2)
    filler = "x2[0]" if value is not None and value.size else repr(number(node, "value", 0))
    if filler != "x2[0]" and x.dtype in types.HALVES:
        filler = f"{types.HALVES[x.dtype][1]}({filler})"
    ctx.include("plain_types.h")
    out, own = strides(y.shape), strides(x.shape)
    low = [max(0, -b) for b in before]
    inner = [max(0, n - max(0, -b) - max(0, -a)) for n, b, a in zip(x.shape, before, after)]
    start = sum(v * s for v, s in zip(low, own))
    to = sum(max(0, b) * s for b, s in zip(before, out))
    return f"{fill(ctx, y.size, filler)}\nBARRIER;\n{move(inner, own, out, start, to)}"


def _source(mode: str, size: int, before: int, after: int) -> list[int]:
    """For each position of a padded axis the position it copies."""
    places = range(-before, size + after)
    if mode == "edge":
        return [min(max(i, 0), size - 1) for i in places]
    if mode == "wrap":
        return [i % size for i in places]
    period = max(1, 2 * (size - 1))
    return [min(i % period, period - i % period) if size > 1 else 0 for i in places]


@operator("CenterCropPad")
def center_crop_pad(node: Node, ctx: Context) -> str:
    """Crop what is too long and pad with zeros what is too short, both centred."""
    x, y = needed(node, 0), node.outputs[0]
    out, own = strides(y.shape), strides(x.shape)
    start = sum(max(0, (n - m) // 2) * s for n, m, s in zip(x.shape, y.shape, own))
    to = sum(max(0, (m - n) // 2) * s for n, m, s in zip(x.shape, y.shape, out))
    inner = [min(n, m) for n, m in zip(x.shape, y.shape)]
    return f"{fill(ctx, y.size, '0')}\nBARRIER;\n{move(inner, own, out, start, to)}"
