"""What a convolution's window can take in: zeros put around its input, a part cut out of its output, taps on padding alone."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.fuse_conv import CONV
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter, scalar


def pads(r: Rewriter) -> None:
    """A Pad of zeros before a convolution is its padding."""
    for conv in [n for n in r.graph.nodes if n.op == CONV and not n.attrs["last"] and not n.attrs.get("up")]:
        pad = r.maker(conv.inputs[0], "Pad")
        if pad is None or pad.domain:
            continue
        around = _zeros(pad)
        if around is None or any(around[0][:2]) or any(around[1][:2]):
            continue
        _move(conv, before=around[0][2:], behind=around[1][2:])
        conv.inputs[0] = pad.inputs[0]
        conv.origin = (*pad.origin, *conv.origin)
        r.refresh()


def _zeros(pad: Node) -> tuple[list[int], list[int]] | None:
    """How many zeros a Pad puts before and behind each axis."""
    inputs, x = [*pad.inputs, *[None] * 4], pad.inputs[0]
    if x is None or x.const is not None or x.dtype != "float32" or pad.attrs.get("mode", "constant") != "constant":
        return None
    if len(pad.inputs) < 2:  # before version 11
        amounts, value = list(pad.attrs.get("pads", ())), pad.attrs.get("value", 0.0)
    else:
        told = inputs[1]
        if told is None or told.const is None or inputs[3] is not None:
            return None
        amounts, value = told.const.tolist(), 0.0 if inputs[2] is None else scalar(inputs[2])
    rank = len(x.shape)
    if value != 0.0 or len(amounts) != 2 * rank or min(amounts) < 0:
        return None
    return amounts[:rank], amounts[rank:]


def crops(r: Rewriter) -> None:
    """A convolution does not make what a Slice behind it would cut away."""
    for node in [n for n in r.graph.nodes if n.op == "Slice" and not n.domain]:
        conv = r.maker(node.inputs[0], CONV)
        if conv is None or conv.attrs["last"] or r.sole_user(conv.outputs[0]) is not node or node.inputs[0] is None:
            continue
        starts = _starts(node, node.inputs[0].shape)
        if starts is None or node.outputs[0].shape[:2] != node.inputs[0].shape[:2]:
            continue
        shift = [-s for s in starts[2:]]
        if conv.attrs.get("up"):  # its padding counts pixels of the output, which are cut away
            _move(conv, before=[-s for s in shift])
        else:
            depth = conv.attrs.get("depth", (1,))[:1] if len(shift) == 3 else ()
            steps = (*depth, *conv.attrs["strides"])[-len(shift) :]
            _move(conv, before=[s * step for s, step in zip(shift, steps)])
        conv.outputs = node.outputs
        conv.origin = (*conv.origin, *node.origin)
        nodes = r.graph.nodes
        nodes[nodes.index(node)] = conv
        nodes.remove(conv)
        r.refresh()


def _starts(node: Node, shape: tuple[int, ...]) -> list[int] | None:
    """Where a Slice of step 1 begins on each axis."""
    if len(node.inputs) < 2:
        starts, axes, steps = node.attrs["starts"], node.attrs.get("axes"), None
    else:
        parts = [None if v is None else v.const for v in (*node.inputs[1:], *[None] * 4)]
        if parts[0] is None or any(v is not None and v.const is None for v in node.inputs[1:]):
            return None
        starts, axes, steps = parts[0], parts[2], parts[3]
    if steps is not None and np.any(np.asarray(steps) != 1):
        return None
    found = [0] * len(shape)
    for axis, start in zip(range(len(starts)) if axes is None else axes, starts):
        size = shape[axis]
        found[axis] = int(min(max(start + size if start < 0 else start, 0), size))
    return found


def _move(conv: Node, before: list[int], behind: list[int] | None = None) -> None:
    """More padding on each spatial axis of a convolution; less where negative."""
    behind = behind or [0] * len(before)
    old, attrs = list(conv.attrs["pads"]), conv.attrs
    rank = len(before)
    if rank == 3:
        stride, dilation, front, back = attrs["depth"]
        attrs["depth"] = (stride, dilation, front + before[0], back + behind[0])
    rows, columns = (0, 0) if rank == 1 else (before[-2], behind[-2])
    attrs["pads"] = (old[0] + rows, old[1] + before[-1], old[2] + columns, old[3] + behind[-1])


def dead_taps(r: Rewriter) -> None:
    """Taps that never meet the input are left out: of a 3x3 kernel on a single pixel one is left."""
    for conv in [n for n in r.graph.nodes if n.op == CONV and not n.attrs["last"] and not n.attrs.get("up")]:
        x, w, y, attrs = conv.inputs[0], conv.inputs[1], conv.outputs[0], conv.attrs
        assert x is not None and w is not None and w.const is not None
        if len(w.shape) == 5 and len(x.shape) != 5:
            continue
        depth, cut, pads = attrs.get("depth", (1, 1, 0, 0)), w.const, list(attrs["pads"])
        windows = [(attrs["strides"][i], attrs["dilations"][i], pads[i]) for i in (0, 1)]
        if len(w.shape) == 5:
            windows = [depth[:3], *windows]
        sizes = [(v.image[0], *v.image[2:])[-len(windows) :] for v in (x, y)]
        first = []
        for axis, ((stride, dilation, pad), size, out) in enumerate(zip(windows, *sizes)):
            low, high = _alive(stride, dilation, pad, cut.shape[axis + 2], size, out)
            cut = cut.take(range(low, high), axis + 2)
            first.append(low * dilation)
        if cut.shape == w.shape:
            continue
        conv.inputs[1] = Value(w.name, "float32", cut.shape, np.ascontiguousarray(cut))
        attrs["pads"] = (pads[0] - first[-2], pads[1] - first[-1], pads[2], pads[3])
        if len(first) == 3:
            attrs["depth"] = (*depth[:2], depth[2] - first[0], depth[3])


def _alive(stride: int, dilation: int, pad: int, taps: int, size: int, out: int) -> tuple[int, int]:
    """The first tap that meets the input for any output, and the end; at least one."""
    met = [k for k in range(taps) if any(0 <= o * stride + k * dilation - pad < size for o in range(out))]
    return (met[0], met[-1] + 1) if met else (0, 1)
