"""MXNet's layers in numpy: convolution, pooling, normalisation, dense, softmax, resize, recurrent."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neo_cli.frontends.mxnet_symbol import Node
from neo_cli.model import numerics


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _across(v: np.ndarray, x: np.ndarray, axis: int = 1) -> np.ndarray:
    """A vector shaped to run along one axis of x."""
    shape = [1] * x.ndim
    shape[axis] = -1
    return v.astype(np.float64).reshape(shape)


def _convolution(node: Node, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    n = x.ndim - 2
    pads = [(p, p) for p in node.wholes("pad", (0,) * n)]
    stride, dilate = node.wholes("stride", (1,) * n), node.wholes("dilate", (1,) * n)
    y = numerics.convolve(x, w, stride, pads, dilate, node.whole("num_group", 1))
    return y + _across(bias[0], y) if bias else y


def _deconvolution(node: Node, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    n = x.ndim - 2
    pad, extra = list(node.wholes("pad", (0,) * n)), list(node.wholes("adj", (0,) * n))
    stride, dilate = node.wholes("stride", (1,) * n), node.wholes("dilate", (1,) * n)
    target = node.wholes("target_shape")
    if any(target):
        for i in range(n):
            over = (x.shape[2 + i] - 1) * stride[i] + dilate[i] * (w.shape[2 + i] - 1) + 1 - target[i]
            pad[i], extra[i] = (over + 1) // 2, over % 2
    groups = node.whole("num_group", 1)
    y = numerics.deconvolve(x, w, stride, [(p, p) for p in pad], dilate, groups, extra)
    return y + _across(bias[0], y) if bias else y


def _pooling(node: Node, x: np.ndarray) -> np.ndarray:
    kind = {"avg": "mean"}.get(node.text("pool_type", "max"), node.text("pool_type", "max"))
    axes = tuple(range(2, x.ndim))
    if node.flag("global_pool"):
        whole_map: dict[str, Callable] = {"max": np.max, "mean": np.mean, "sum": np.sum}
        return whole_map[kind](x, axis=axes, keepdims=True)
    kernel, n = node.wholes("kernel"), x.ndim - 2
    stride, pad = node.wholes("stride", (1,) * n), node.wholes("pad", (0,) * n)
    whole = [s + 2 * p for s, p in zip(x.shape[2:], pad)]
    rounded = math.ceil if node.text("pooling_convention") == "full" else math.floor
    outs = [1 + rounded((s - k) / t) for s, k, t in zip(whole, kernel, stride)]
    over = [max(0, (o - 1) * t + k - s) for o, t, k, s in zip(outs, stride, kernel, whole)]
    pads = [(p, p + e) for p, e in zip(pad, over)]
    if kind != "mean":
        return numerics.pool(x, kernel, stride, pads, kind)
    total = numerics.pool(x, kernel, stride, pads, "sum")
    inside = np.ones((1, 1, *x.shape[2:]))
    if node.flag("count_include_pad", True):  # the padding counts, what the window reaches beyond it does not
        inside = np.ones((1, 1, *whole))
        pads = [(0, e) for e in over]
    return total / numerics.pool(inside, kernel, stride, pads, "sum")


def _batch_norm(node: Node, x: np.ndarray, *four: np.ndarray) -> np.ndarray:
    axis = node.whole("axis", 1)
    gamma, beta, mean, variance = (_across(v, x, axis) for v in four)
    if node.flag("fix_gamma", True):
        gamma = np.ones_like(gamma)
    return (x - mean) / np.sqrt(variance + node.number("eps", 1e-3)) * gamma + beta


def _standard(x: np.ndarray, axes: tuple[int, ...], epsilon: float) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def _layer_norm(node: Node, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    axis = node.whole("axis", -1)
    return _standard(x, (axis,), node.number("eps", 1e-5)) * _across(gamma, x, axis) + _across(beta, x, axis)


def _instance_norm(node: Node, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    return _standard(x, tuple(range(2, x.ndim)), node.number("eps", 1e-3)) * _across(gamma, x) + _across(beta, x)


def _group_norm(node: Node, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    groups = node.whole("num_groups", 1)
    y = _standard(x.reshape(len(x), groups, -1), (2,), node.number("eps", 1e-5)).reshape(x.shape)
    each = x.shape[1] // gamma.size
    return y * _across(gamma.repeat(each), x) + _across(beta.repeat(each), x)


def _l2(node: Node, x: np.ndarray) -> np.ndarray:
    mode = node.text("mode", "instance")
    axes = (1,) if mode == "channel" else tuple(range(2 if mode == "spatial" else 1, x.ndim))
    return x / np.sqrt((x * x).sum(axes, keepdims=True) + node.number("eps", 1e-10))


def _lrn(node: Node, x: np.ndarray) -> np.ndarray:
    size = node.whole("nsize", 5)
    wide = np.pad(x * x, [(0, 0), (size // 2, size // 2), (0, 0), (0, 0)])
    total = np.add.reduce([wide[:, i : i + x.shape[1]] for i in range(size)])
    return x / (node.number("knorm", 2) + node.number("alpha", 1e-4) / size * total) ** node.number("beta", 0.75)


def _dense(node: Node, x: np.ndarray, w: np.ndarray, *bias: np.ndarray) -> np.ndarray:
    x = x.reshape(len(x), -1) if node.flag("flatten", True) else x
    y = x.astype(w.dtype) @ w.T  # huge matrices stay float32: VGG's first one would take 800 MB
    return y + bias[0] if bias else y


def _activation(node: Node, x: np.ndarray) -> np.ndarray:
    return {
        "relu": lambda: np.maximum(x, 0),
        "sigmoid": lambda: sigmoid(x),
        "tanh": lambda: np.tanh(x),
        "softrelu": lambda: np.logaddexp(0, x),
        "softsign": lambda: x / (1 + np.abs(x)),
    }[node.text("act_type")]()


def _leaky(node: Node, x: np.ndarray, *gamma: np.ndarray) -> np.ndarray:
    kind, slope = node.text("act_type", "leaky"), node.number("slope", 0.25)
    if kind == "elu":
        return np.where(x > 0, x, slope * np.expm1(np.minimum(x, 0)))
    if kind == "selu":
        scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
        return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    if kind == "gelu":
        return 0.5 * x * (1 + erf(x / math.sqrt(2)))
    if kind == "rrelu":
        slope = (node.number("lower_bound", 0.125) + node.number("upper_bound", 0.334)) / 2
    return np.where(x > 0, x, x * (_across(gamma[0], x) if kind == "prelu" else slope))


def _softmax(node: Node, x: np.ndarray) -> np.ndarray:
    y = softmax(x / node.number("temperature", 1.0), node.whole("axis", -1))
    return y if node.op == "softmax" else np.log(y)


def _softmax_output(node: Node, x: np.ndarray, *label: np.ndarray) -> np.ndarray:
    if node.flag("multi_output") or node.text("mode") == "channel":
        return softmax(x, 1)
    if node.flag("preserve_shape"):
        return softmax(x, -1)
    return softmax(x.reshape(len(x), -1), 1).reshape(x.shape)


def _line(size: int, out: int, corners: bool) -> np.ndarray:
    """The matrix of linear interpolation from `size` samples to `out`."""
    matrix = np.zeros((out, size))
    for i in range(out):
        at = i * (size - 1) / max(out - 1, 1) if corners else (i + 0.5) * size / out - 0.5
        at = min(max(at, 0.0), size - 1.0)
        low = min(int(at), size - 1)
        high = min(low + 1, size - 1)
        matrix[i, low] += 1 - (at - low)
        matrix[i, high] += at - low
    return matrix


def _bilinear(node: Node, x: np.ndarray, *like: np.ndarray) -> np.ndarray:
    if like:
        high, wide = like[0].shape[2:]
    elif node.has("scale_height"):
        high, wide = int(x.shape[2] * node.number("scale_height")), int(x.shape[3] * node.number("scale_width"))
    else:
        high, wide = node.whole("height", 1), node.whole("width", 1)
    corners = node.flag("align_corners", True)
    return _line(x.shape[2], high, corners) @ x @ _line(x.shape[3], wide, corners).T


def _adaptive(node: Node, x: np.ndarray) -> np.ndarray:
    asked = node.wholes("output_size", (1,)) or (1,)
    (h, w), (a, b) = x.shape[2:], (asked[0], asked[-1])
    y = np.empty((*x.shape[:2], a, b))
    for i in range(a):
        for j in range(b):
            part = x[:, :, i * h // a : -(-(i + 1) * h // a), j * w // b : -(-(j + 1) * w // b)]
            y[:, :, i, j] = part.mean((2, 3))
    return y


def _cell(
    mode: str, gates: np.ndarray, inner: np.ndarray, h: np.ndarray, c: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One step: `gates` is W x + b, `inner` is R h + b, gate after gate in MXNet's order."""
    if mode == "lstm":
        i, f, g, o = np.split(gates + inner, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if mode == "gru":
        (r, z, n), (ri, zi, ni) = np.split(gates, 3, axis=1), np.split(inner, 3, axis=1)
        update = sigmoid(z + zi)
        return (1 - update) * np.tanh(n + sigmoid(r + ri) * ni) + update * h, c
    total = gates + inner
    return (np.tanh(total) if mode == "rnn_tanh" else np.maximum(total, 0)), c


def _rnn(node: Node, x: np.ndarray, flat: np.ndarray, *states: np.ndarray) -> list[np.ndarray]:
    mode, hidden, count = node.text("mode"), node.whole("state_size"), node.whole("num_layers", 1)
    directions = 2 if node.flag("bidirectional") else 1
    gates = {"lstm": 4, "gru": 3}.get(mode, 1) * hidden
    shapes: list[tuple[int, ...]] = []
    for layer in range(count):
        width = x.shape[2] if layer == 0 else hidden * directions
        shapes += [(gates, width), (gates, hidden)] * directions
    shapes += [(gates,), (gates,)] * directions * count
    parts = [p.reshape(s) for p, s in zip(np.split(flat, np.cumsum([math.prod(s) for s in shapes])[:-1]), shapes)]
    start = [np.broadcast_to(s, (count * directions, x.shape[1], hidden)) for s in states]
    biases = 2 * directions * count
    ends: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for layer in range(count):
        sides = []
        for side in range(directions):
            at = layer * directions + side
            (w, r), (bw, br) = parts[2 * at : 2 * at + 2], parts[biases + 2 * at : biases + 2 * at + 2]
            h, c = start[0][at], start[-1][at]
            steps = []
            for step in x[::-1] if side else x:
                h, c = _cell(mode, step @ w.T + bw, h @ r.T + br, h, c)
                steps.append(h)
            sides.append(np.stack(steps[::-1] if side else steps))
            ends[0].append(h)
            ends[1].append(c)
        x = np.concatenate(sides, axis=2)
    return [x, np.stack(ends[0]), np.stack(ends[1])]


RULES: dict[str, Callable] = {
    "Convolution": _convolution, "Deconvolution": _deconvolution, "Pooling": _pooling, "BatchNorm": _batch_norm,
    "LayerNorm": _layer_norm, "InstanceNorm": _instance_norm, "GroupNorm": _group_norm, "L2Normalization": _l2, "LRN": _lrn,
    "FullyConnected": _dense, "Activation": _activation, "LeakyReLU": _leaky, "softmax": _softmax, "log_softmax": _softmax,
    "SoftmaxOutput": _softmax_output, "SoftmaxActivation": _softmax_output, "_contrib_BilinearResize2D": _bilinear,
    "_contrib_AdaptiveAvgPooling2D": _adaptive, "RNN": _rnn,
    "UpSampling": lambda node, x: x.repeat(node.whole("scale", 1), 2).repeat(node.whole("scale", 1), 3),
}  # fmt: skip
