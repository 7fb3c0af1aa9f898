"""Convolutions and products with constant matrices as one kind of node, with bias, norm, activation and sum inside."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.fast.activations import act_of
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.ops.conv_plain import transposed_pads
from neo_cli.backends.native.ops.reading import needed
from neo_cli.backends.native.ops.window import window
from neo_cli.backends.native.rewrite import Rewriter, other, per_channel, scalar

CONV = "fast.Conv"


def convolutions(r: Rewriter) -> None:
    """Conv and ConvTranspose of constant float weights in one to three dimensions."""
    for node in list(r.graph.nodes):
        if node.op not in ("Conv", "ConvTranspose") or node.domain:
            continue
        x, w = needed(node, 0), node.inputs[1]
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if w is None or w.const is None or w.dtype != "float32" or len(w.shape) not in (3, 4, 5):
            continue
        if bias is not None and bias.const is None:
            continue
        group = node.attrs.get("group", 1)
        if node.op == "Conv":
            weights, window = w.const, window_of(node, w.shape[2:], x.shape[2:])
        else:
            weights, window = turned(w.const, group), transposed_window(node)
        if len(w.shape) == 3:
            weights = weights[:, :, None, :]
        attrs = {**window, "group": group, "last": False}
        r.replace([node], _conv(node, x, weights, None if bias is None else bias.const, attrs))


def products(r: Rewriter) -> None:
    """MatMul and Gemm with a constant second factor: a 1x1 convolution over rows."""
    for node in list(r.graph.nodes):
        if node.domain or node.op not in ("MatMul", "Gemm") or node.outputs[0].dtype != "float32":
            continue
        x, w = node.inputs[0], node.inputs[1]
        if x is None or w is None or w.const is None or len(w.shape) != 2 or not x.shape or x.const is not None:
            continue
        matrix, bias = np.asarray(w.const), None
        if node.op == "Gemm":
            alpha, beta = node.attrs.get("alpha", 1.0), node.attrs.get("beta", 1.0)
            matrix = (matrix.T if node.attrs.get("transB", 0) else matrix) * np.float32(alpha)
            third = node.inputs[2] if len(node.inputs) > 2 else None
            if node.attrs.get("transA", 0):
                continue
            if third is not None:
                bias = per_channel(third, matrix.shape[1], 2, -1)
                if bias is None:
                    continue
                bias = bias * np.float32(beta)
        if 0 in x.shape or 0 in matrix.shape:
            continue
        last = x.size // x.shape[-1] > 1 or len(x.shape) != 2
        r.replace([node], product(node, x, np.ascontiguousarray(matrix.T), bias, last))


def product(node: Node, x: Value, weights: np.ndarray, bias: np.ndarray | None, last: bool = True) -> Node:
    """The rows of x times weights [OC, IC], plus a bias; `last`: the channels are the last axis of several rows."""
    attrs = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "group": 1, "last": last}
    return _conv(node, x, weights[:, :, None, None], bias, attrs)


def _conv(node: Node, x: Value | None, weights: np.ndarray, bias: np.ndarray | None, attrs: dict) -> Node:
    weights = np.asarray(weights, np.float32)
    w = Value(f"{node.name}.weights", "float32", weights.shape, weights)
    b = None if bias is None else Value(f"{node.name}.bias", "float32", bias.shape, bias)
    return Node(CONV, node.name, [x, w, b, None], node.outputs, attrs, origin=node.origin)


def window_of(node: Node, kernel: tuple[int, ...], size: tuple[int, ...]) -> dict:
    """strides, dilations and pads (top, left, bottom, right) of a windowed operator on images."""
    rank = len(kernel)
    strides = list(node.attrs.get("strides", [1] * rank))
    dilations = list(node.attrs.get("dilations", [1] * rank))
    pads = list(node.attrs.get("pads", [0] * 2 * rank))
    auto = node.attrs.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(rank):
            out = -(-size[i] // strides[i])
            total = max(0, (out - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - size[i])
            less, more = total // 2, total - total // 2
            pads[i], pads[i + rank] = (less, more) if auto == "SAME_UPPER" else (more, less)
    if auto == "VALID":
        pads = [0] * 2 * rank
    return _images(strides, dilations, pads)


def _images(strides: list[int], dilations: list[int], pads: list[int]) -> dict:
    """A window of one to three axes as one of images; of volumes `depth` has stride, dilation and pads (front, back)."""
    rank, depth = len(strides), {}
    if rank == 1:
        strides, dilations, pads = [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
    if rank == 3:
        depth = {"depth": (strides[0], dilations[0], pads[0], pads[3])}
        strides, dilations, pads = strides[1:], dilations[1:], [*pads[1:3], *pads[4:]]
    return {"strides": tuple(strides), "dilations": tuple(dilations), "pads": tuple(pads), **depth}


def transposed_window(node: Node) -> dict:
    """The window of a ConvTranspose, told apart by `up`: its strides are the output's steps, its pads cut the output."""
    x, w, y = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and w is not None
    win = window(Node(node.op, node.name, [], [], {k: v for k, v in node.attrs.items() if k != "auto_pad"}),
                 w.shape[2:], x.shape[2:], y.shape[2:])  # fmt: skip
    before = transposed_pads(node, win, x.shape[2:], y.shape[2:])
    return {**_images(list(win.strides), list(win.dilations), [*before, *[0] * win.rank]), "up": True}


