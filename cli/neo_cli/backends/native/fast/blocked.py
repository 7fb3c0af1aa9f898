"""Steps between convolutions on blocked images: reorder, elementwise, pooling, concatenation, repetition."""

from __future__ import annotations

from neo_cli.backends.native.fast.activations import NONE, number
from neo_cli.backends.native.fast.images import border, image
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator


@operator("fast.Reorder")
def reorder(node: Node, ctx: Context) -> str:
    """The same tensor in another layout."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    ctx.include("blocked.h")
    if x.layout.last or y.layout.last:
        blocked = x if x.layout.last else y
        name = "blocks_to_rows" if x.layout.last else "rows_to_blocks"
        return f"{name}(f, x0, y0, {blocked.image[3]}, {blocked.image[1]});"
    return border(y, ctx) + f"reorder(f, {image(x)}, x0, {image(y)}, y0);"


@operator("fast.ChannelsLast")
def channels_last(node: Node, ctx: Context) -> str:
    """[N, groups * C, H, W] of any layout as row-major [N, groups, H, W, C]."""
    x = node.inputs[0]
    assert x is not None
    ctx.include("blocked.h")
    return f"channels_last(f, {image(x)}, x0, y0, {node.attrs['groups']});"


@operator("fast.Map")
def unary(node: Node, ctx: Context) -> str:
    """An activation that no convolution took in."""
    x, y, act = node.inputs[0], node.outputs[0], node.attrs["act"] or NONE
    assert x is not None
    ctx.include("blocked.h")
    if act.kind not in ("NONE", "CLIP"):
        ctx.define(f"USE_ACT_{act.kind}")
    call = f"map_rows(f, {image(x)}, x0, {image(y)}, y0, ACT_{act.kind}, {number(act.a)}, {number(act.b)});"
    return border(y, ctx) + call


@operator("fast.MapRow")
def unary_row(node: Node, ctx: Context) -> str:
    """An activation of a row-major tensor."""
    act = node.attrs["act"]
    ctx.include("blocked.h")
    ctx.define(f"USE_ACT_{act.kind}")
    return f"map_flat(f, x0, y0, {node.outputs[0].size}, ACT_{act.kind}, {number(act.a)}, {number(act.b)});"


@operator("fast.Binary")
def binary(node: Node, ctx: Context) -> str:
    """A sum, difference or product; an operand may be one pixel."""
    x, z, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and z is not None
    ctx.include("blocked.h")
    kind = f"BINARY_{node.attrs['kind'].upper()}"
    return border(y, ctx) + f"binary_rows(f, {image(x)}, x0, {image(z)}, x1, {image(y)}, y0, {kind});"


@operator("fast.Pool")
def pool(node: Node, ctx: Context) -> str:
    """The largest or the mean of a window; what lies outside the image does not count unless asked."""
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    assert x is not None
    ctx.include("blocked.h")
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["strides"], attrs["dilations"]
    average = 0 if attrs["kind"] == "MaxPool" else 2 if attrs.get("count_include_pad", 0) else 1
    top, left = attrs["pads"][:2]
    return border(y, ctx) + (
        f"static const struct pool p = {{{kh}, {kw}, {sh}, {sw}, {dh}, {dw}, {top}, {left}, {average}}};\n"
        f"pool_blocked(f, &p, {image(x)}, x0, {image(y)}, y0);"
    )


@operator("fast.PoolAll")
def pool_all(node: Node, ctx: Context) -> str:
    """The largest or the mean of all pixels."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    ctx.include("blocked.h")
    return border(y, ctx) + f"pool_all(f, {image(x)}, x0, {image(y)}, y0, {int(node.attrs['largest'])});"


@operator("fast.Concat")
def concat(node: Node, ctx: Context) -> str:
    """Channels behind channels; parts that were made in place are left alone."""
    y, shift, text = node.outputs[0], 0, ""
    for index, x in enumerate(node.inputs):
        assert x is not None
        if x.home is not y:
            ctx.include("blocked.h")
            text += f"copy_blocks(f, {image(x)}, x{index}, {image(y)}, y0, {shift}, 1, 1);\n"
        shift += x.image[1] // y.layout.block
    return (border(y, ctx) if text else "") + text


@operator("fast.Resize")
def resize(node: Node, ctx: Context) -> str:
    """Each pixel repeated a whole number of times."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    ctx.include("blocked.h")
    up = [b // a for a, b in zip(x.image[2:], y.image[2:])]
    return border(y, ctx) + f"copy_blocks(f, {image(x)}, x0, {image(y)}, y0, 0, {up[0]}, {up[1]});"
