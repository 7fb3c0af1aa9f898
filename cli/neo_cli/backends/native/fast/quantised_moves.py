"""Tables, concatenation and repetition of blocked 8-bit images."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.fast.quantised import border, machine
from neo_cli.backends.native.fast.quantised_blocked import qimage
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator

HEADER = "int8_moves.h"


@operator("fast.QTable")
def table(node: Node, ctx: Context) -> str:
    """attrs: `table`, 256 bytes, and the types `of` and `to` that it was made for; blocks may have others."""
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    assert x is not None
    machine(ctx, HEADER)
    entries = np.asarray(attrs["table"], np.uint8)
    if x.dtype != attrs["of"]:
        entries = np.roll(entries, 128)
    if y.dtype != attrs["to"]:
        entries = entries ^ np.uint8(128)
    k = ctx.constant(entries)
    if not x.layout.block or x.layout.last:  # blocks of rows have no borders
        count = y.bytes
        return f"q_table_flat(f, (const q8 *)x0, (q8 *)y0, {count}, {k});"
    return border(y, ctx) + f"q_table_rows(f, {qimage(x)}, x0, {qimage(y)}, y0, {k});"


def concat(node: Node, ctx: Context) -> str:
    """Channels behind channels; parts that were made in place are left alone."""
    y, shift, text = node.outputs[0], 0, ""
    machine(ctx, HEADER)
    for index, x in enumerate(node.inputs):
        assert x is not None
        if x.home is not y:
            text += f"q_copy(f, {qimage(x)}, x{index}, {qimage(y)}, y0, {shift}, 1, 1);\n"
        shift += x.image[1] // y.layout.block
    return (border(y, ctx) if text else "") + text


def resize(node: Node, ctx: Context) -> str:
    """Each pixel repeated a whole number of times."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    machine(ctx, HEADER)
    up = [b // a for a, b in zip(x.image[2:], y.image[2:])]
    return border(y, ctx) + f"q_copy(f, {qimage(x)}, x0, {qimage(y)}, y0, 0, {up[0]}, {up[1]});"
