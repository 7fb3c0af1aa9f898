"""Rules for operators that move, cut, join, look up and convert elements."""

from __future__ import annotations

import numpy as np
from onnx import helper

from neo_cli.base.errors import InputError
from neo_cli.frontends.tflite_convert import CONVERT, Converter, rule
from neo_cli.frontends.tflite_file import Operation

TO_PLANAR = {0: 0, 1: 2, 2: 3, 3: 1}  # where an axis of NHWC lies in NCHW


@rule("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
def reshape(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("Reshape", [c.value(op.inputs[0]), c.const(list(c.shape(op.outputs[0])))]))


@rule("QUANTIZE", "DEQUANTIZE", "DENSIFY")
def requantize(c: Converter, op: Operation) -> None:
    """define() rounds to the output's steps; constants were widened and filled in when they were read."""
    planar = op.inputs[0] in c.planar
    c.define(op.outputs[0], c.planar[op.inputs[0]] if planar else c.value(op.inputs[0]), planar)


@rule("TRANSPOSE")
def transpose(c: Converter, op: Operation) -> None:
    perm = c.ints(op, 1)
    if op.inputs[0] in c.planar and perm == [0, 3, 1, 2]:
        c.define(op.outputs[0], c.planar[op.inputs[0]])
        return
    c.define(op.outputs[0], c.node("Transpose", [c.value(op.inputs[0])], perm=perm))


@rule("CONCATENATION")
def concatenation(c: Converter, op: Operation) -> None:
    axis = (op.options.number(0) if op.options else 0) % len(c.shape(op.outputs[0]))
    planar = all(i in c.planar for i in op.inputs)
    values = [c.planar[i] if planar else c.value(i) for i in op.inputs]
    made = c.node("Concat", values, axis=TO_PLANAR[axis] if planar else axis)
    c.define(op.outputs[0], c.activation(made, op.options.number(1, "<b") if op.options else 0), planar)


@rule("SPLIT", "SPLIT_V")
def split(c: Converter, op: Operation) -> None:
    value, axis = (op.inputs[1], 0) if op.kind == "SPLIT" else (op.inputs[0], 2)
    place = c.ints(op, axis)[0] % len(c.shape(value))
    sizes = [c.shape(o)[place] for o in op.outputs]
    first = c.node("Split", [c.value(value), c.const(sizes)], outputs=len(op.outputs), axis=place)
    for output, name in zip(op.outputs, c.outputs_of(first, len(op.outputs)), strict=True):
        c.define(output, name)


@rule("PACK")
def pack(c: Converter, op: Operation) -> None:
    axis = op.options.number(1) if op.options else 0
    axis %= len(c.shape(op.outputs[0]))
    parts = [c.node("Unsqueeze", [c.value(i), c.const([axis])]) for i in op.inputs]
    c.define(op.outputs[0], c.node("Concat", parts, axis=axis))


@rule("UNPACK")
def unpack(c: Converter, op: Operation) -> None:
    axis = (op.options.number(1) if op.options else 0) % len(c.shape(op.inputs[0]))
    first = c.node("Split", [c.value(op.inputs[0])], outputs=len(op.outputs), axis=axis)
    for output, name in zip(op.outputs, c.outputs_of(first, len(op.outputs)), strict=True):
        c.define(output, c.node("Squeeze", [name, c.const([axis])]))


@rule("SLICE")
def slice_(c: Converter, op: Operation) -> None:
    begin, size, shape = c.ints(op, 1), c.ints(op, 2), c.shape(op.inputs[0])
    ends = [n if s == -1 else b + s for b, s, n in zip(begin, size, shape, strict=True)]
    c.define(
        op.outputs[0],
        c.node("Slice", [c.value(op.inputs[0]), c.const(begin), c.const(ends), c.const(list(range(len(begin))))]),
    )


@rule("STRIDED_SLICE")
def strided_slice(c: Converter, op: Operation) -> None:
    begin, end, step = (c.ints(op, i) for i in (1, 2, 3))
    low, high, ellipsis, new, shrink = (op.options.number(i) for i in range(5)) if op.options else (0,) * 5
    shape, axis = c.shape(op.inputs[0]), 0
    spared = len(shape) - sum(1 for i in range(len(begin)) if not (ellipsis | new) >> i & 1)  # what an ellipsis is for
    cuts: list[tuple[int, int, int, int]] = []  # axis, start, stop, step
    for i, (b, e, s) in enumerate(zip(begin, end, step, strict=True)):
        if ellipsis >> i & 1:
            axis += spared
            continue
        if new >> i & 1:
            continue
        if shrink >> i & 1:
            cuts.append((axis, b % shape[axis], b % shape[axis] + 1, 1))
        else:
            part = slice(None if low >> i & 1 else b, None if high >> i & 1 else e, s)
            first, last, _ = part.indices(shape[axis])
            cuts.append((axis, first, last if last >= 0 else -(2**31), s))
        axis += 1
    axes, starts, stops, steps = (c.const([cut[k] for cut in cuts]) for k in range(4))
    made = c.node("Slice", [c.value(op.inputs[0]), starts, stops, axes, steps]) if cuts else c.value(op.inputs[0])
    same = not (new or shrink)
    c.define(op.outputs[0], made if same else c.node("Reshape", [made, c.const(list(c.shape(op.outputs[0])))]))


@rule("PAD", "PADV2", "MIRROR_PAD")
def pad(c: Converter, op: Operation) -> None:
    pairs = c.demand(op, 1).reshape(-1, 2).astype(np.int64)
    planar = op.inputs[0] in c.planar
    if planar:
        pairs = pairs[[0, 3, 1, 2]]
    value = c.planar[op.inputs[0]] if planar else c.value(op.inputs[0])
    amounts = c.const([int(v) for v in pairs.T.reshape(-1)])
    if op.kind == "MIRROR_PAD":
        if op.options is not None and op.options.number(0, "<b") == 1:
            raise InputError(f"{CONVERT} MIRROR_PAD in symmetric mode is not understood.")
        made = c.node("Pad", [value, amounts], mode="reflect")
    else:
        fill = [c.const(np.asarray(c.demand(op, 2)).reshape(()))] if op.kind == "PADV2" else []
        made = c.node("Pad", [value, amounts, *fill])
    c.define(op.outputs[0], made, planar)


@rule("GATHER")
def gather(c: Converter, op: Operation) -> None:
    """One axis by indices; behind batch axes, which both have, as GatherND with that axis moved behind them."""
    axis, batch = (op.options.number(0), op.options.number(1)) if op.options else (0, 0)
    if not batch:
        c.define(op.outputs[0], c.node("Gather", [c.value(op.inputs[0]), c.value(op.inputs[1])], axis=axis))
        return
    rank, places = len(c.shape(op.inputs[0])), len(c.shape(op.inputs[1]))
    axis, batch = axis % rank, batch % places if batch < 0 else batch
    between = list(range(batch, axis))
    value = c.value(op.inputs[0])
    if between:
        value = c.node("Transpose", [value], perm=[*range(batch), axis, *between, *range(axis + 1, rank)])
    found = c.node("GatherND", [value, c.node("Unsqueeze", [_wide(c, op.inputs[1]), c.const([-1])])], batch_dims=batch)
    if between:
        moved = range(places, places + len(between))
        rest = range(places + len(between), places + rank - batch - 1)
        found = c.node("Transpose", [found], perm=[*range(batch), *moved, *range(batch, places), *rest])
    c.define(op.outputs[0], found)


@rule("EMBEDDING_LOOKUP")
def embedding(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("Gather", [c.value(op.inputs[1]), c.value(op.inputs[0])], axis=0))


def _wide(c: Converter, index: int) -> str:
    """Indices as ONNX wants them."""
    return c.node("Cast", [c.value(index)], to=helper.np_dtype_to_tensor_dtype(np.dtype("int64")))


@rule("GATHER_ND")
def gather_nd(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("GatherND", [c.value(op.inputs[0]), _wide(c, op.inputs[1])]))


@rule("SCATTER_ND")
def scatter_nd(c: Converter, op: Operation) -> None:
    zeros = c.const(np.zeros(c.ints(op, 2), c.tensor(op.outputs[0]).dtype))
    c.define(op.outputs[0], c.node("ScatterND", [zeros, _wide(c, op.inputs[0]), c.value(op.inputs[1])]))


@rule("TILE")
def tile(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("Tile", [c.value(op.inputs[0]), c.const(c.ints(op, 1))]))


@rule("BROADCAST_TO")
def broadcast_to(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("Expand", [c.value(op.inputs[0]), c.const(list(c.shape(op.outputs[0])))]))


@rule("FILL")
def fill(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.node("Expand", [c.value(op.inputs[1]), c.const(list(c.shape(op.outputs[0])))]))


@rule("SHAPE")
def shape(c: Converter, op: Operation) -> None:
    c.define(op.outputs[0], c.const(np.asarray(c.shape(op.inputs[0]), c.tensor(op.outputs[0]).dtype)))


@rule("CAST")
def cast(c: Converter, op: Operation) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(c.tensor(op.outputs[0]).dtype))
    planar = op.inputs[0] in c.planar
    c.define(
        op.outputs[0], c.node("Cast", [c.planar[op.inputs[0]] if planar else c.value(op.inputs[0])], to=kind), planar
    )


