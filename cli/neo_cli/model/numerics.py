"""Convolution and pooling in plain numpy: what an oracle without a framework is built from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

LARGE = 50_000_000
Pads = Sequence[tuple[int, int]]


def padded(x: np.ndarray, pads: Pads, value: float = 0.0) -> np.ndarray:
    """`x` [n, c, *spatial] with `pads` (before, after) on each spatial axis."""
    if not any(before or after for before, after in pads):
        return x
    return np.pad(x, [(0, 0), (0, 0), *pads], constant_values=value)


def taps(x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], dilate: Sequence[int]) -> Iterator[tuple]:
    """For each position in the kernel: (the position, the inputs that all outputs see there)."""
    sizes = [(s - d * (k - 1) - 1) // t + 1 for s, k, t, d in zip(x.shape[2:], kernel, stride, dilate)]
    for at in itertools.product(*(range(k) for k in kernel)):
        cut: tuple[Any, ...] = tuple(
            slice(a * d, a * d + (n - 1) * t + 1, t) for a, n, t, d in zip(at, sizes, stride, dilate)
        )
        yield at, x[(slice(None), slice(None), *cut)]


def convolve(
    x: np.ndarray, w: np.ndarray, stride: Sequence[int], pads: Pads, dilate: Sequence[int], groups: int = 1
) -> np.ndarray:
    """Cross-correlation of x [n, c, *spatial] with w [out, c / groups, *kernel].

    In double precision; where more than LARGE products are added, in single, which takes half the time.
    """
    n, kernel, out = x.shape[0], w.shape[2:], w.shape[0]
    work = w.size * x[0, 0].size // int(np.prod(stride))
    dtype = np.float64 if work < LARGE else np.float32
    x = padded(x.astype(dtype), pads)
    grouped = w.astype(dtype).reshape(groups, out // groups, w.shape[1], *kernel)
    total: np.ndarray | None = None
    spatial: tuple[int, ...] = ()
    for at, seen in taps(x, kernel, stride, dilate):
        spatial = seen.shape[2:]
        place: Any = (slice(None), slice(None), slice(None), *at)
        part = grouped[place] @ seen.reshape(n, groups, seen.shape[1] // groups, -1)
        total = part if total is None else np.add(total, part, out=total)
    assert total is not None
    return total.reshape(n, out, *spatial).astype(np.float64)


def deconvolve(
    x: np.ndarray,
    w: np.ndarray,
    stride: Sequence[int],
    pads: Pads,
    dilate: Sequence[int],
    groups: int = 1,
    extra: Sequence[int] | None = None,
) -> np.ndarray:
    """The transpose of `convolve`: w is [c, out / groups, *kernel]; `extra` rows are added at the far ends."""
    n, kernel = x.shape[0], w.shape[2:]
    extra = extra or [0] * len(kernel)
    full = [(s - 1) * t + d * (k - 1) + 1 + e for s, k, t, d, e in zip(x.shape[2:], kernel, stride, dilate, extra)]
    out = w.shape[1] * groups
    y = np.zeros((n, out, *full))
    flat = x.astype(np.float64).reshape(n, groups, x.shape[1] // groups, -1)
    grouped = w.astype(np.float64).reshape(groups, x.shape[1] // groups, w.shape[1], *kernel)
    for at in itertools.product(*(range(k) for k in kernel)):
        spot: Any = (slice(None), slice(None), slice(None), *at)
        tap = grouped[spot].transpose(0, 2, 1) @ flat
        spans = zip(at, x.shape[2:], stride, dilate)
        cut = [slice(a * d, a * d + (s - 1) * t + 1, t) for a, s, t, d in spans]
        place: Any = (slice(None), slice(None), *cut)
        y[place] += tap.reshape(n, out, *x.shape[2:])
    keep = [slice(before, size - after) for (before, after), size in zip(pads, full)]
    inner: Any = (slice(None), slice(None), *keep)
    return y[inner]


def pool(
    x: np.ndarray, kernel: Sequence[int], stride: Sequence[int], pads: Pads, kind: str = "max", counted: bool = True
) -> np.ndarray:
    """Max, sum or mean over windows; `counted` says that padding counts in a mean's divisor."""
    ones = [1] * len(kernel)
    fill = -np.inf if kind == "max" else 0.0
    parts = [seen for _, seen in taps(padded(x.astype(np.float64), pads, fill), kernel, stride, ones)]
    if kind == "max":
        return np.maximum.reduce(parts)
    total = np.add.reduce(parts)
    if kind == "sum":
        return total
    if counted:
        return total / np.prod(kernel)
    inside = padded(np.ones((1, 1, *x.shape[2:])), pads)
    return total / np.add.reduce([seen for _, seen in taps(inside, kernel, stride, ones)])
