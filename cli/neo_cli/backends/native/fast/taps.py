"""Which input pixels a convolution adds up for which output pixels: one window, or several for a transposed one.

A transposed convolution with steps (sd, sh, sw) writes every output pixel from the taps whose place, less the pixel's, is
a multiple of the steps. The pixels with one remainder use the same taps: they are a dense convolution of the input, and
sd * sh * sw of these, each writing every s-th pixel, are the whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from neo_cli.backends.native.ir import Node, Value

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Taps:
    """A dense convolution over (slices or images, rows, columns); `weights` are [OC, IC / group, KD, KH, KW].

    It makes `size` pixels, the first at `place` of the output, then every `step`-th. `pads` lie before the input.
    """

    weights: np.ndarray
    strides: Triple
    dilations: Triple
    pads: Triple
    size: Triple
    place: Triple = (0, 0, 0)
    step: Triple = (1, 1, 1)

    @property
    def kernel(self) -> Triple:
        depth, height, width = self.weights.shape[2:]
        return depth, height, width


def taps_of(node: Node) -> list[Taps]:
    """The windows of a fast.Conv node (attr `up`: transposed); images are slices that no window crosses."""
    w, y, attrs = node.inputs[1], node.outputs[0], node.attrs
    assert w is not None and w.const is not None
    weights = w.const if w.const.ndim == 5 else w.const[:, :, None]
    depth = attrs.get("depth", (1, 1, 0, 0))
    (n, _, height, width), pads = y.image, attrs["pads"]
    strides, dilations = (depth[0], *attrs["strides"]), (depth[1], *attrs["dilations"])
    before = (depth[2], pads[0], pads[1])
    size = (n, height, width)
    if not attrs.get("up"):
        return [Taps(weights, strides, dilations, before, size)]
    axes = [_remainders(*axis) for axis in zip(size, weights.shape[2:], strides, dilations, before)]
    return [_phase(weights, parts, strides) for parts in itertools.product(*axes)]


@dataclass(frozen=True)
class _Axis:
    """The pixels of one axis that have a remainder: their number, taps in the order of the input, gap and padding."""

    remainder: int
    count: int
    taps: tuple[int, ...]
    gap: int
    pad: int


def _remainders(out: int, kernel: int, step: int, dilation: int, pad: int) -> list[_Axis]:
    found = []
    for r in range(min(step, out)):
        taps = tuple(k for k in reversed(range(kernel)) if (r + pad - k * dilation) % step == 0)
        places = [(r + pad - k * dilation) // step for k in taps] or [0]
        gap = places[1] - places[0] if len(places) > 1 else 1
        found.append(_Axis(r, math.ceil((out - r) / step), taps, gap, -places[0]))
    return found


def _phase(weights: np.ndarray, axes: tuple[_Axis, ...], steps: Triple) -> Taps:
    if all(axis.taps for axis in axes):
        chosen = weights[:, :, list(axes[0].taps)][:, :, :, list(axes[1].taps)][..., list(axes[2].taps)]
        gaps, pads = _triple(axis.gap for axis in axes), _triple(axis.pad for axis in axes)
    else:  # no tap reaches these pixels: the bias alone
        chosen, gaps, pads = np.zeros((*weights.shape[:2], 1, 1, 1), np.float32), (1, 1, 1), (0, 0, 0)
    counts, places = _triple(axis.count for axis in axes), _triple(axis.remainder for axis in axes)
    return Taps(np.ascontiguousarray(chosen), (1, 1, 1), gaps, pads, counts, places, steps)


def _triple(numbers: Iterable[int]) -> Triple:
    slices, rows, columns = numbers
    return slices, rows, columns


def reach(node: Node, x: Value) -> tuple[Triple, Triple]:
    """How far the windows go beyond the input, before and behind, by axis."""
    inside = (x.image[0], x.image[2], x.image[3])
    windows = taps_of(node)
    before = [max(0, *(t.pads[i] for t in windows)) for i in range(3)]
    behind = [
        max(0, *((t.size[i] - 1) * t.strides[i] + (t.kernel[i] - 1) * t.dilations[i] + 1 - inside[i] - t.pads[i] for t in windows))
        for i in range(3)
    ]  # fmt: skip
    return _triple(before), _triple(behind)
