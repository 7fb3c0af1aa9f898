"""Values as the kernels' struct image, and what several rules say in C about them."""

from __future__ import annotations

from neo_cli.backends.native.ir import Value
from neo_cli.backends.native.operators import Context


def image(value: Value) -> str:
    """A compound literal that describes the value's layout."""
    n, c, h, w = value.image
    whole, plane, row = value.pitch
    return f"&(const struct image){{{n}, {c}, {h}, {w}, {value.layout.block}, {whole}, {plane}, {row}, {value.first}}}"


def border(value: Value, ctx: Context, pointer: str = "y0") -> str:
    """The statement that zeroes the border of a value; nothing when it has none."""
    if ctx.inside or not any(value.layout.border):
        return ""
    ctx.include("blocked.h")
    n, c, h, w = value.image
    top, left, bottom, right = value.layout.border
    block = max(1, value.layout.block)
    return (
        f"zero_border(f, {pointer}, {n * -(-c // block)}, {h + top + bottom}, {w + left + right}, {block}, "
        f"{top}, {left}, {bottom}, {right});\n"
    )
