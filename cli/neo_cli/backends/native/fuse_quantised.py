"""Quantised convolutions and products as one kind of node: ONNX's QLinear* and *Integer operators, and what stands
between DequantizeLinear and QuantizeLinear (QDQ).

Scales are multiplied in the order in which ONNX Runtime does it, so that every rounding falls alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neo_cli.backends.native.fuse_conv import window_of
from neo_cli.backends.native.ir import Levels, Node, Value
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.reading import needed
from neo_cli.backends.native.rewrite import Rewriter, per_channel, scalar

CONV = "fast.QConv"
EIGHT = ("int8", "uint8")
PRODUCTS = ("Conv", "MatMul", "Gemm")
INFINITY = float("inf")


@dataclass(frozen=True)
class Scaled:
    """An 8-bit tensor with what its numbers mean: (value - zero) * scale."""

    value: Value
    scale: float
    zero: int


def number_of(node: Node, position: int, default: float | None = None) -> float | None:
    """A constant input of one number."""
    value = node.inputs[position] if len(node.inputs) > position else None
    return default if value is None else scalar(value)


def scaled(node: Node, value: int, scale: int, zero: int) -> Scaled | None:
    """An operand of a QLinear operator, by the positions of its three inputs."""
    x, s, z = node.inputs[value], number_of(node, scale), number_of(node, zero, 0)
    if x is None or s is None or z is None or x.dtype not in EIGHT or needed(node, scale).dtype != "float32":
        return None
    return Scaled(x, s, int(z))


def dequantised(r: Rewriter, value: Value | None) -> Scaled | None:
    """What a DequantizeLinear with one scale makes a value of."""
    node = r.maker(value, "DequantizeLinear")
    return None if node is None or node.attrs.get("block_size") else scaled(node, 0, 1, 2)


def integers(r: Rewriter) -> None:
    """QLinearConv, QLinearMatMul, QGemm, ConvInteger and MatMulInteger with constant weights."""
    for node in list(r.graph.nodes):
        made = None
        if node.op in ("QLinearConv", "QLinearMatMul", "QGemm"):
            made = _qlinear(node)
        elif node.op in ("ConvInteger", "MatMulInteger"):
            made = _integer(node)
        if made is not None:
            r.replace([node], made)


def _qlinear(node: Node) -> Node | None:
    x, y = scaled(node, 0, 1, 2), node.outputs[0]
    levels = _levels(node, 3, 4, 5)
    convolves = node.op == "QLinearConv"
    at = {"QLinearConv": (6, 7, 8), "QGemm": (7, 8, 6), "QLinearMatMul": (6, 7, -1)}[node.op]
    bias = node.inputs[at[2]] if 0 <= at[2] < len(node.inputs) else None
    if x is None or levels is None or (bias is not None and bias.const is None):
        return None
    own = _own(node, at[0], at[1])
    if own is None and y.dtype in EIGHT:
        return None
    shaped = _image(node, levels) if convolves else _matrix(node, levels, bool(node.attrs.get("transB", 0)))
    if shaped is None or node.attrs.get("transA", 0):
        return None
    start = None if bias is None else _bias(bias.array, len(shaped.array), y.shape)
    if bias is not None and start is None:
        return None
    alpha = np.float32(node.attrs.get("alpha", 1.0))
    return _node(node, x, shaped, start, y, own if y.dtype in EIGHT else None, convolves, alpha)


def _own(node: Node, scale: int, zero: int) -> tuple[float, float] | None:
    """The scale and zero point of a result, when both are constants of one number."""
    s, z = number_of(node, scale), number_of(node, zero, 0)
    return None if s is None or z is None else (s, z)


def _bias(bias: np.ndarray, channels: int, shape: tuple[int, ...]) -> np.ndarray | None:
    """int32, one number a channel; None when it is another one for each row."""
    if bias.size not in (1, channels) or (bias.size == channels and bias.ndim > 1 and bias.shape[-1] != channels):
        return None
    return np.broadcast_to(bias.reshape(-1), (channels,)).astype(np.int32)


def _levels(node: Node, value: int, scale: int, zero: int) -> Levels | None:
    """Constant weights of a QLinear operator."""
    found = [node.inputs[k] if k < len(node.inputs) else None for k in (value, scale, zero)]
    w, s, z = found
    if w is None or w.const is None or w.dtype not in EIGHT or s is None or s.const is None:
        return None
    if z is not None and z.const is None:
        return None
    return Levels(w.const, s.const, np.zeros(1, np.int8) if z is None else z.array, -1)


def _integer(node: Node) -> Node | None:
    """A product's x may have a zero point that is known only when the model runs: the last input of the node that is made."""
    x, w = node.inputs[0], node.inputs[1]
    point = node.inputs[2] if len(node.inputs) > 2 else None
    dynamic = node.op == "MatMulInteger" and point is not None and point.const is None and point.size == 1
    zero = 0 if dynamic else number_of(node, 2, 0)
    if x is None or x.dtype not in EIGHT or w is None or w.const is None or zero is None:
        return None
    z = node.inputs[3] if len(node.inputs) > 3 else None
    if z is not None and z.const is None:
        return None
    levels = Levels(w.const, np.ones(1, np.float32), np.zeros(1, np.int8) if z is None else z.array, -1)
    shaped = _image(node, levels) if node.op == "ConvInteger" else _matrix(node, levels, False)
    if shaped is None:
        return None
    made = _node(node, Scaled(x, 1.0, int(zero)), shaped, None, node.outputs[0], None, node.op == "ConvInteger")
    if made is not None and dynamic:
        made.inputs.append(point)
    return made


