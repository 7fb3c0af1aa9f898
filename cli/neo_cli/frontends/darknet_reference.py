"""Darknet's layers as its C code defines them, in numpy: the oracle of a DARKNET job.

Written from the definitions, without the converter: batch normalisation is not folded, `reorg` walks Darknet's own
index formula, and everything is computed in double precision.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neo_cli.frontends.darknet_net import HEADS, Layer, results
from neo_cli.model import numerics


def run(layers: list[Layer], data: np.ndarray, boxes: bool, net: tuple[int, int]) -> list[np.ndarray]:
    """The outputs of the network for `data` [n, c, h, w]; `net` is the (height, width) anchors refer to."""
    values: list[np.ndarray] = []
    wanted = results(layers)
    last_use = {s: i for i, layer in enumerate(layers) for s in layer.sources}
    for index, layer in enumerate(layers):
        seen = [values[s] if s >= 0 else data.astype(np.float64) for s in layer.sources]
        y = activate(_LAYERS[layer.kind](layer, *seen), layer.activation)
        values.append(y)
        for source in layer.sources:  # big early layers are let go as soon as nobody reads them
            if source >= 0 and last_use[source] == index and source not in wanted:
                values[source] = np.zeros(0)
    found = []
    for index in wanted:
        y = values[index]
        if boxes and layers[index].kind in HEADS:
            y = _boxes(layers[index], y, net)
        found.append(y.astype(np.float32))
    return found


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(0.5 * x))


def activate(x: np.ndarray, kind: str) -> np.ndarray:
    if kind == "linear":
        return x
    if kind == "gelu":
        return 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3))
    if kind == "selu":
        return np.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * np.expm1(np.minimum(x, 0)))
    return {
        "logistic": lambda: _sigmoid(x),
        "loggy": lambda: 2 * _sigmoid(x) - 1,
        "relu": lambda: np.maximum(x, 0),
        "relu6": lambda: np.clip(x, 0, 6),
        "elu": lambda: np.where(x >= 0, x, np.expm1(np.minimum(x, 0))),
        "relie": lambda: np.where(x > 0, x, 0.01 * x),
        "ramp": lambda: np.maximum(x, 0) + 0.1 * x,
        "leaky": lambda: np.where(x > 0, x, 0.1 * x),
        "tanh": lambda: np.tanh(x),
        "hardtan": lambda: np.clip(x, -1, 1),
        "mish": lambda: x * np.tanh(np.logaddexp(0, x)),
        "swish": lambda: x * _sigmoid(x),
    }[kind]()


def _normalised(x: np.ndarray, layer: Layer) -> np.ndarray:
    a = {k: v.astype(np.float64).reshape(-1, 1, 1) for k, v in layer.arrays.items() if k != "weight"}
    if "scale" in a:
        x = (x - a["mean"]) / (np.sqrt(a["variance"]) + 1e-6) * a["scale"]
    return x + a["bias"]


def _conv(layer: Layer, x: np.ndarray) -> np.ndarray:
    s = layer.sizes
    pads = [(s["pad"], s["pad"])] * 2
    dilate = [s["dilation"]] * 2
    return _normalised(
        numerics.convolve(x, layer.arrays["weight"], (s["sy"], s["sx"]), pads, dilate, s["groups"]), layer
    )


def _dense(layer: Layer, x: np.ndarray) -> np.ndarray:
    y = x.reshape(len(x), -1) @ layer.arrays["weight"].astype(np.float64).T
    return _normalised(y[:, :, None, None], layer)


def _pool(layer: Layer, x: np.ndarray) -> np.ndarray:
    s = layer.sizes
    # Darknet's windows may hang over the far edge by one more than the padding says
    pads = [(s["before"], s["after"])] * 2
    kind = "max" if layer.kind == "maxpool" else "mean"
    return numerics.pool(x, [s["size"]] * 2, (s["sy"], s["sx"]), pads, kind, counted=False)


def _mean(layer: Layer, x: np.ndarray) -> np.ndarray:
    return x.mean(axis=(2, 3), keepdims=True)


def _route(layer: Layer, *seen: np.ndarray) -> np.ndarray:
    groups, group = layer.sizes["groups"], layer.sizes["group"]
    parts = [x[:, x.shape[1] // groups * group : x.shape[1] // groups * (group + 1)] for x in seen]
    return np.concatenate(parts, axis=1)


def _shortcut(layer: Layer, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
    y = x.copy()
    for other in others:
        shared = min(y.shape[1], other.shape[1])
        y[:, :shared] += other[:, :shared]
    return y


def _upsample(layer: Layer, x: np.ndarray) -> np.ndarray:
    stride = layer.sizes["stride"]
    y = x.repeat(stride, axis=2).repeat(stride, axis=3)
    return y * layer.section.number("scale", 1.0)


def _reorg(layer: Layer, x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    stride = layer.sizes["stride"]
    out_c = c // stride**2
    k, j, i = np.meshgrid(np.arange(c), np.arange(h), np.arange(w), indexing="ij")
    offset = k // out_c
    source = i * stride + offset % stride + w * stride * (j * stride + offset // stride + h * stride * (k % out_c))
    return x.reshape(n, -1)[:, source.reshape(-1)].reshape(n, *layer.shape)


def _same(layer: Layer, x: np.ndarray) -> np.ndarray:
    return x


def _soft(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _softmax(layer: Layer, x: np.ndarray) -> np.ndarray:
    grouped = x.reshape(len(x), layer.sizes["groups"], -1) / layer.section.number("temperature", 1.0)
    return _soft(grouped, 2).reshape(x.shape)


def _crop(layer: Layer, x: np.ndarray) -> np.ndarray:
    top, left = layer.sizes["top"], layer.sizes["left"]
    y = x[:, :, top : top + layer.shape[1], left : left + layer.shape[2]]
    return y if layer.section.whole("noadjust") else y * 2 - 1


def _product(layer: Layer, x: np.ndarray, other: np.ndarray) -> np.ndarray:
    return x * other


def _yolo(layer: Layer, x: np.ndarray) -> np.ndarray:
    y = x.reshape(len(x), layer.sizes["boxes"], -1, *x.shape[2:]).copy()
    if not layer.section.whole("new_coords"):
        y[:, :, :2] = _sigmoid(y[:, :, :2])
        y[:, :, 4:] = _sigmoid(y[:, :, 4:])
    scale = layer.section.number("scale_x_y", 1.0)
    y[:, :, :2] = y[:, :, :2] * scale - 0.5 * (scale - 1)
    return y.reshape(x.shape)


def _region(layer: Layer, x: np.ndarray) -> np.ndarray:
    y = x.reshape(len(x), layer.sizes["boxes"], -1, *x.shape[2:]).copy()
    y[:, :, :2] = _sigmoid(y[:, :, :2])
    if not layer.section.whole("background"):
        y[:, :, 4] = _sigmoid(y[:, :, 4])
    y[:, :, 5:] = _soft(y[:, :, 5:], 2) if layer.section.whole("softmax") else _sigmoid(y[:, :, 5:])
    return y.reshape(x.shape)


def _boxes(layer: Layer, y: np.ndarray, net: tuple[int, int]) -> np.ndarray:
    """Centre x, y, width, height (fractions of the image), objectness, and class scores times objectness."""
    n, (_, h, w), count = len(y), layer.shape, layer.sizes["boxes"]
    y = y.reshape(n, count, -1, h, w).transpose(0, 3, 4, 1, 2)
    out = y.copy()
    out[..., 0] = (y[..., 0] + np.arange(w)[None, None, :, None]) / w
    out[..., 1] = (y[..., 1] + np.arange(h)[None, :, None, None]) / h
    anchors = layer.arrays["anchors"]
    width, height = (w, h) if layer.kind == "region" else (net[1], net[0])
    if layer.section.whole("new_coords"):
        grown = (2 * y[..., 2:4]) ** 2
    else:
        grown = np.exp(y[..., 2:4])
    out[..., 2:4] = grown * anchors / np.array([width, height])
    out[..., 5:] = y[..., 5:] * y[..., 4:5]
    return out.reshape(n, h * w * count, -1)


_LAYERS: dict[str, Callable[..., np.ndarray]] = {
    "conv": _conv, "dense": _dense, "maxpool": _pool, "avgpool": _pool, "mean": _mean, "route": _route, "shortcut": _shortcut,
    "upsample": _upsample, "reorg": _reorg, "same": _same, "activation": _same, "softmax": _softmax, "crop": _crop,
    "scale_channels": _product, "sam": _product, "yolo": _yolo, "region": _region,
}  # fmt: skip
