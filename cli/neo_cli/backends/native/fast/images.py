"""Values as the kernels' struct image, and what several rules say in C about them."""

from __future__ import annotations

import re

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context


def image(value: Value) -> str:
    """A compound literal that describes the value's layout."""
    n, c, h, w = value.image
    whole, plane, row = value.pitch
    return f"&(const struct image){{{n}, {c}, {h}, {w}, {value.layout.block}, {whole}, {plane}, {row}, {value.first}}}"


def each_sample(node: Node, call: str) -> str:
    """The call once for each sample of volumes, its pointers x0, y0, ... moved on; as it stands for images."""
    count = node.outputs[0].samples
    values = {**{f"x{i}": v for i, v in enumerate(node.inputs)}, **{f"y{i}": v for i, v in enumerate(node.outputs)}}
    moving = {name: v.sample for name, v in values.items() if v is not None and v.const is None and v.samples > 1}
    if count == 1 or not moving:
        return call
    moved = re.sub(r"\b[xy]\d+\b", lambda m: f"{m[0]} + sample * {moving[m[0]]}" if m[0] in moving else m[0], call)
    return f"for (idx sample = 0; sample < {count}; sample++) {{\n{moved}\n}}"


def border(value: Value, ctx: Context, pointer: str = "y0") -> str:
    """The statements that zero the border of a value, whole slices too; nothing when it has none."""
    if ctx.inside or not value.layout.bordered:
        return ""
    ctx.include("blocked.h")
    n, c, h, w = value.image
    top, left, bottom, right = value.layout.border
    block, (front, back) = max(1, value.layout.block), value.layout.slices
    planes = value.samples * -(-c // block)
    text = ""
    if any(value.layout.border):
        text = (
            f"zero_border(f, {pointer}, {planes * (front + n + back)}, {h + top + bottom}, {w + left + right}, {block}, "
            f"{top}, {left}, {bottom}, {right});\n"
        )
    if front or back:  # a plane whose rows are slices
        size = value.pitch[0]
        text += f"zero_border(f, {pointer}, {planes}, {front + n + back}, 1, {size}, {front}, 0, {back}, 0);\n"
    return text
