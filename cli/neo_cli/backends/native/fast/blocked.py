"""Steps between convolutions on blocked images and volumes: reorder, elementwise, pooling, concatenation, repetition."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.fast import quantised_blocked, quantised_moves
from neo_cli.backends.native.fast.activations import NONE, number
from neo_cli.backends.native.fast.conv import padded
from neo_cli.backends.native.fast.images import border, each_sample, image
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator


@operator("fast.Reorder")
def reorder(node: Node, ctx: Context) -> str:
    """The same tensor in another layout."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    if x.dtype in quantised_blocked.EIGHT:
        return quantised_blocked.reorder(node, ctx)
    ctx.include("blocked.h")
    if x.layout.last or y.layout.last:
        blocked = x if x.layout.last else y
        name = "blocks_to_rows" if x.layout.last else "rows_to_blocks"
        return f"{name}(f, x0, y0, {blocked.image[3]}, {blocked.image[1]});"
    return border(y, ctx) + each_sample(node, f"reorder(f, {image(x)}, x0, {image(y)}, y0);")


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
    return border(y, ctx) + each_sample(node, call)


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
    call = f"binary_rows(f, {image(x)}, x0, {image(z)}, x1, {image(y)}, y0, {kind});"
    return border(y, ctx) + each_sample(node, call)


@operator("fast.Pool")
def pool(node: Node, ctx: Context) -> str:
    """The largest or the mean of a window; what lies outside the image does not count unless asked."""
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    assert x is not None
    ctx.include("blocked.h")
    kernel, (sh, sw), (dh, dw) = (1, *attrs["kernel"])[-3:], attrs["strides"], attrs["dilations"]
    (sd, dd, front, _), (top, left) = attrs.get("depth", (1, 1, 0, 0)), attrs["pads"][:2]
    average = 0 if attrs["kind"] == "MaxPool" else 2 if attrs.get("count_include_pad", 0) else 1
    fields = ", ".join(map(str, (*kernel, sd, sh, sw, dd, dh, dw, front, top, left, average)))
    call = each_sample(node, f"pool_blocked(f, &p, {image(x)}, x0, {image(y)}, y0);")
    return border(y, ctx) + f"static const struct pool p = {{{fields}}};\n{call}"


@operator("fast.PoolAll")
def pool_all(node: Node, ctx: Context) -> str:
    """The largest or the mean of all pixels."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    ctx.include("blocked.h")
    call = f"pool_all(f, {image(x)}, x0, {image(y)}, y0, {int(node.attrs['largest'])});"
    return border(y, ctx) + each_sample(node, call)


@operator("fast.Concat")
def concat(node: Node, ctx: Context) -> str:
    """Channels behind channels; parts that were made in place are left alone."""
    y, shift, text = node.outputs[0], 0, ""
    if y.dtype in quantised_blocked.EIGHT:
        return quantised_moves.concat(node, ctx)
    for index, x in enumerate(node.inputs):
        assert x is not None
        if x.home is not y:
            ctx.include("blocked.h")
            call = f"copy_blocks(f, {image(x)}, x{index}, {image(y)}, y0, {shift}, 1, 1, 1);"
            text += each_sample(node, call) + "\n"
        shift += x.image[1] // y.layout.block
    return (border(y, ctx) if text else "") + text


@operator("fast.Resize")
def resize(node: Node, ctx: Context) -> str:
    """Each pixel repeated a whole number of times."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    if y.dtype in quantised_blocked.EIGHT:
        return quantised_moves.resize(node, ctx)
    ctx.include("blocked.h")
    up = [b // a for a, b in zip((*x.image[2:], x.image[0]), (*y.image[2:], y.image[0]))]
    call = f"copy_blocks(f, {image(x)}, x0, {image(y)}, y0, 0, {', '.join(map(str, up))});"
    return border(y, ctx) + each_sample(node, call)


@operator("fast.Affine")
def affine(node: Node, ctx: Context) -> str:
    """A batch norm that no convolution took in: x * scale + shift; attrs `scale` and `shift` are one number a channel."""
    x, y, lanes = node.inputs[0], node.outputs[0], ctx.cpu.lanes
    assert x is not None
    ctx.include("blocked.h")
    scale, shift = (ctx.constant(padded(node.attrs[key], x.image[1], lanes)) for key in ("scale", "shift"))
    call = f"affine_rows(f, {image(x)}, x0, {scale}, {shift}, {image(y)}, y0);"
    return border(y, ctx) + each_sample(node, call)


@operator("fast.InstanceNorm")
def instance_norm(node: Node, ctx: Context) -> str:
    """inputs: x, scale, shift (constants): each channel of a sample by its own mean and variance."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    ctx.include("blocked.h")
    parts = [np.asarray(v.const, np.float32) for v in node.inputs[1:3] if v is not None]
    scale, shift = (ctx.constant(padded(part, x.image[1], ctx.cpu.lanes)) for part in parts)
    slices = x.image[0] if x.volume else 1
    ending = f"{image(y)}, y0, {slices}, {number(node.attrs['epsilon'])}"
    return border(y, ctx) + each_sample(node, f"instance_norm(f, {image(x)}, x0, {scale}, {shift}, {ending});")
