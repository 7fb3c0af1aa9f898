"""MXNet's operators that move, cut, join or make values, in numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neo_cli.frontends.mxnet_symbol import Node, reshaped


def _same(node: Node, x: np.ndarray, *label: np.ndarray) -> np.ndarray:
    return x


def _slice_axis(node: Node, x: np.ndarray) -> np.ndarray:
    end = node.whole("end") if node.has("end") else None
    y = np.moveaxis(x, node.whole("axis"), 0)[node.whole("begin") : end]
    return np.moveaxis(y, 0, node.whole("axis"))


def _slice(node: Node, x: np.ndarray) -> np.ndarray:
    begin, end = node.wholes("begin"), node.wholes("end")
    step = node.wholes("step") or (None,) * len(begin)
    return x[tuple(slice(b, e, s) for b, e, s in zip(begin, end, step))]


def _slice_like(node: Node, x: np.ndarray, like: np.ndarray) -> np.ndarray:
    axes = [a % x.ndim for a in node.wholes("axes")] or range(min(like.ndim, x.ndim))
    return x[tuple(slice(like.shape[a]) if a in axes else slice(None) for a in range(x.ndim))]


def _crop(node: Node, x: np.ndarray, *like: np.ndarray) -> np.ndarray:
    high, wide = like[0].shape[2:] if like else node.wholes("h_w")
    top, left = node.wholes("offset", (0, 0))
    if node.flag("center_crop"):
        top, left = (x.shape[2] - high) // 2, (x.shape[3] - wide) // 2
    return x[:, :, top : top + high, left : left + wide]


def _split(node: Node, x: np.ndarray) -> list[np.ndarray]:
    axis = node.whole("axis", 1)
    parts = np.split(x, node.whole("num_outputs", 1), axis=axis)
    return [p.squeeze(axis) for p in parts] if node.flag("squeeze_axis") else parts


def _pad(node: Node, x: np.ndarray) -> np.ndarray:
    width, mode = node.wholes("pad_width"), node.text("mode", "constant")
    pairs = list(zip(width[::2], width[1::2]))
    if mode == "constant":
        return np.pad(x, pairs, constant_values=node.number("constant_value"))
    return np.pad(x, pairs, mode="edge" if mode == "edge" else "reflect")


def _repeat(node: Node, x: np.ndarray) -> np.ndarray:
    return x.repeat(node.whole("repeats", 1), node.whole("axis") if node.has("axis") else None)


def _broadcast_like(node: Node, x: np.ndarray, like: np.ndarray) -> np.ndarray:
    shape = list(like.shape)
    if node.has("lhs_axes"):
        shape = list(x.shape)
        for a, b in zip(node.wholes("lhs_axes"), node.wholes("rhs_axes")):
            shape[a] = like.shape[b]
    return np.broadcast_to(x, shape)


def _broadcast_to(node: Node, x: np.ndarray) -> np.ndarray:
    return np.broadcast_to(x, [s or have for s, have in zip(node.wholes("shape"), x.shape)])


def _broadcast_axis(node: Node, x: np.ndarray) -> np.ndarray:
    shape = list(x.shape)
    for a, size in zip(node.wholes("axis"), node.wholes("size")):
        shape[a] = size
    return np.broadcast_to(x, shape)


def _cast(node: Node, x: np.ndarray) -> np.ndarray:
    return np.trunc(x) if "int" in node.text("dtype") else x


def _arange(node: Node) -> np.ndarray:
    first, step = node.number("start"), node.number("step", 1.0)
    span = (first, node.number("stop")) if node.has("stop") else (0.0, first)
    return np.arange(*span, step).repeat(max(1, node.whole("repeat", 1)))


def _arange_like(node: Node, x: np.ndarray) -> np.ndarray:
    return node.number("start") + node.number("step", 1.0) * np.arange(x.shape[node.whole("axis")])


def _embedding(node: Node, x: np.ndarray, table: np.ndarray) -> np.ndarray:
    return table[np.clip(x.astype(np.int64), 0, len(table) - 1)]


def _take(node: Node, x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    axis = node.whole("axis")
    return np.take(x, np.clip(indices.astype(np.int64), 0, x.shape[axis] - 1), axis=axis)


def _one_hot(node: Node, x: np.ndarray) -> np.ndarray:
    on = x.astype(np.int64)[..., None] == np.arange(node.whole("depth", 1))
    return np.where(on, node.number("on_value", 1), node.number("off_value", 0))


SAME = (
    "_copy",
    "BlockGrad",
    "Dropout",
    "MakeLoss",
    "LinearRegressionOutput",
    "MAERegressionOutput",
    "IdentityAttachKLSparseReg",
)
RULES: dict[str, Callable] = {
    **dict.fromkeys(SAME, _same),
    "flatten": lambda node, x: x.reshape(len(x), -1),
    "reshape": lambda node, x: x.reshape(reshaped(node, x.shape)),
    "reshape_like": lambda node, x, like: x.reshape(like.shape),
    "transpose": lambda node, x: x.transpose(node.wholes("axes") or None),
    "swapaxes": lambda node, x: x.swapaxes(node.whole("dim1"), node.whole("dim2")),
    "expand_dims": lambda node, x: np.expand_dims(x, node.whole("axis")),
    "squeeze": lambda node, x: x.squeeze(node.wholes("axis") or None),
    "concat": lambda node, *x: np.concatenate(x, axis=node.whole("dim", 1)),
    "stack": lambda node, *x: np.stack(x, axis=node.whole("axis")),
    "slice_axis": _slice_axis,
    "slice": _slice,
    "slice_like": _slice_like,
    "Crop": _crop,
    "SliceChannel": _split,
    "Pad": _pad,
    "tile": lambda node, x: np.tile(x, node.wholes("reps")),
    "repeat": _repeat,
    "reverse": lambda node, x: np.flip(x, node.wholes("axis")),
    "flip": lambda node, x: np.flip(x, node.wholes("axis")),
    "broadcast_like": _broadcast_like,
    "broadcast_to": _broadcast_to,
    "broadcast_axis": _broadcast_axis,
    "cast": _cast,
    "amp_cast": _cast,
    "zeros_like": lambda node, x: np.zeros_like(x),
    "ones_like": lambda node, x: np.ones_like(x),
    "_zeros": lambda node: np.zeros([s or 1 for s in node.wholes("shape")]),
    "_ones": lambda node: np.ones([s or 1 for s in node.wholes("shape")]),
    "_arange": _arange,
    "_contrib_arange_like": _arange_like,
    "Embedding": _embedding,
    "take": _take,
    "one_hot": _one_hot,
    "_rnn_param_concat": lambda node, *x: np.concatenate([v.reshape(-1) for v in x]),
}
