"""Which quantised nodes compute on blocked images of 8-bit numbers, in which ones, and what border their inputs need."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.fast.quantised import BLOCK, KINDS
from neo_cli.backends.native.fuse_conv import window_of
from neo_cli.backends.native.ir import ROW, Layout, Node, Value
from neo_cli.backends.native.layout_rules import Blocked, FormsOf, repeats
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.reading import needed
from neo_cli.backends.native.rewrite import scalar

EIGHT = ("int8", "uint8")


def fill(zero: int, dtype: str, cpu: Cpu) -> int:
    """A zero point in the type that blocks have."""
    if dtype == cpu.int8.dtype:
        return zero
    return zero + 128 if dtype == "int8" else zero - 128


def present(value: Value | None, forms_of: FormsOf) -> Layout | None:
    """The blocked layout in which an 8-bit image lies already."""
    if value is None or value.dtype not in EIGHT or not 2 <= len(value.shape) <= 4:
        return None
    return next((layout for layout in forms_of(value) if layout.block == BLOCK and not layout.last), None)


def _conv(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked:
    x, w, add, y, attrs = node.inputs[0], node.inputs[1], node.inputs[3], node.outputs[0], node.attrs
    assert x is not None and w is not None
    planar = not attrs["last"] and x.shape[1] <= 4 and attrs["group"] == 1
    into = Layout(4 if planar else BLOCK, last=attrs["last"], fill=fill(attrs["x_zero"], x.dtype, cpu))
    out, added = ROW, None
    if KINDS[y.dtype] == 0:
        zero = attrs["sum"]["zero"] if add is not None else attrs["zero"]
        out = Layout(BLOCK, last=attrs["last"], fill=fill(zero, y.dtype, cpu))
    if add is not None:
        added = Layout(BLOCK, last=attrs["last"], fill=fill(attrs["sum"]["other_zero"], add.dtype, cpu))
    return Blocked("fast.QConv", [into, None, None, added, *([ROW] if len(node.inputs) > 4 else [])], out)


def _quantise(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    """Floats that a convolution reads go into blocks at once (attr `block`, set by fusion)."""
    block, scale, zero = node.attrs.get("block"), scalar(node.inputs[1]), zero_of(node, 2)
    y = node.outputs[0]
    if not block or scale is None or zero is None or not 3 <= len(y.shape) <= 4:
        return None
    attrs = {"scale": scale, "zero": zero, "dtype": y.dtype}
    node.inputs = node.inputs[:1]
    return Blocked("fast.QQuantise", [ROW], Layout(block, fill=fill(zero, y.dtype, cpu)), attrs)


def zero_of(node: Node, position: int) -> int | None:
    """A constant zero point of one number; 0 when it is left out."""
    value = node.inputs[position] if len(node.inputs) > position else None
    if value is None:
        return 0
    found = scalar(value)
    return None if found is None else int(found)


def _add(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    a, b, y = node.inputs[0], node.inputs[3], node.outputs[0]
    total = sum_of(node)
    lies = present(a, forms_of) or present(b, forms_of)
    if total is None or lies is None or a is None or b is None or not a.shape == b.shape == y.shape:
        return None
    layouts: list[Layout | None] = [
        Layout(BLOCK, fill=fill(zero, v.dtype, cpu)) for v, zero in ((a, total["own_zero"]), (b, total["other_zero"]))
    ]
    node.inputs = [a, b]
    attrs = {"sum": total, "zero": total["own_zero"]}
    return Blocked("fast.QAdd", layouts, Layout(BLOCK, fill=fill(total["zero"], y.dtype, cpu)), attrs)


def sum_of(node: Node) -> dict | None:
    """What a QLinearAdd adds, as fast.QConv's attr `sum`, its first operand being the own one."""
    scales = [s for i in (1, 4, 6) if (s := scalar(node.inputs[i])) is not None]
    zeros = [z for i in (2, 5, 7) if (z := zero_of(node, i)) is not None]
    if len(scales) < 3 or len(zeros) < 3 or not max(scales[:2]) < scales[2] * 2**20:
        return None  # or the rounded sum may need over 32 bits
    low, high = types.limits(node.outputs[0].dtype)
    return {
        "own": scales[0], "other": scales[1], "scale": scales[2], "own_zero": zeros[0], "other_zero": zeros[1],
        "zero": zeros[2], "low": low, "high": high, "own_first": True,
    }  # fmt: skip


