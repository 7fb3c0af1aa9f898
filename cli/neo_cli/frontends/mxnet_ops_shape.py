"""MXNet's operators that move, cut, join or make values, as ONNX nodes of static shape."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.frontends.mxnet_symbol import Node, reshaped
from neo_cli.frontends.mxnet_table import Conversion, operator, refuse

FAR = 2**31 - 1
MOST = 2**24  # values that a node may make out of nothing


@operator("flatten")
def _flatten(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("Flatten", x)


@operator("reshape")
def _reshape(c: Conversion, node: Node, x: str) -> str:
    shape = reshaped(node, c.g.shape(x))
    y = c.g.node("Reshape", x, c.g.ints(*shape))
    if x in c.arrays:  # a layer that needs the values of its weights can still have them
        c.arrays[y] = c.arrays[x].reshape(shape)
    return y


@operator("reshape_like")
def _reshape_like(c: Conversion, node: Node, x: str, like: str) -> str:
    if node.has("lhs_begin") or node.has("rhs_begin"):
        raise refuse(node, "with lhs_begin")
    return c.g.node("Reshape", x, c.g.ints(*c.g.shape(like)))


@operator("transpose")
def _transpose(c: Conversion, node: Node, x: str) -> str:
    axes = node.wholes("axes") or tuple(reversed(range(c.rank(x))))
    return c.g.node("Transpose", x, perm=[a % c.rank(x) for a in axes])


@operator("swapaxes")
def _swap(c: Conversion, node: Node, x: str) -> str:
    order = list(range(c.rank(x)))
    first, second = c.axis(node, x, 0, "dim1"), c.axis(node, x, 0, "dim2")
    order[first], order[second] = order[second], order[first]
    return c.g.node("Transpose", x, perm=order)


@operator("expand_dims")
def _expand(c: Conversion, node: Node, x: str) -> str:
    return c.g.node("Unsqueeze", x, c.g.ints(node.whole("axis")))


@operator("squeeze")
def _squeeze(c: Conversion, node: Node, x: str) -> str:
    axes = node.wholes("axis")
    return c.g.node("Squeeze", x, c.g.ints(*axes)) if axes else c.g.node("Squeeze", x)


@operator("concat")
def _concat(c: Conversion, node: Node, *x: str) -> str:
    return c.g.node("Concat", *x, axis=node.whole("dim", 1))


@operator("stack")
def _stack(c: Conversion, node: Node, *x: str) -> str:
    axis = node.whole("axis")
    return c.g.node("Concat", *(c.g.node("Unsqueeze", v, c.g.ints(axis)) for v in x), axis=axis)


@operator("slice_axis")
def _slice_axis(c: Conversion, node: Node, x: str) -> str:
    end = node.whole("end", FAR)
    return c.g.node("Slice", x, c.g.ints(node.whole("begin")), c.g.ints(end), c.g.ints(c.axis(node, x, 0)))


@operator("slice")
def _slice(c: Conversion, node: Node, x: str) -> str:
    begin, end, step = node.wholes("begin"), node.wholes("end"), node.wholes("step")
    step = tuple(s or 1 for s in step) or (1,) * len(begin)
    starts = [(0 if s > 0 else FAR) if b is None else b for b, s in zip(begin, step)]
    ends = [(FAR if s > 0 else -FAR) if e is None else e for e, s in zip(end, step)]
    return c.g.node("Slice", x, c.g.ints(*starts), c.g.ints(*ends), c.g.ints(*range(len(starts))), c.g.ints(*step))


@operator("slice_like")
def _slice_like(c: Conversion, node: Node, x: str, like: str) -> str:
    shape = c.g.shape(like)
    axes = [a % c.rank(x) for a in node.wholes("axes")] or list(range(min(len(shape), c.rank(x))))
    ends = [shape[a] for a in axes]
    return c.g.node("Slice", x, c.g.ints(*[0] * len(axes)), c.g.ints(*ends), c.g.ints(*axes))


@operator("Crop")
def _crop(c: Conversion, node: Node, x: str, *like: str) -> str:
    high, wide = c.g.shape(like[0])[2:] if like else node.wholes("h_w")
    have = c.g.shape(x)[2:]
    top, left = node.wholes("offset", (0, 0))
    if node.flag("center_crop"):
        top, left = (have[0] - high) // 2, (have[1] - wide) // 2
    return c.g.node("Slice", x, c.g.ints(top, left), c.g.ints(top + high, left + wide), c.g.ints(2, 3))


@operator("SliceChannel")
def _split(c: Conversion, node: Node, x: str) -> list[str]:
    count, axis = node.whole("num_outputs", 1), c.axis(node, x, 1)
    if count < 1 or c.g.shape(x)[axis] % count:
        raise ValueError(f"{c.g.shape(x)[axis]} does not divide into {count}")
    size = c.g.shape(x)[axis] // count
    names = [f"{node.name}_part{i}" for i in range(count)]
    parts = c.g.nodes("Split", x, c.g.ints(*[size] * count), names=names, axis=axis)
    if node.flag("squeeze_axis"):
        parts = [c.g.node("Squeeze", p, c.g.ints(axis)) for p in parts]
    return parts


@operator("Pad")
def _pad(c: Conversion, node: Node, x: str) -> str:
    width, mode = node.wholes("pad_width"), node.text("mode", "constant")
    pads = c.g.ints(*width[::2], *width[1::2])
    if mode == "constant":
        return c.g.node("Pad", x, pads, c.g.scalar(node.number("constant_value")))
    return c.g.node("Pad", x, pads, mode={"edge": "edge", "reflect": "reflect"}[mode])


@operator("tile")
def _tile(c: Conversion, node: Node, x: str) -> str:
    times, shape = list(node.wholes("reps")), list(c.g.shape(x))
    if len(times) > len(shape):
        x = c.g.node("Reshape", x, c.g.ints(*[1] * (len(times) - len(shape)), *shape))
    times = [1] * (len(shape) - len(times)) + times
    return c.g.node("Tile", x, c.g.ints(*times))


@operator("repeat")
def _repeat(c: Conversion, node: Node, x: str) -> str:
    times = node.whole("repeats", 1)
    if not node.has("axis"):
        x, axis = c.g.node("Reshape", x, c.g.ints(-1)), 0
    else:
        axis = c.axis(node, x, 0)
    shape = list(c.g.shape(x))
    y = c.g.node("Unsqueeze", x, c.g.ints(axis + 1))
    y = c.g.node("Tile", y, c.g.ints(*[1] * (axis + 1), times, *[1] * (len(shape) - axis - 1)))
    shape[axis] *= times
    return c.g.node("Reshape", y, c.g.ints(*shape))


@operator("reverse", "flip")
def _reverse(c: Conversion, node: Node, x: str) -> str:
    axes = node.wholes("axis")
    n = len(axes)
    return c.g.node("Slice", x, c.g.ints(*[-1] * n), c.g.ints(*[-FAR] * n), c.g.ints(*axes), c.g.ints(*[-1] * n))


@operator("broadcast_like")
def _broadcast_like(c: Conversion, node: Node, x: str, like: str) -> str:
    shape, target = list(c.g.shape(x)), c.g.shape(like)
    mine, theirs = node.wholes("lhs_axes"), node.wholes("rhs_axes")
    if mine:
        for a, b in zip(mine, theirs):
            shape[a] = target[b]
    return c.g.node("Expand", x, c.g.ints(*(shape if mine else target)))


@operator("broadcast_to", "broadcast_axis")
def _broadcast(c: Conversion, node: Node, x: str) -> str:
    shape = list(c.g.shape(x))
    if node.op == "broadcast_to":
        shape = [s or have for s, have in zip(node.wholes("shape"), shape)]
    else:
        for axis, size in zip(node.wholes("axis"), node.wholes("size")):
            shape[axis] = size
    return c.g.node("Expand", x, c.g.ints(*shape))


@operator("cast", "amp_cast")
def _cast(c: Conversion, node: Node, x: str) -> str:
    kind = node.text("dtype")
    if kind in ("float16", "float32", "float64"):  # float16 networks are compiled in float32
        return x
    if kind not in ("int32", "int64", "int8", "uint8"):
        raise refuse(node, f"with dtype={kind}")
    return c.g.node("Floor" if kind == "uint8" else "Identity", _truncated(c, x))


def _truncated(c: Conversion, x: str) -> str:
    """Values stay float32, as MXNet's operators want them; only the fraction is cut off."""
    return c.g.node("Cast", c.g.node("Cast", x, to=7), to=1)


