"""Layer norm and attention on blocked rows."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.fast.activations import number
from neo_cli.backends.native.fast.conv import blocks_of
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
    """inputs: q, k, v of [1, length, heads * width], an additive mask or None."""
    q, k, mask = node.inputs[0], node.inputs[1], node.inputs[3]
    assert q is not None and k is not None
    lanes, heads = ctx.cpu.lanes, node.attrs["heads"]
    _, channels, _, queries = q.image
    keys, width = k.image[3], channels // heads
    sections = blocks_of(keys, lanes)
    vectors = schedule.direct(ctx.cpu, 1, queries, width // lanes, lanes, sections, 0).vectors
    ctx.include("rows.h")
    scores = product(ctx, queries, width // lanes, lanes, sections)
    # The values are read as weights of one vector; their last block of keys may hang over, scores there are zero.
    mix = product(ctx, queries, sections, lanes, 1)
    t = ctx.scratch(sections * lanes * width, private=True)
    s = ctx.scratch(sections * queries * lanes, private=True)
    zero = ctx.constant(np.zeros(sections * lanes, np.float32))
    rows = 1 if mask is None or mask.shape[2] == 1 else mask.shape[2]
    text = ""
    if mask is not None:
        m = ctx.scratch(rows * sections * lanes, private=True)
        text = (
            f"for (idx r = 0; r < {rows}; r++)\n"
            f"    for (int i = 0; i < {sections * lanes}; i++) "
            f"{m}[r * {sections * lanes} + i] = i < {keys} ? x3[r * {keys} + i] : -__builtin_inff();\n"
        )
    else:
        beyond = np.zeros(sections * lanes, np.float32)
        beyond[keys:] = -np.inf
        m = ctx.constant(beyond)
    return f"""\
static const idx tap[] = {{0}};
static const struct conv scores = {scores};
static const struct conv mix = {mix};
static const struct attention c = {{
    .heads = {heads}, .queries = {queries}, .keys = {keys}, .width = {width}, .scale = {number(node.attrs["scale"])},
    .mask_row = {0 if rows == 1 else sections * lanes}, .scores = &scores, .mix = &mix, .vectors = {vectors},
}};
{text}attend(&c, f, x0, x1, x2, {m}, {zero}, y0, {t}, {s});"""
