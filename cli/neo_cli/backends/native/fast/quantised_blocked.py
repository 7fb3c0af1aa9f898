"""Steps between quantised convolutions on blocked images of 8-bit numbers: quantisation, reorder, sums, pooling."""

from __future__ import annotations

from neo_cli.backends.native.fast.activations import number
from neo_cli.backends.native.fast.quantised import border, finish, machine
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types

HEADER = "int8_blocked.h"
EIGHT = ("int8", "uint8")


def qimage(value: Value) -> str:
    """A compound literal that describes the value's layout."""
    n, c, h, w = value.image
    whole, plane, row = value.pitch
    return f"&(const struct qimage){{{n}, {c}, {h}, {w}, {value.layout.block}, {whole}, {plane}, {row}, {value.first}}}"


def scaling(scale: float, zero: int, y: Value, dtype: str, flip: int = 0) -> str:
    """A struct qscale for numbers of `dtype` with a zero point, which y holds in the type of its blocks."""
    low, high = types.limits(dtype)
    fields = ", ".join([number(scale), number(low - zero), number(high - zero), str(y.layout.fill), str(flip)])
    return f"&(const struct qscale){{{fields}}}"


def reorder(node: Node, ctx: Context) -> str:
    """An 8-bit tensor in another layout; its bytes change where blocks have another sign."""
    x, y = node.inputs[0], node.outputs[0]
    assert x is not None
    machine(ctx, HEADER)
    flip = 128 if x.dtype != y.dtype else 0
    if x.layout.last or y.layout.last:
        blocked, name = (x, "q_blocks_to_rows") if x.layout.last else (y, "q_rows_to_blocks")
        channels = blocked.shape[-1]
        return f"{name}(f, (const q8 *)x0, (q8 *)y0, {blocked.size // channels}, {channels}, {flip});"
    if y.layout.block:
        text = f"q_bytes_to_blocks(f, {qimage(x)}, x0, {qimage(y)}, y0, {scaling(1.0, 0, y, y.dtype, flip)});"
        return border(y, ctx) + text
    return f"q_from_blocks(f, {qimage(x)}, x0, {qimage(y)}, (q8 *)y0, {flip});"


@operator("fast.QQuantise")
def quantise(node: Node, ctx: Context) -> str:
    """A row-major image of floats as blocks of 8-bit numbers. attrs: scale, zero and dtype of the tensor."""
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    assert x is not None
    machine(ctx, HEADER)
    scale = scaling(attrs["scale"], attrs["zero"], y, attrs["dtype"])
    return border(y, ctx) + f"q_quantise_to_blocks(f, {qimage(x)}, x0, {qimage(y)}, y0, {scale});"


@operator("fast.QAdd")
def add(node: Node, ctx: Context) -> str:
    """inputs: two tensors of one shape; attr `sum` as fast.QConv has it, `zero` the first one's zero point."""
    x, z, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and z is not None
    machine(ctx, HEADER)
    whole = Node(node.op, node.name, [x, None, None, z], node.outputs, {**node.attrs, "low": 0, "high": 0})
    shift = x.layout.fill - node.attrs["zero"]
    return border(y, ctx) + (
        f"static const struct qfinish c = {finish(whole)};\n"
        f"q_add(f, {qimage(x)}, x0, {qimage(z)}, x1, {qimage(y)}, y0, &c, {shift});"
    )


@operator("fast.QPool")
def pool(node: Node, ctx: Context) -> str:
    """The largest of a window."""
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    assert x is not None
    machine(ctx, HEADER)
    (kh, kw), (sh, sw), (dh, dw) = attrs["kernel"], attrs["strides"], attrs["dilations"]
    top, left = attrs["pads"][:2]
    return border(y, ctx) + (
        f"static const struct qpool p = {{{kh}, {kw}, {sh}, {sw}, {dh}, {dw}, {top}, {left}}};\n"
        f"q_largest(f, &p, {qimage(x)}, x0, {qimage(y)}, y0);"
    )


@operator("fast.QAverage")
def average(node: Node, ctx: Context) -> str:
    """The mean of all pixels. attrs: `factor` of the sum, `zero` and `dtype` of the result."""
    x, y, attrs = node.inputs[0], node.outputs[0], node.attrs
    assert x is not None
    machine(ctx, HEADER)
    scale = scaling(attrs["factor"], attrs["zero"], y, attrs["dtype"])
    return border(y, ctx) + f"q_average(f, {qimage(x)}, x0, {qimage(y)}, y0, {x.layout.fill}, {scale});"