@operator("zeros_like", "ones_like")
def _like(c: Conversion, node: Node, x: str) -> str:
    if math.prod(c.g.shape(x)) > MOST:
        raise refuse(node, f"of shape {c.g.shape(x)}")
    return c.g.const(np.full(c.g.shape(x), float(node.op == "ones_like"), np.float32), "filled")


@operator("_zeros", "_ones")
def _filled(c: Conversion, node: Node) -> str:
    # A begin_state has 0 where the batch is not known yet; RNN takes any such value for zeros
    shape = [s or 1 for s in node.wholes("shape")]
    if math.prod(shape) > MOST:
        raise refuse(node, f"of shape {shape}")
    return c.g.const(np.full(shape, float(node.op == "_ones"), np.float32), "filled")


@operator("_arange")
def _arange(c: Conversion, node: Node) -> str:
    start, step = node.number("start"), node.number("step", 1.0)
    if not node.has("stop"):
        start, stop = 0.0, start
    else:
        stop = node.number("stop")
    if step == 0 or abs((stop - start) / step) > MOST:
        raise refuse(node, f"from {start} to {stop} by {step}")
    times = max(1, node.whole("repeat", 1))
    if abs((stop - start) / step) * times > MOST:
        raise refuse(node, f"of {times} repetitions")
    values = np.arange(start, stop, step).repeat(times)
    return c.g.const(values.astype(np.float32), "range")


