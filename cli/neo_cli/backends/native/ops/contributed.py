"""com.microsoft operators that ONNX Runtime's optimiser makes of ordinary ones: products and convolutions with what is around them."""

from __future__ import annotations

from neo_cli.backends.native.ops.expansions import NUMBERS_AS_INPUTS, Writer, expansion
from neo_cli.backends.native.ops.reading import axis_of

CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


@expansion("FusedMatMul", "TransposeMatMul")
def fused_matmul(w: Writer) -> None:
    """alpha * A' B', each operand turned within its matrices, or with its first axis behind the batch."""
    sides = []
    for position, side in enumerate("AB"):
        x, name = w.value(position), w.name(position)
        rank = len(x.shape)
        order = list(range(rank))
        if w.attribute(f"transBatch{side}", 0) and rank > 2:
            order = [*order[1:-1], order[0], order[-1]]
        if w.attribute(f"trans{side}", 0) and rank > 1:
            order = [*order[:-2], order[-1], order[-2]]
        sides.append(w.turn(name, *order) if order != sorted(order) else name)
    alpha = float(w.attribute("alpha", 1.0))
    if alpha == 1.0:
        w.op("MatMul", *sides, out=w.result(0))
    else:
        w.scaled(w.op("MatMul", *sides), alpha, w.value(0).dtype, out=w.result(0))


def _activated(w: Writer, x: str, name: str, numbers: list[float], dtype: str) -> None:
    """The activation `name` of x as the result."""
    out = w.result(0)
    if not name:
        w.op("Identity", x, out=out)
    elif name == "LeakyRelu":
        w.op(name, x, out=out, alpha=numbers[0] if numbers else None)
    elif name == "HardSigmoid":
        alpha, beta = [*numbers, None, None][:2]
        w.op(name, x, out=out, alpha=alpha, beta=beta)
    elif name == "Clip":
        w.need(NUMBERS_AS_INPUTS)
        w.op(name, x, *(w.const(n, dtype) for n in numbers), out=out)
    elif name in ("Relu", "Tanh", "Sigmoid", "HardSwish"):
        w.op(name, x, out=out)
    else:
        raise w.refuse(f"its activation is {name}")


@expansion("FusedGemm")
def fused_gemm(w: Writer) -> None:
    y = w.op("Gemm", *filter(None, map(w.name, range(3))), **w.attributes("alpha", "beta", "transA", "transB"))
    named = [w.attribute(f"activation_{n}") for n in ("alpha", "beta", "gamma")]
    _activated(w, y, w.attribute("activation", ""), [n for n in named if n is not None], w.value(0).dtype)


@expansion("FusedConv")
def fused_conv(w: Writer) -> None:
    """Convolution, a fourth input added, an activation."""
    given = [w.name(k) for k in range(3)]
    y = w.op("Conv", *(given if given[2] else given[:2]), **w.attributes(*CONV))
    if w.name(3):
        y = w.op("Add", y, w.name(3))
    _activated(w, y, w.attribute("activation", ""), list(w.attribute("activation_params", ())), w.value(0).dtype)


@expansion("GatherND", "GridSample", "Pad", "Range", "Trilu")
def same_name(w: Writer) -> None:
    """Operators that ONNX took over as they were."""
    attributes = w.attributes(*(a.name for a in w.node.attribute))
    w.op(w.node.op_type, *w.node.input, out=list(w.node.output), **attributes)


@expansion("ExpandDims")
def expand_dims(w: Writer) -> None:
    axis = w.constant(1)
    if axis is None:
        raise w.refuse("its axis is known only at run time")
    shape = list(w.value(0).shape)
    shape.insert(axis_of(int(axis.reshape(-1)[0]), len(shape) + 1), 1)
    w.reshape(w.name(0), *shape, out=w.result(0))


@expansion("UnfoldTensor")
def unfold(w: Writer) -> None:
    """Windows of one axis, a new last axis within each."""
    shape = w.value(0).shape
    axis, size, step = axis_of(int(w.attribute("dim", -1)), len(shape)), w.attribute("size"), w.attribute("step", 1)
    places = [range(start, start + size) for start in range(0, shape[axis] - size + 1, step)]
    windows = w.op("Gather", w.name(0), w.const(places, "int64"), axis=axis)
    order = [d for d in range(len(shape) + 1) if d != axis + 1]
    w.turn(windows, *order, axis + 1, out=w.result(0))


@expansion("ScaledSiLU")
def scaled_silu(w: Writer) -> None:
    dtype = w.value(0).dtype
    scale = w.cast(w.name(1), dtype) if w.name(1) else w.const(w.attribute("alpha", 1.0), dtype)
    z = w.op("Mul", w.name(0), scale)
    w.op("Mul", z, w.op("Sigmoid", z), out=w.result(0))


@expansion("CDist")
def distances(w: Writer) -> None:
    """The (squared) distance of every row of A from every row of B."""
    a, b = w.value(0), w.value(1)
    metric = w.attribute("metric", "sqeuclidean")
    if metric not in ("sqeuclidean", "euclidean"):
        raise w.refuse(f"its metric is {metric}")
    rows = w.reshape(w.name(0), a.shape[0], 1, a.shape[1])
    d = w.op("Sub", rows, w.reshape(w.name(1), 1, *b.shape))
    found = w.op("MatMul", w.reshape(d, -1, 1, a.shape[1]), w.reshape(d, -1, a.shape[1], 1))
    square = metric == "sqeuclidean"
    far = w.reshape(found, a.shape[0], b.shape[0], out=w.result(0) if square else "")
    if not square:
        w.op("Sqrt", far, out=w.result(0))