def _image(node: Node, levels: Levels) -> Levels | None:
    """Weights of a convolution, [OC, IC, KH, KW]; scales and zero points are one for each output channel."""
    array = levels.array
    if array.ndim not in (3, 4) or (levels.axis not in (-1, 0) and levels.scale.size > 1):
        return None
    return _uniform(array if array.ndim == 4 else array[:, :, None], levels)


def _matrix(node: Node, levels: Levels, turned: bool) -> Levels | None:
    """A constant second factor [K, N] ([N, K] when turned) as weights of a 1x1 convolution."""
    x, array = node.inputs[0], levels.array
    if array.ndim != 2 or x is None or not x.shape or 0 in (*x.shape, *array.shape) or x.const is not None:
        return None
    if levels.scale.size > 1 and levels.axis not in (-1, 0 if turned else 1):
        return None
    return _uniform(np.ascontiguousarray(array if turned else array.T)[:, :, None, None], levels)


def _uniform(weights: np.ndarray, levels: Levels) -> Levels | None:
    """Weights less their zero points, when these differences are numbers of 8 bits."""
    channels = len(weights)
    if levels.scale.size not in (1, channels) or levels.zero.size not in (1, channels):
        return None
    wide = weights.astype(np.int32) - levels.zero.astype(np.int32).reshape(-1, 1, 1, 1)
    if wide.size and (wide.min() < -128 or wide.max() > 127):
        return None
    scale = np.broadcast_to(levels.scale.astype(np.float32).reshape(-1), (channels,))
    return Levels(wide.astype(np.int8), scale, np.zeros(1, np.int8), 0)


def _node(
    node: Node, x: Scaled, w: Levels, bias: np.ndarray | None, y: Value, own: tuple[float, float] | None, convolves: bool,
    alpha: np.float32 = np.float32(1),  # noqa: B008
) -> Node | None:  # fmt: skip
    """fast.QConv; `own` is the scale and zero point of y when it is 8-bit. None when a scaled sum may need over 32 bits."""
    if convolves:
        attrs: dict[str, Any] = window_of(
            node, w.array.shape[2:] if len(x.value.shape) == 4 else w.array.shape[3:], x.value.shape[2:]
        )
        attrs |= {"group": node.attrs.get("group", 1), "last": False}
    else:
        attrs = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1}
        attrs["last"] = x.value.size // x.value.shape[-1] > 1 or len(x.value.shape) != 2
    factor = alpha * np.float32(x.scale) * w.scale
    attrs |= {"x_zero": x.zero, "low": -INFINITY, "high": INFINITY, "zero": 0}
    if own is not None:
        factor = factor / np.float32(own[0])
        low, high = types.limits(y.dtype)
        attrs |= {"zero": int(own[1]), "low": low, "high": high, "scale": own[0]}
    attrs["factor"] = factor.astype(np.float32)
    most = 255.0 * np.abs(w.array.astype(np.int64)).sum(axis=(1, 2, 3)) + (
        0 if bias is None else np.abs(bias.astype(np.int64))
    )
    if own is not None and not (most * attrs["factor"] < 2**30).all():
        return None
    weights = Value(f"{node.name}.weights", "int8", w.array.shape, w.array)
    start = None if bias is None else Value(f"{node.name}.bias", "int32", bias.shape, bias)
    return Node(CONV, node.name, [x.value, weights, start, None], [y], attrs, origin=node.origin)


def pairs(r: Rewriter) -> None:
    """Conv, MatMul and Gemm between DequantizeLinear and QuantizeLinear, with a Relu or Clip; products also without the latter."""
    for node in list(r.graph.nodes):
        if node.op not in PRODUCTS or node.domain or node.outputs[0].dtype != "float32":
            continue
        x = dequantised(r, node.inputs[0])
        levels = node.inputs[1].levels if node.inputs[1] is not None else None
        if x is None or levels is None or levels.array.dtype.name not in EIGHT:
            continue
        convolves = node.op == "Conv"
        shaped = _image(node, levels) if convolves else _matrix(node, levels, bool(node.attrs.get("transB", 0)))
        if shaped is None or node.attrs.get("transA", 0):
            continue
        chain = ending(r, node)
        if convolves and chain is None:
            continue
        bias = _sums(node, x, shaped)
        if bias is None:
            continue
        alpha = np.float32(node.attrs.get("alpha", 1.0))
        last = node if chain is None else chain[-1]
        own = None if chain is None else _own(last, 1, 2)
        made = _node(node, x, shaped, bias, last.outputs[0], own, convolves, alpha)
        if made is None:
            continue
        if chain is not None:
            _limit(made, chain[:-1], chain[-1])
        r.replace([node, *(chain or [])], made, last)