@rule("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def depth_to_space(c: Converter, op: Operation) -> None:
    size = op.options.number(0) if op.options else 1
    kind = "DepthToSpace" if op.kind == "DEPTH_TO_SPACE" else "SpaceToDepth"
    c.define(op.outputs[0], c.node(kind, [c.image(op.inputs[0])], blocksize=size), planar=True)


@rule("REVERSE_V2")
def reverse(c: Converter, op: Operation) -> None:
    axes = [a % len(c.shape(op.inputs[0])) for a in c.ints(op, 1)]
    low = c.const([-(2**31)] * len(axes))
    c.define(
        op.outputs[0],
        c.node(
            "Slice", [c.value(op.inputs[0]), c.const([-1] * len(axes)), low, c.const(axes), c.const([-1] * len(axes))]
        ),
    )


@rule("ONE_HOT")
def one_hot(c: Converter, op: Operation) -> None:
    axis = op.options.number(0) if op.options else -1
    depth = c.const(np.asarray(c.ints(op, 1)[0], np.int64))
    values = c.const(np.stack([np.asarray(c.demand(op, 3)).reshape(()), np.asarray(c.demand(op, 2)).reshape(())]))
    c.define(op.outputs[0], c.node("OneHot", [_wide(c, op.inputs[0]), depth, values], axis=axis))


@rule("TOPK_V2")
def top_k(c: Converter, op: Operation) -> None:
    first = c.node("TopK", [c.value(op.inputs[0]), c.const([c.ints(op, 1)[0]])], outputs=2, axis=-1)
    for output, name in zip(op.outputs, c.outputs_of(first, 2), strict=True):
        c.define(output, name)


@rule("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
def space_to_batch(c: Converter, op: Operation) -> None:
    """Pads (or crops) around a reshape and a transpose, as TensorFlow defines both."""
    blocks, pairs = c.ints(op, 1), c.demand(op, 2).reshape(-1, 2).astype(int).tolist()
    shape, m = list(c.shape(op.inputs[0])), len(blocks)
    value, rest = c.value(op.inputs[0]), shape[1 + m :]
    if op.kind == "SPACE_TO_BATCH_ND":
        around = [0, *(p[0] for p in pairs), *[0] * len(rest), 0, *(p[1] for p in pairs), *[0] * len(rest)]
        value = c.node("Pad", [value, c.const(around)])
        sizes = [n + sum(p) for n, p in zip(shape[1 : 1 + m], pairs, strict=True)]
        split_ = [s for n, b in zip(sizes, blocks, strict=True) for s in (n // b, b)]
        value = c.node("Reshape", [value, c.const([shape[0], *split_, *rest])])
        perm = (
            [2 * i + 2 for i in range(m)]
            + [0]
            + [2 * i + 1 for i in range(m)]
            + list(range(1 + 2 * m, 1 + 2 * m + len(rest)))
        )
        value = c.node("Transpose", [value], perm=perm)
        c.define(op.outputs[0], c.node("Reshape", [value, c.const(list(c.shape(op.outputs[0])))]))
        return
    batch = shape[0] // int(np.prod(blocks))
    value = c.node("Reshape", [value, c.const([*blocks, batch, *shape[1:]])])
    perm = [m] + [p for i in range(m) for p in (m + 1 + i, i)] + list(range(2 * m + 1, 2 * m + 1 + len(rest)))
    value = c.node("Transpose", [value], perm=perm)
    sizes = [n * b for n, b in zip(shape[1 : 1 + m], blocks, strict=True)]
    value = c.node("Reshape", [value, c.const([batch, *sizes, *rest])])
    ends = [n - p[1] for n, p in zip(sizes, pairs, strict=True)]
    c.define(
        op.outputs[0],
        c.node("Slice", [value, c.const([p[0] for p in pairs]), c.const(ends), c.const(list(range(1, 1 + m)))]),
    )
