"""A Darknet network with every size, source layer and weight resolved: what converter and interpreter read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.frontends.darknet_cfg import CfgError, Section, Weights

Shape = tuple[int, int, int]  # channels, height, width
ACTIVATIONS = (
    "linear", "logistic", "loggy", "relu", "relu6", "elu", "selu", "relie", "ramp", "leaky", "tanh", "hardtan", "mish", "swish", "gelu",
)  # fmt: skip
MAX_VALUES = 2**28  # of one layer's output: 1 GB, more than any published network has
HEADS = ("yolo", "region")


@dataclass(frozen=True)
class Layer:
    """One layer: its own section, the layers it reads (-1 is the input) and what it makes of them."""

    section: Section
    sources: tuple[int, ...]
    inputs: tuple[Shape, ...]
    shape: Shape
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    activation: str = "linear"

    @property
    def kind(self) -> str:
        return KINDS[self.section.kind][0]


Rule = Callable[[Section, list[Shape], Weights], tuple[Shape, dict[str, np.ndarray], dict[str, int]]]


def resolve(sections: list[Section], weights: Weights, shape: Shape) -> list[Layer]:
    """The layers of a network fed with `shape`; all weights are used, else CfgError."""
    layers: list[Layer] = []
    shapes: list[Shape] = []
    if shape[0] * shape[1] * shape[2] > MAX_VALUES:
        raise CfgError(f"the input {shape[0]}x{shape[1]}x{shape[2]} is larger than any network's.")
    for section in sections:
        if section.kind not in KINDS:
            raise OperatorNotImplemented(f"The Darknet layer [{section.kind}] ({section.where}) is not supported.")
        _refuse_extras(section)
        activation = section.text("activation", "logistic" if KINDS[section.kind][0] in ("conv", "dense") else "linear")
        if activation not in ACTIVATIONS:
            raise OperatorNotImplemented(f"The Darknet activation {activation} ({section.where}) is not supported.")
        sources = _sources(section)
        inputs = [shapes[s] if s >= 0 else shape for s in sources]
        made, arrays, sizes = KINDS[section.kind][1](section, inputs, weights)
        if min(made) < 1:
            raise CfgError(
                f"{section.where}: its output would be {made[0]}x{made[1]}x{made[2]}; the input is too small."
            )
        if made[0] * made[1] * made[2] > MAX_VALUES:
            raise CfgError(
                f"{section.where}: its output would be {made[0]}x{made[1]}x{made[2]}, more than any network has."
            )
        layers.append(Layer(section, tuple(sources), tuple(inputs), made, arrays, sizes, activation))
        shapes.append(made)
    weights.finish()
    return layers


def results(layers: list[Layer]) -> list[int]:
    """The indices of the output layers: every yolo and region layer, else the last one that computes."""
    heads = [i for i, layer in enumerate(layers) if layer.kind in HEADS]
    last = len(layers) - 1
    while last > 0 and layers[last].kind == "same":
        last -= 1
    return heads or [last]


def _refuse_extras(section: Section) -> None:
    for key in ("binary", "xnor", "share_index", "antialiasing", "tree", "maxpool_depth", "reverse", "flip_weights"):
        value = section.text(key)
        if value and value != "0":
            raise OperatorNotImplemented(f"The Darknet option {key}={value} ({section.where}) is not supported.")
    if section.text("weights_type", "none") != "none":
        raise OperatorNotImplemented(
            f"The Darknet option weights_type={section.text('weights_type')} ({section.where}) is not supported."
        )


def _sources(section: Section) -> list[int]:
    before = section.index - 1
    if section.kind == "route":
        asked = section.ints("layers")
        if not asked:
            raise CfgError(f"{section.where}: it names no layers.")
        return [_absolute(section, v) for v in asked]
    if section.kind == "shortcut":
        asked = section.ints("from")
        if not asked:
            raise CfgError(f"{section.where}: from= is missing.")
        return [before] + [_absolute(section, v) for v in asked]
    if section.kind in ("scale_channels", "sam"):
        return [before, _absolute(section, section.whole("from", 0))]
    return [before]


def _absolute(section: Section, value: int) -> int:
    index = section.index + value if value < 0 else value
    if not 0 <= index < section.index:
        raise CfgError(f"{section.where}: there is no earlier layer {value}.")
    return index


def _conv(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    (c, h, w) = inputs[0]
    filters, size, groups = section.positive("filters", 1), section.positive("size", 1), section.positive("groups", 1)
    stride = section.positive("stride", 1)
    sy, sx, dilation = (
        section.positive("stride_y", stride),
        section.positive("stride_x", stride),
        section.positive("dilation", 1),
    )
    pad = (size // 2 if section.whole("pad") else section.whole("padding")) * dilation
    if c % groups or filters % groups:
        raise CfgError(f"{section.where}: {c} channels and {filters} filters do not divide into {groups} groups.")
    if pad < 0:
        raise CfgError(f"{section.where}: padding={section.text('padding')} must not be negative.")
    reach = dilation * (size - 1) + 1
    arrays = {"bias": weights.take(section.where, filters)}
    if section.whole("batch_normalize"):
        for name in ("scale", "mean", "variance"):
            arrays[name] = weights.take(section.where, filters)
    arrays["weight"] = weights.take(section.where, filters, c // groups, size, size)
    made = (filters, (h + 2 * pad - reach) // sy + 1, (w + 2 * pad - reach) // sx + 1)
    return made, arrays, {"pad": pad, "sy": sy, "sx": sx, "dilation": dilation, "groups": groups, "size": size}


def _dense(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    count, out = int(np.prod(inputs[0])), section.positive("output", 1)
    arrays = {"bias": weights.take(section.where, out)}
    matrix = (
        weights.take(section.where, count, out).T if weights.transposed else weights.take(section.where, out, count)
    )
    arrays["weight"] = matrix
    if section.whole("batch_normalize"):
        for name in ("scale", "mean", "variance"):
            arrays[name] = weights.take(section.where, out)
    return (out, 1, 1), arrays, {}


def _pool(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    (c, h, w) = inputs[0]
    stride = section.positive("stride", 1)
    size = section.positive("size", stride)
    sy, sx, padding = (
        section.positive("stride_y", stride),
        section.positive("stride_x", stride),
        section.whole("padding", size - 1),
    )
    if padding < 0 or padding >= 2 * size:
        raise CfgError(f"{section.where}: padding={padding} does not suit size={size}.")
    made = (c, (h + padding - size) // sy + 1, (w + padding - size) // sx + 1)
    return made, {}, {"size": size, "sy": sy, "sx": sx, "before": padding // 2, "after": padding - padding // 2}


def _mean(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    return (inputs[0][0], 1, 1), {}, {}


def _route(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    groups, group = section.positive("groups", 1), section.whole("group_id")
    if any(shape[1:] != inputs[0][1:] for shape in inputs):
        raise CfgError(f"{section.where}: it joins layers of different sizes: {_sizes(inputs)}.")
    if any(shape[0] % groups for shape in inputs) or not 0 <= group < groups:
        raise CfgError(f"{section.where}: {_sizes(inputs)} has no group {group} of {groups}.")
    return (sum(s[0] // groups for s in inputs), *inputs[0][1:]), {}, {"groups": groups, "group": group}


def _shortcut(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    if any(shape[1:] != inputs[0][1:] for shape in inputs):
        raise OperatorNotImplemented(
            f"A Darknet shortcut between layers of different sizes ({section.where}: {_sizes(inputs)}) is not supported."
        )
    return inputs[0], {}, {}


def _upsample(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    (c, h, w) = inputs[0]
    stride = section.positive("stride", 2)
    return (c, h * stride, w * stride), {}, {"stride": stride}


def _reorg(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    (c, h, w) = inputs[0]
    stride = section.positive("stride", 1)
    if c % stride**2 or h % stride or w % stride:
        raise CfgError(f"{section.where}: {_sizes(inputs)} does not divide by stride={stride}.")
    return (c * stride**2, h // stride, w // stride), {}, {"stride": stride}


def _same(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    return inputs[0], {}, {}


def _softmax(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    groups = section.positive("groups", 1)
    if int(np.prod(inputs[0])) % groups or section.whole("spatial"):
        raise OperatorNotImplemented(f"The Darknet softmax of {section.where} (groups or spatial) is not supported.")
    return inputs[0], {}, {"groups": groups}


def _crop(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    (c, h, w) = inputs[0]
    high, wide = section.positive("crop_height", 1), section.positive("crop_width", 1)
    if high > h or wide > w:
        raise CfgError(f"{section.where}: it crops {high}x{wide} out of {h}x{w}.")
    return (c, high, wide), {}, {"top": (h - high) // 2, "left": (w - wide) // 2}


def _scale_channels(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    if section.whole("scale_wh") or inputs[0] != (inputs[1][0], 1, 1):
        raise OperatorNotImplemented(
            f"The Darknet scale_channels of {section.where} ({_sizes(inputs)}) is not supported."
        )
    return inputs[1], {}, {}


def _sam(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    if inputs[0] != inputs[1]:
        raise CfgError(f"{section.where}: it multiplies layers of different sizes: {_sizes(inputs)}.")
    return inputs[0], {}, {}


def _yolo(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    anchors, total = section.floats("anchors"), section.positive("num", 1)
    mask = section.ints("mask") or list(range(total))
    return _head(section, inputs[0], [anchors[2 * m : 2 * m + 2] for m in mask], 4)


def _region(section: Section, inputs: list[Shape], weights: Weights) -> tuple:
    anchors, total = section.floats("anchors"), section.positive("num", 1)
    coords = section.whole("coords", 4)
    if coords != 4:
        raise OperatorNotImplemented(f"The Darknet option coords={coords} ({section.where}) is not supported.")
    return _head(section, inputs[0], [anchors[2 * m : 2 * m + 2] for m in range(total)], coords)


def _head(section: Section, shape: Shape, anchors: list[list[float]], coords: int) -> tuple:
    classes = section.positive("classes", 20)
    if any(len(a) != 2 for a in anchors):
        raise CfgError(f"{section.where}: anchors= has no pair for every box.")
    if shape[0] != len(anchors) * (coords + 1 + classes):
        raise CfgError(
            f"{section.where}: {len(anchors)} boxes of {classes} classes need {len(anchors) * (coords + 1 + classes)} "
            f"channels, the layer before has {shape[0]}."
        )
    return shape, {"anchors": np.array(anchors, np.float64)}, {"boxes": len(anchors), "classes": classes}


def _sizes(shapes: list[Shape]) -> str:
    return ", ".join("x".join(map(str, s)) for s in shapes)


KINDS: dict[str, tuple[str, Rule]] = {
    "convolutional": ("conv", _conv), "conv": ("conv", _conv), "connected": ("dense", _dense), "conn": ("dense", _dense),
    "maxpool": ("maxpool", _pool), "max": ("maxpool", _pool), "local_avgpool": ("avgpool", _pool),
    "avgpool": ("mean", _mean), "avg": ("mean", _mean), "route": ("route", _route), "shortcut": ("shortcut", _shortcut),
    "upsample": ("upsample", _upsample), "reorg": ("reorg", _reorg), "dropout": ("same", _same), "cost": ("same", _same),
    "activation": ("activation", _same), "softmax": ("softmax", _softmax), "soft": ("softmax", _softmax), "crop": ("crop", _crop),
    "scale_channels": ("scale_channels", _scale_channels), "sam": ("sam", _sam), "yolo": ("yolo", _yolo), "region": ("region", _region),
}  # fmt: skip
