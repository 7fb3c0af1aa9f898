"""Layer norm and attention on blocked rows."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.fast.activations import number
from neo_cli.backends.native.fast.conv import blocks_of
from neo_cli.backends.native.fast.halves import WORDS, half_product
from neo_cli.backends.native.fast.product import product
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator


@operator("fast.LayerNorm")
def layer_norm(node: Node, ctx: Context) -> str:
    """inputs: x, scale or None, shift or None (constants)."""
    x = node.inputs[0]
    assert x is not None
    _, channels, _, rows = x.image
    scale, shift = (
        np.full(channels, empty, np.float32) if value is None else np.asarray(value.const, np.float32).reshape(-1)
        for value, empty in zip(node.inputs[1:3], (1, 0))
    )
    ctx.include("rows.h")
    w, b = ctx.constant(scale), ctx.constant(shift)
    return f"layer_norm(f, x0, {w}, {b}, y0, {rows}, {channels}, {number(node.attrs['epsilon'])});"


@operator("fast.Attention")
def attention(node: Node, ctx: Context) -> str:
    """inputs: rows that hold q, k and v from column `offsets` on, an additive mask or None."""
    attrs, mask, lanes = node.attrs, node.inputs[3], ctx.cpu.lanes
    batch, heads, queries, keys, width = (attrs[key] for key in ("batch", "heads", "queries", "keys", "width"))
    sections = blocks_of(keys, lanes)
    zero = ctx.constant(np.zeros(max(sections * lanes, width), np.float32))
    shape = (1, 1, 1, keys) if mask is None else (1,) * (4 - len(mask.shape)) + mask.shape
    steps = [math.prod(shape[axis + 1 :]) if shape[axis] > 1 else 0 for axis in range(3)]
    planes = [batch * rows * lanes for rows in (queries, keys, keys)]
    q, k, v = (f"x{i} + {attrs['offsets'][i] // lanes * planes[i]}" for i in range(3))
    products, call = (_in_halves if ctx.cpu.halves else _in_floats)(node, ctx, sections)
    return f"""\
{products[0]}
static const struct attention c = {{
    .batch = {batch}, .heads = {heads}, .queries = {queries}, .keys = {keys}, .width = {width},
    .scale = {number(attrs["scale"])}, .mask_batch = {steps[0]}, .mask_head = {steps[1]}, .mask_row = {steps[2]},
    {products[1]}
}};
{call[0]}, f, {q}, {k}, {v}, {"x3" if mask is not None else zero}, {zero}, y0, {", ".join(call[1:])});"""


def _in_floats(node: Node, ctx: Context, sections: int) -> tuple[tuple[str, str], list[str]]:
    """The products as declarations and fields of struct attention; the call's name and the scratch it is given."""
    lanes = ctx.cpu.lanes
    batch, queries, keys, width = (node.attrs[key] for key in ("batch", "queries", "keys", "width"))
    vectors = schedule.direct(ctx.cpu, 1, queries, width // lanes, lanes, sections, 0).vectors
    ctx.include("rows.h")
    scores = product(ctx, queries, width // lanes, lanes, sections, in_rows=batch * queries)
    mix = product(ctx, queries, sections, lanes, 1, out_rows=batch * queries)  # the values are weights of one vector
    t = ctx.scratch(sections * lanes * width, private=True)
    s = ctx.scratch(sections * lanes * queries, private=True)
    u = ctx.scratch(sections * lanes * lanes, private=True) if keys % lanes else "0"
    declared = f"""\
static const idx tap[] = {{0}};
static const struct conv scores = {scores};
static const struct conv mix = {mix};"""
    return (declared, f".scores = &scores, .mix = &mix, .vectors = {vectors},"), ["attend(&c", t, s, u]


def _in_halves(node: Node, ctx: Context, sections: int) -> tuple[tuple[str, str], list[str]]:
    """The same in bfloat16."""
    lanes, name = ctx.cpu.lanes, f"attention_{ctx.step}"
    batch, queries, keys, width = (node.attrs[key] for key in ("batch", "queries", "keys", "width"))
    plane, parts = batch * queries * lanes, width // lanes
    ctx.include("bf16_rows.h")
    one = half_product(ctx, f"{name}_scores", queries, width, sections, (plane, queries * lanes))
    two = half_product(ctx, f"{name}_mix", queries, keys, parts, (queries * lanes, plane))
    t = ctx.scratch(one.blocks * WORDS * sections * lanes, private=True)
    s = ctx.scratch(sections * lanes * queries, private=True)
    u = ctx.scratch(two.blocks * WORDS * width, private=True)
    buffer = ctx.scratch(max(one.buffer, two.buffer), private=True)
    return ("", ""), [f"attend_halves(&c, &{name}_scores, &{name}_mix", t, s, u, buffer]
