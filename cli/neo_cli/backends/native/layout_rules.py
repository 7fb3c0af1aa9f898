"""Which nodes compute on blocked layouts, in which ones, and what border their inputs need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.fast.activations import act_of
from neo_cli.backends.native.fast.conv import depthwise_fits
from neo_cli.backends.native.fast.taps import reach
from neo_cli.backends.native.fuse_conv import window_of
from neo_cli.backends.native.ir import ROW, Layout, Node, Value
from neo_cli.backends.native.operators import Context
from neo_cli.backends.native.ops.reading import needed
from neo_cli.backends.native.ops.resize import neighbours
from neo_cli.backends.native.rewrite import per_channel

VIEWS = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"}
FormsOf = Callable[[Value], dict[Layout, Value]]


@dataclass
class Blocked:
    """A node in blocked form: its name, the layout of each input (None: as it is) and of its output."""

    op: str
    inputs: list[Layout | None]
    output: Layout
    attrs: dict[str, Any] = field(default_factory=dict)
    extra: list[Value] = field(default_factory=list)


def blocked_form(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    """How a node computes on blocked values; None when it is better off row-major."""
    if node.domain not in ("", "com.microsoft") or not node.outputs or node.outputs[0].dtype != "float32":
        return None
    rule = RULES.get(node.op)
    if rule is not None:
        return rule(node, cpu, forms_of)
    if act_of(node) is not None:
        return _unary(node, cpu, forms_of)
    return None


def _present(value: Value | None, forms_of: FormsOf) -> Layout | None:
    """The blocked layout in which a value lies already."""
    if value is None:
        return None
    return next((layout for layout in forms_of(value) if layout.block > 1 or (layout.block and not layout.last)), None)


def _conv(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x, w = node.inputs[0], node.inputs[1]
    assert x is not None and w is not None and w.const is not None
    last = bool(node.attrs["last"])
    whole = Layout(cpu.lanes, last=last)
    planar = not last and x.shape[1] <= 4 < cpu.lanes and node.attrs["group"] == 1
    if depthwise_fits(w.const, node.attrs["group"], Value("", "float32", x.shape, layout=Layout(cpu.lanes))):
        planar = False
    op, attrs = "fast.Conv", {}
    if not last and _square(node):
        height, width = node.outputs[0].shape[-2:]
        images, depth = (node.outputs[0].shape[2], w.shape[2]) if len(w.shape) == 5 else (1, 1)
        m = schedule.algorithm(cpu, x.shape[1], w.shape[0], height, width, node.attrs.get("winograd", 4), images, depth)
        if m:
            op, attrs = "fast.Winograd", {"m": m}
    if cpu.halves and op == "fast.Conv" and _in_halves(node, cpu, planar):
        attrs = {"halves": True}
    return Blocked(op, [Layout(1) if planar else whole, None, None, whole], whole, attrs)


def _in_halves(node: Node, cpu: Cpu, planar: bool) -> bool:
    """Does a product in bfloat16 pay: enough inputs that rounding them, and padding of blocks, cost little?"""
    x, w, attrs = node.inputs[0], node.inputs[1], node.attrs
    assert x is not None and w is not None and w.const is not None
    if attrs.get("up") or (len(x.shape) > 4 and not attrs["last"]):
        return False
    if planar:  # a vector may be read behind each row of a window: only of a buffer of ours, which has a border
        inputs = w.size // w.shape[0]
        return inputs >= 64 and any(attrs["pads"]) and attrs["dilations"][1] == 1 and w.shape[3] <= cpu.lanes
    depthwise = depthwise_fits(w.const, attrs["group"], Value("", "float32", x.shape, layout=Layout(cpu.lanes)))
    return not depthwise and w.shape[1] >= 8


def _square(node: Node) -> bool:
    """A 3x3 convolution that goes pixel by pixel through one group of images, or slice by slice through volumes."""
    attrs = node.attrs
    return (
        needed(node, 1).shape[-2:] == (3, 3)
        and attrs.get("depth", (1,))[0] == 1
        and attrs["strides"] == attrs["dilations"] == (1, 1)
        and attrs["group"] == 1
        and len(node.outputs[0].shape) in (4, 5)
        and not attrs.get("up")
    )


def _unary(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    layout = _present(node.inputs[0], forms_of)
    if layout is None or layout.block != cpu.lanes:
        act = act_of(node)
        if act is None or act.kind in ("NONE", "CLIP"):
            return None
        return Blocked("fast.MapRow", [ROW, *[None] * (len(node.inputs) - 1)], ROW, {"act": act})
    return Blocked("fast.Map", [layout, *[None] * (len(node.inputs) - 1)], layout, {"act": act_of(node)})


def _binary(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    y = node.outputs[0]
    layout = next((found for v in node.inputs if (found := _present(v, forms_of))), None)
    if layout is None or layout.block != cpu.lanes or len(y.shape) < 2:
        return None
    axis = -1 if layout.last else 1
    wanted: list[Layout | None] = []
    consts: dict[int, Value] = {}
    for i, value in enumerate(node.inputs):
        assert value is not None
        if value.const is not None:
            constant = per_channel(value, y.shape[axis], len(y.shape), axis)
            if constant is None:
                return None
            consts[i] = _channels(value.name, constant, cpu.lanes, layout)
        elif value.shape != y.shape and not (
            not layout.last and value.shape == (*y.shape[:2], *[1] * (len(y.shape) - 2))
        ):
            return None
        wanted.append(None if i in consts else layout)
    for i, small in consts.items():  # the constants take the places of the row-major ones
        node.inputs[i] = small
    return Blocked("fast.Binary", wanted, layout, {"kind": node.op})


def _channels(name: str, values: np.ndarray, lanes: int, layout: Layout) -> Value:
    """One number a channel as a blocked image of one pixel."""
    wide = np.zeros(-(-len(values) // lanes) * lanes, np.float32)
    wide[: len(values)] = values
    shape = (1, len(values)) if layout.last else (1, len(values), 1, 1)
    return Value(f"{name}.{layout}", "float32", shape, wide, Layout(lanes, last=layout.last))


def _pool(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x = needed(node, 0)
    layout = _present(x, forms_of)
    if layout is None or layout.last or layout.block != cpu.lanes or len(node.outputs) > 1 or len(x.shape) > 5:
        return None
    kernel = tuple(node.attrs["kernel_shape"])
    window = window_of(node, kernel, x.shape[2:])
    if node.attrs.get("ceil_mode", 0) and node.op == "AveragePool" and node.attrs.get("count_include_pad", 0):
        return None
    attrs = {**window, "kernel": (1, *kernel) if len(kernel) == 1 else kernel, "kind": node.op}
    return Blocked("fast.Pool", [layout], layout, attrs)


def _whole(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x = node.inputs[0]
    layout = _present(x, forms_of)
    if layout is None or layout.last or layout.block != cpu.lanes:
        return None
    if node.op == "ReduceMean":
        axes = node.attrs.get("axes")
        if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None and node.inputs[1].const is not None:
            axes = node.inputs[1].const.tolist()
        rank = len(needed(node, 0).shape)
        if axes is None or sorted(a % rank for a in axes) != list(range(2, rank)):
            return None
    return Blocked(
        "fast.PoolAll", [layout, *[None] * (len(node.inputs) - 1)], layout, {"largest": node.op == "GlobalMaxPool"}
    )


def _concat(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    y = node.outputs[0]
    layout = next((found for v in node.inputs if (found := _present(v, forms_of))), None)
    rank = len(y.shape)
    if layout is None or layout.block != cpu.lanes or layout.last or node.attrs["axis"] % rank != 1:
        return None
    sizes = [v.shape[1] for v in node.inputs if v is not None]
    if any(size % cpu.lanes for size in sizes[:-1]) or any(v is None or v.const is not None for v in node.inputs):
        return None
    return Blocked("fast.Concat", [layout] * len(node.inputs), layout)


def _resize(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x, y = node.inputs[0], node.outputs[0]
    layout = _present(x, forms_of)
    if layout is None or layout.last or layout.block != cpu.lanes or x is None or len(x.shape) not in (3, 4, 5):
        return None
    if x.dtype == "float32" and (found := neighbours(node, Context(cpu))) is not None:
        return Blocked("fast.ResizeLinear", [layout, *[None] * (len(node.inputs) - 1)], layout, {"neighbours": found})
    if len(x.shape) < 4 or not repeats(node, x, y):
        return None
    return Blocked("fast.Resize", [layout, *[None] * (len(node.inputs) - 1)], layout)


def repeats(node: Node, x: Value, y: Value) -> bool:
    """Does a resize repeat each pixel a whole number of times?"""
    whole = x.shape[:2] == y.shape[:2] and not any(b % a for a, b in zip(x.shape[2:], y.shape[2:]))
    return whole and node.attrs.get("mode", "nearest") == "nearest" and (node.op != "Resize" or _floors(node))


def _batch_norm(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    layout = _present(node.inputs[0], forms_of)
    parts = [v.const if v is not None else None for v in node.inputs[1:5]]
    if layout is None or layout.last or layout.block != cpu.lanes or len(node.outputs) > 1:
        return None
    if node.attrs.get("training_mode", 0) or any(p is None for p in parts):
        return None
    scale, shift, mean, variance = (np.asarray(p, np.float64) for p in parts)
    factor = scale / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
    attrs = {"scale": factor.astype(np.float32), "shift": (shift - mean * factor).astype(np.float32)}
    return Blocked("fast.Affine", [layout, *[None] * 4], layout, attrs)


def _instance_norm(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    x, epsilon = needed(node, 0), float(node.attrs.get("epsilon", 1e-5))
    layout = _present(x, forms_of)
    if layout is None or layout.last or layout.block != cpu.lanes or epsilon <= 0 or len(x.shape) < 3:
        return None
    if any(v is None or v.const is None for v in node.inputs[1:3]):
        return None
    return Blocked("fast.InstanceNorm", [layout, None, None], layout, {"epsilon": epsilon})


def _floors(node: Node) -> bool:
    """Does a whole-factor nearest resize repeat each pixel?"""
    where = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    how = node.attrs.get("nearest_mode", "round_prefer_floor")
    return (where, how) in {
        ("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil"),
        ("pytorch_half_pixel", "round_prefer_floor"), ("half_pixel_symmetric", "round_prefer_floor"),
    }  # fmt: skip


def _norm(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    layout = Layout(cpu.lanes, last=True)
    x = node.inputs[0]
    assert x is not None
    return Blocked("fast.LayerNorm", [layout, None, None], layout)


def _attention(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    layout = Layout(cpu.lanes, last=True)
    return Blocked("fast.Attention", [layout, layout, layout, ROW if node.inputs[3] else None], layout)


def _recurrent(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    return Blocked(
        node.op, [Layout(cpu.lanes, last=True), None, None, *(ROW if v else None for v in node.inputs[3:])], ROW
    )


def _channels_last(node: Node, cpu: Cpu, forms_of: FormsOf) -> Blocked | None:
    return Blocked("fast.ChannelsLast", [_present(node.inputs[0], forms_of) or ROW], ROW)


RULES: dict[str, Callable[[Node, Cpu, FormsOf], Blocked | None]] = {
    "fast.Conv": _conv,
    "fast.LayerNorm": _norm,
    "fast.Attention": _attention,
    "fast.ChannelsLast": _channels_last,
    **dict.fromkeys(("fast.LSTM", "fast.GRU"), _recurrent),
    "Add": _binary,
    "Mul": _binary,
    "Sub": _binary,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _whole,
    "GlobalMaxPool": _whole,
    "ReduceMean": _whole,
    "Concat": _concat,
    "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm,
    "Resize": _resize,
    "Upsample": _resize,
}


def needs(node: Node) -> Iterator[tuple[Value, tuple[int, int, int, int]]]:
    """The borders that a node's inputs must have."""
    if node.op == "fast.Conv":
        x = node.inputs[0]
        assert x is not None
        if not x.layout.last:
            (_, top, left), (_, bottom, right) = reach(node, x)
            yield x, (top, left, bottom, right)
    elif node.op == "fast.Winograd":
        x, y, m = node.inputs[0], node.outputs[0], node.attrs["m"]
        assert x is not None
        top, left = node.attrs["pads"][:2]
        far = [-(-out // m) * m + 2 - pad - size for out, size, pad in zip(y.image[2:], x.image[2:], (top, left))]
        yield x, (top, left, max(0, far[0]), max(0, far[1]))


def needs_slices(node: Node) -> Iterator[tuple[Value, tuple[int, int]]]:
    """The slices of zeros that volumes must have before and behind."""
    x = node.inputs[0] if node.inputs else None
    if node.op in ("fast.Conv", "fast.Winograd") and x is not None and x.volume:
        before, behind = reach(node, x)
        yield x, (before[0], behind[0])
