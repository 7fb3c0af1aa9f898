"""Attention as exporters write it: heads cut out of rows by reshapes and transposes, in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter, other, scalar

LARGEST = 1 << 24  # elements; larger tensors are not followed index by index


@dataclass(frozen=True)
class Heads:
    """q, k or v: columns [offset, offset + heads * width) of the rows of `source`, times `scale`."""

    source: Value
    offset: int
    scale: float


def attention(r: Rewriter) -> None:
    """softmax(q k^T * scale + mask) v over heads becomes one node."""
    for softmax in [n for n in r.graph.nodes if n.op == "Softmax" and not n.domain]:
        found = _attention(r, softmax)
        if found is not None:
            gone, node, last = found
            r.replace(gone, node, last)
            r.graph.prune()
            r.refresh()


def _attention(r: Rewriter, softmax: Node) -> tuple[list[Node], Node, Node] | None:
    y = softmax.outputs[0]
    if len(y.shape) != 4 or softmax.attrs.get("axis", -1) not in (-1, 3) or y.dtype != "float32":
        return None
    scores = _scores(r, softmax)
    mix = r.sole_user(y)
    back = r.sole_user(mix.outputs[0]) if mix is not None and mix.op == "MatMul" and mix.inputs[0] is y else None
    flat = r.sole_user(back.outputs[0]) if back is not None and back.op == "Transpose" else None
    if scores is None or mix is None or back is None or flat is None or flat.op != "Reshape":
        return None
    product, scale, mask, gone = scores
    batch, heads, rows, columns = y.shape
    width = mix.outputs[0].shape[3]
    result = flat.outputs[0]
    if tuple(back.attrs.get("perm", ())) != (0, 2, 1, 3) or result.shape[-1] != heads * width or not _fits(mask, y):
        return None
    if width % r.lanes:
        return None
    q = _heads(r, product.inputs[0], (batch, rows, heads, width), (0, 2, 1, 3))
    k = _heads(r, product.inputs[1], (batch, columns, heads, width), (0, 2, 3, 1))
    v = _heads(r, mix.inputs[1], (batch, columns, heads, width), (0, 2, 1, 3))
    if q is None or k is None or v is None or v.scale != 1.0:
        return None
    attrs = {
        "batch": batch, "heads": heads, "queries": rows, "keys": columns, "width": width,
        "scale": scale * q.scale * k.scale, "offsets": (q.offset, k.offset, v.offset),
    }  # fmt: skip
    made = Node("fast.Attention", flat.name, [q.source, k.source, v.source, mask], flat.outputs, attrs)
    made.origin = tuple(n.name for n in gone)
    return [*gone, mix, back, flat], made, flat


def _scores(r: Rewriter, softmax: Node) -> tuple[Node, float, Value | None, list[Node]] | None:
    """The product before a softmax, with what it is multiplied by and what is added."""
    value, scale, gone = softmax.inputs[0], 1.0, [softmax]
    mask: Value | None = None
    while True:
        node = r.maker(value, "Add", "Mul", "Div", "MatMul")
        if node is None or r.sole_user(node.outputs[0]) is None:
            return None
        gone.append(node)
        if node.op == "MatMul":
            return node, scale, mask, gone
        by = scalar(node.inputs[1])
        if node.op == "Add" and mask is None and scale == 1.0:
            whole = [v for v in node.inputs if v is not None and v.shape == node.outputs[0].shape]
            score = next((v for v in whole if r.maker(v, "Mul", "Div", "MatMul")), None)
            if score is None:
                return None
            mask, value = other(node, score), score
        elif node.op in ("Mul", "Div") and by is not None:
            scale, value = (scale * by if node.op == "Mul" else scale / by), node.inputs[0]
        else:
            return None


def _fits(mask: Value | None, scores: Value) -> bool:
    """A float mask that goes over the scores, each of its sizes whole or 1, the last whole."""
    if mask is None:
        return True
    shape = (1,) * (4 - len(mask.shape)) + mask.shape
    pairs = list(zip(shape, scores.shape))
    return (
        mask.dtype == "float32"
        and len(shape) == 4
        and all(a in (1, b) for a, b in pairs)
        and shape[3] == scores.shape[3]
    )


def _heads(r: Rewriter, value: Value | None, cut: tuple[int, ...], order: tuple[int, ...]) -> Heads | None:
    """Is the value rows of some tensor, cut into heads and turned? Found by following the index of every element."""
    moves: list[tuple[Callable[[np.ndarray], np.ndarray], Node]] = []
    scale = 1.0
    while value is not None:
        node = r.makers.get(value)
        move = _move(node, value) if node is not None else None
        if node is None or move is None:
            break
        if node.op in ("Mul", "Div"):
            by = scalar(node.inputs[1])
            assert by is not None
            scale *= by if node.op == "Mul" else 1 / by
        moves.append((move, node))
        value = node.inputs[0]
    batch, length, heads, width = cut
    if value is None or len(value.shape) < 2 or value.dtype != "float32" or value.const is not None:
        return None
    columns = value.shape[-1]
    if value.size != batch * length * columns or value.size > LARGEST or columns < heads * width:
        return None
    found = np.arange(value.size).reshape(value.shape)
    for move, _ in reversed(moves):
        found = move(found)
    offset = int(found.reshape(-1)[0])
    rows = np.arange(value.size).reshape(batch, length, columns)
    if offset % r.lanes or offset + heads * width > columns:
        return None
    wanted = rows[:, :, offset : offset + heads * width].reshape(cut).transpose(order)
    return Heads(value, offset, scale) if found.shape == wanted.shape and (found == wanted).all() else None


def _move(node: Node, value: Value) -> Callable[[np.ndarray], np.ndarray] | None:
    """What a node that only moves (or scales) elements does to their indices."""
    if node.domain or value.const is not None:
        return None
    if node.op in ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"):
        return lambda a: a.reshape(value.shape)
    if node.op == "Transpose":
        return lambda a: a.transpose(node.attrs.get("perm"))
    if node.op in ("Mul", "Div") and scalar(node.inputs[1]) is not None:
        return lambda a: a
    axis = node.attrs.get("axis", 0)
    if node.op == "Gather" and node.inputs[1] is not None and node.inputs[1].const is not None:
        indices = node.inputs[1].const
        return lambda a: np.take(a, indices, axis)
    if node.op == "Split":
        index = node.outputs.index(value)
        start = sum(v.shape[axis] for v in node.outputs[:index])
        return lambda a: np.take(a, range(start, start + value.shape[axis]), axis)
    return None