def turned(weights: np.ndarray, group: int) -> np.ndarray:
    """A ConvTranspose's weights [IC, OC / group, ...] as a convolution's [OC, IC / group, ...]; the taps stay in order."""
    ic, ocg, *kernel = weights.shape
    parts = weights.reshape(group, ic // group, ocg, *kernel).swapaxes(1, 2)
    return parts.reshape(group * ocg, ic // group, *kernel)


def _plain(node: Node) -> bool:
    """Nothing has been taken in behind the sum of products yet."""
    return "act" not in node.attrs and node.inputs[3] is None


def _scale(conv: Node, factor: np.ndarray, shift: np.ndarray) -> None:
    weights, bias = conv.inputs[1], conv.inputs[2]
    assert weights is not None and weights.const is not None
    oc = weights.shape[0]
    scaled = (weights.const.astype(np.float64) * factor.reshape(-1, *[1] * (weights.const.ndim - 1))).astype(np.float32)
    old = np.zeros(oc) if bias is None else np.asarray(bias.const, np.float64)
    moved = (old * factor + shift).astype(np.float32)
    conv.inputs[1] = Value(weights.name, "float32", scaled.shape, scaled)
    conv.inputs[2] = Value(f"{conv.name}.bias", "float32", moved.shape, moved)


def _absorb(r: Rewriter, conv: Node, node: Node) -> None:
    """`node`, which follows `conv`, is done by it."""
    conv.outputs = node.outputs
    conv.origin = (*conv.origin, *node.origin)
    r.graph.nodes[r.graph.nodes.index(node)] = conv
    r.graph.nodes.remove(conv)
    r.refresh()


def norms(r: Rewriter) -> None:
    """BatchNormalization behind a convolution goes into its weights."""
    for node in list(r.graph.nodes):
        conv = r.maker(node.inputs[0], CONV) if node.op == "BatchNormalization" and not node.domain else None
        if conv is None or r.sole_user(conv.outputs[0]) is not node or not _plain(conv) or conv.attrs["last"]:
            continue
        parts = [v.const if v is not None else None for v in node.inputs[1:5]]
        if any(p is None for p in parts) or len(node.outputs) > 1 or node.attrs.get("training_mode", 0):
            continue
        scale, shift, mean, variance = (np.asarray(p, np.float64) for p in parts)
        factor = scale / np.sqrt(variance + node.attrs.get("epsilon", 1e-5))
        _scale(conv, factor, shift - mean * factor)
        _absorb(r, conv, node)


def affine(r: Rewriter) -> None:
    """Constants per channel added to, subtracted from or multiplied with a convolution's result."""
    changed = True
    while changed:
        changed = False
        for conv in [n for n in r.graph.nodes if n.op == CONV and _plain(n)]:
            y = conv.outputs[0]
            node = r.sole_user(y)
            if node is None or node.op not in ("Add", "Sub", "Mul", "Div") or node.outputs[0].shape != y.shape:
                continue
            if node.op in ("Sub", "Div") and node.inputs[0] is not y:
                continue
            axis = -1 if conv.attrs["last"] else 1
            constant = per_channel(other(node, y), needed(conv, 1).shape[0], len(y.shape), axis)
            if constant is None:
                continue
            values = constant.astype(np.float64)
            one, zero = np.ones_like(values), np.zeros_like(values)
            pairs = {"Add": (one, values), "Sub": (one, -values), "Mul": (values, zero)}
            _scale(conv, *(pairs[node.op] if node.op in pairs else (1 / values, zero)))
            _absorb(r, conv, node)
            changed = True
            break


def _only_rows(conv: Node, node: Node) -> bool:
    """A reshape that leaves the last axis of a product alone: its rows are the same rows."""
    if not conv.attrs["last"] or node.domain or node.op not in ("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
        return False
    before, after = conv.outputs[0].shape, node.outputs[0].shape
    return len(after) > 1 and before[-1] == after[-1]


def endings(r: Rewriter) -> None:
    """A sum with another tensor of the same shape and an activation, in the order in which they come."""
    changed = True
    while changed:
        changed = False
        for conv in [n for n in r.graph.nodes if n.op == CONV]:
            y = conv.outputs[0]
            node = r.sole_user(y)
            if node is None:
                continue
            if _only_rows(conv, node):
                _absorb(r, conv, node)
                changed = True
                break
            act = act_of(node)
            if act is not None and "act" not in conv.attrs and node.inputs[0] is y:
                conv.attrs["act"] = act
                _absorb(r, conv, node)
                changed = True
                break
            summand = other(node, y) if node.op == "Add" and not node.domain else None
            if summand is None or conv.inputs[3] is not None or summand.const is not None:
                continue
            if summand.shape != y.shape or scalar(summand) is not None:
                continue
            conv.inputs[3] = summand
            conv.attrs["add_after"] = "act" in conv.attrs
            _absorb(r, conv, node)
            if conv.attrs["add_after"]:
                conv.attrs.setdefault("act", None)
            changed = True
            break