@operator("_contrib_arange_like")
def _arange_like(c: Conversion, node: Node, x: str) -> str:
    if not node.has("axis") or node.whole("repeat", 1) != 1:
        raise refuse(node, "without axis")
    count = c.g.shape(x)[c.axis(node, x, 0)]
    values = node.number("start") + node.number("step", 1.0) * np.arange(count)
    return c.g.const(values.astype(np.float32), "range")


@operator("Embedding")
def _embedding(c: Conversion, node: Node, x: str, table: str) -> str:
    return _gathered(c, table, x, 0)


@operator("take")
def _take(c: Conversion, node: Node, x: str, indices: str) -> str:
    if node.text("mode", "clip") == "wrap":
        raise refuse(node, "with mode=wrap")
    return _gathered(c, x, indices, c.axis(node, x, 0))


def _gathered(c: Conversion, table: str, indices: str, axis: int) -> str:
    """MXNet clips indices that lie outside."""
    high = c.g.const(np.array(c.g.shape(table)[axis] - 1, np.int64), "last")
    low = c.g.const(np.array(0, np.int64), "first")
    whole = c.g.node("Cast", indices, to=7)
    return c.g.node("Gather", table, c.g.node("Min", c.g.node("Max", whole, low), high), axis=axis)


@operator("one_hot")
def _one_hot(c: Conversion, node: Node, x: str) -> str:
    depth = c.g.ints(node.whole("depth", 1))
    values = c.g.const(np.array([node.number("off_value", 0), node.number("on_value", 1)], np.float32), "values")
    return c.g.node("OneHot", c.g.node("Cast", x, to=7), depth, values, axis=-1)