def ending(r: Rewriter, node: Node) -> list[Node] | None:
    """The nodes from behind `node` to the QuantizeLinear that alone reads it: [Relu or Clip,] QuantizeLinear."""
    found: list[Node] = []
    user = r.sole_user(node.outputs[0])
    if user is not None and user.op in ("Relu", "Clip") and _bounds(user) is not None:
        found.append(user)
        user = r.sole_user(user.outputs[0])
    if user is None or user.op != "QuantizeLinear" or user.outputs[0].dtype not in EIGHT:
        return None
    return None if _own(user, 1, 2) is None else [*found, user]


def _bounds(node: Node) -> tuple[float, float] | None:
    """The limits that a Relu or Clip sets."""
    from neo_cli.backends.native.fast.activations import act_of

    act = act_of(node)
    return None if act is None or act.kind != "CLIP" else (act.a, act.b)


def levels_of(bounds: tuple[float, float], quantise: Node) -> tuple[int, int]:
    """The limits among the numbers that a QuantizeLinear makes: it never decreases, so that they may come after it."""
    scale, zero = number_of(quantise, 1), number_of(quantise, 2, 0)
    low, high = types.limits(quantise.outputs[0].dtype)
    found = [np.rint(np.float32(b) / np.float32(scale)) + zero for b in bounds]
    return int(np.clip(found[0], low, high)), int(np.clip(found[1], low, high))


def _limit(conv: Node, acts: list[Node], quantise: Node) -> None:
    for act in acts:
        bounds = _bounds(act)
        assert bounds is not None
        conv.attrs["low"], conv.attrs["high"] = levels_of(bounds, quantise)


def _sums(node: Node, x: Scaled, w: Levels) -> np.ndarray | None:
    """The bias in units of the sums, int32 [OC]; None when it is not one constant number a channel."""
    value, channels = node.inputs[2] if len(node.inputs) > 2 else None, len(w.array)
    if value is None:
        return np.zeros(channels, np.int32)
    bias = per_channel(value, channels, len(value.shape), -1) if value.const is not None else None
    if bias is None or (node.op == "Gemm" and node.attrs.get("beta", 1.0) != 1.0):
        return None
    unit = np.float32(x.scale) * w.scale
    levels = value.levels
    if levels is not None and levels.array.dtype == np.int32 and np.allclose(levels.scale.reshape(-1), unit, rtol=1e-5):
        return np.broadcast_to(levels.array.reshape(-1), (channels,)).astype(np.int32)
    found = np.rint(bias.astype(np.float64) / unit)
    return found.astype(np.int32) if np.abs(found).max(initial=0) < 2**30 else None


def sums(r: Rewriter) -> None:
    """A QLinearAdd behind a convolution of one group, whose result nobody else reads."""
    r.graph.prune()  # the DequantizeLinear that the patterns left unread are no readers
    r.refresh()
    for node in [n for n in r.graph.nodes if n.op == "QLinearAdd"]:
        from neo_cli.backends.native.layout_quantised import sum_of

        total, y = sum_of(node), node.outputs[0]
        if total is None:
            continue
        for first, (own, other) in ((False, (3, 0)), (True, (0, 3))):
            x, addend = node.inputs[own], node.inputs[other]
            conv = r.maker(x, CONV)
            if conv is None or x is None or addend is None or addend.const is not None or r.sole_user(x) is not node:
                continue
            if conv.inputs[3] is not None or conv.attrs["group"] != 1 or not x.shape == addend.shape == y.shape:
                continue
            turned = {**total, "own_first": first}
            if not first:
                turned |= {"own": total["other"], "other": total["own"]}
                turned |= {"own_zero": total["other_zero"], "other_zero": total["own_zero"]}
            if turned["own_zero"] != conv.attrs["zero"]:
                continue
            made = Node(
                CONV, conv.name, [*conv.inputs[:3], addend], [y], {**conv.attrs, "sum": turned}, origin=conv.origin
            )
            r.replace([conv, node], made, node)
            break


def entries(r: Rewriter) -> None:
    """A QuantizeLinear of an image that only convolutions read makes the blocks that they want."""
    for node in [n for n in r.graph.nodes if n.op == "QuantizeLinear"]:
        y = node.outputs[0]
        users = r.readers.get(y, [])
        if not users or y in r.results or any(u.op != CONV or u.attrs["last"] or u.inputs[0] is not y for u in users):
            continue
        planar = {y.shape[1] <= 4 and u.attrs["group"] == 1 for u in users}
        if len(planar) == 1 and y.dtype in EIGHT and 3 <= len(y.shape) <= 4:
            node.attrs["block"] = 4 if planar.pop() else 16