def _pool(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x = node.inputs[0]
    layout = present(x, forms_of)
    if layout is None or x is None or len(node.outputs) > 1 or len(x.shape) < 3:
        return None
    kernel = tuple(node.attrs["kernel_shape"])
    attrs = {**window_of(node, kernel, x.shape[2:]), "kernel": (1, *kernel) if len(kernel) == 1 else kernel}
    return Blocked("fast.QPool", [layout], layout, attrs)


def _average(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x, y = node.inputs[0], node.outputs[0]
    own, scale = scalar(node.inputs[1]), scalar(node.inputs[3])
    own_zero, zero = zero_of(node, 2), zero_of(node, 4)
    if (
        present(x, forms_of) is None
        or x is None
        or own is None
        or scale is None
        or own_zero is None
        or zero is None
        or node.attrs.get("channels_last")
    ):
        return None
    area = math.prod(x.shape[2:])
    factor = np.float32(own) / (np.float32(scale) * np.float32(area))
    node.inputs = [x]
    attrs = {"factor": float(factor), "zero": zero, "dtype": y.dtype}
    into = Layout(BLOCK, fill=fill(own_zero, x.dtype, cpu))
    return Blocked("fast.QAverage", [into], Layout(BLOCK, fill=fill(zero, y.dtype, cpu)), attrs)


def _table(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked:
    x, zero = node.inputs[0], fill(node.attrs["zero"], node.outputs[0].dtype, cpu)
    assert x is not None
    layout = next((found for found in forms_of(x) if found.block == BLOCK), ROW)
    return Blocked("fast.QTable", [layout], replace(layout, fill=zero) if layout.block else ROW)


def _concat(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    """Parts of one scale; where nothing says what stands for zero, they must agree about it."""
    y, parts = node.outputs[0], [v for v in node.inputs if v is not None]
    layouts = [present(v, forms_of) for v in parts]
    lies = next((found for found in layouts if found is not None), None)
    if lies is None or node.attrs["axis"] % len(y.shape) != 1 or any(v.shape[1] % BLOCK for v in parts[:-1]):
        return None
    if any(v.const is not None for v in parts) or ("zero" not in node.attrs and len(set(layouts)) > 1):
        return None
    layout = replace(lies, fill=fill(node.attrs["zero"], y.dtype, cpu)) if "zero" in node.attrs else lies
    return Blocked("fast.Concat", [layout] * len(parts), layout)


def _resize(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x, y = node.inputs[0], node.outputs[0]
    layout = present(x, forms_of)
    if layout is None or x is None or len(x.shape) != 4 or not repeats(node, x, y):
        return None
    return Blocked("fast.Resize", [layout, *[None] * (len(node.inputs) - 1)], layout)


RULES: dict[str, Callable[[Node, Cpu, FormsOf], Blocked | None]] = {
    "fast.QConv": _conv,
    "QuantizeLinear": _quantise,
    "QLinearAdd": _add,
    "QLinearGlobalAveragePool": _average,
    "MaxPool": _pool,
    "fast.QTable": _table,
    "Concat": _concat,
    "Resize": _resize,
    "Upsample": _resize,
}


def rule_of(node: Node) -> Callable[[Node, Cpu, FormsOf], Blocked | None] | None:
    """The rule of a node that makes or reads 8-bit numbers."""
    if node.op == "fast.QConv" or (node.outputs and node.outputs[0].dtype in EIGHT):
        return RULES.get(node.op)
    return None


def needs(node: Node) -> Iterator[tuple[Value, tuple[int, int, int, int]]]:
    """The borders that a quantised node's inputs must have."""
    x = node.inputs[0] if node.inputs else None
    if node.op != "fast.QConv" or x is None or x.layout.last:
        return
    top, left = node.attrs["pads"][:2]
    far = [
        max(0, (out - 1) * stride + (kernel - 1) * dilation + 1 - size - pad)
        for out, size, kernel, stride, dilation, pad in zip(
            node.outputs[0].image[2:], x.image[2:], needed(node, 1).shape[2:], node.attrs["strides"],
            node.attrs["dilations"], (top, left),
        )
    ]  # fmt: skip
    yield x, (top, left, far[0], far[1])
