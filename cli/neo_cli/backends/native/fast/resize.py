"""Linear resizing of blocked images and volumes."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.fast.images import border, each_sample, image
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator


@operator("fast.ResizeLinear")
def resize_linear(node: Node, ctx: Context) -> str:
    """attr `neighbours`: for each spatial axis the places [size, 2] of the two elements of each result, and their weights."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    ctx.include("blocked.h")
    tables = list(node.attrs["neighbours"])
    sizes = (y.image[0], *y.image[2:])
    missing = [_same(size) for size in sizes[: 3 - len(tables)]]  # of images, and of signals' rows
    places, weights = zip(*(missing + tables))
    at = ctx.constant(np.concatenate(places).astype(np.int32))
    by = ctx.constant(np.concatenate(weights).astype(np.float32))
    line = ctx.scratch(x.image[3] * ctx.cpu.lanes, private=True)
    return border(y, ctx) + each_sample(node, f"resize_linear(f, {image(x)}, x0, {image(y)}, y0, {at}, {by}, {line});")


def _same(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The table of an axis that does not change."""
    return np.repeat(np.arange(size)[:, None], 2, axis=1), np.tile([1.0, 0.0], (size, 1))
