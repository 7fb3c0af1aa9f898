"""Resize and Upsample: nearest through tables, linear and cubic as weighted sums along one axis after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import rows
from neo_cli.backends.native.ops.mapped import mapped
from neo_cli.backends.native.ops.reading import axis_of, constant, integer, integers, needed, number, text


def _scales(node: Node, ctx: Context, axes: list[int]) -> list[float]:
    """The scale of each of `axes`, given or implied by the sizes."""
    x, y = needed(node, 0), node.outputs[0]
    at = 1 if node.op == "Upsample" or node.version < 11 else 2
    given = constant(node, ctx, at) if at < len(node.inputs) and node.inputs[at] is not None else None
    if given is None and "scales" in node.attrs:
        given = np.asarray(node.attrs["scales"])
    if given is not None and given.size:
        return [float(v) for v in given.reshape(-1)]
    found = [y.shape[a] / x.shape[a] for a in axes]
    sizes = constant(node, ctx, 3) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    policy = text(node, "keep_aspect_ratio_policy", "stretch")
    if sizes is not None and policy != "stretch":
        wanted = [float(s) / x.shape[a] for s, a in zip(sizes.reshape(-1), axes)]
        best = (min if policy == "not_larger" else max)(wanted)
        return [best] * len(axes)
    return found


def _source(
    node: Node, mode: str, out: int, size: int, length: int, scale: float, region: tuple[float, float]
) -> float:
    """The coordinate in the input of position `out` of `size`."""
    if mode == "half_pixel":
        return (out + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (out + 0.5) / scale - 0.5 if size > 1 else 0.0
    if mode == "half_pixel_symmetric":
        adjust = size / (scale * length)
        centre = length / 2
        return centre * (1 - adjust) + (out + 0.5) / scale - 0.5
    if mode == "align_corners":
        return out * (length - 1) / (size - 1) if size > 1 else 0.0
    if mode == "tf_crop_and_resize":
        start, end = region
        if size > 1:
            return start * (length - 1) + out * (end - start) * (length - 1) / (size - 1)
        return 0.5 * (start + end) * (length - 1)
    return out / scale  # asymmetric


def _nearest(how: str, at: float) -> int:
    if how == "floor":
        return math.floor(at)
    if how == "ceil":
        return math.ceil(at)
    if how == "round_prefer_ceil":
        return math.floor(at + 0.5)
    return math.ceil(at - 0.5)  # round_prefer_floor


def _cubic(a: float, t: float) -> list[float]:
    """Keys' weights of the four neighbours at distance t from the second."""

    def near(v: float) -> float:
        return ((a + 2) * v - (a + 3)) * v * v + 1

    def far(v: float) -> float:
        return ((a * v - 5 * a) * v + 8 * a) * v - 4 * a

    return [far(1 + t), near(t), near(1 - t), far(2 - t)]


def _triangle(t: float, reach: float) -> float:
    return max(0.0, 1 - abs(t) / reach)


def _taps(node: Node, kind: str, at: float, scale: float, length: int) -> tuple[list[int], list[float]]:
    """Positions and weights of the elements that make the value at a coordinate; positions may lie outside."""
    coefficient = number(node, "cubic_coeff_a", -0.75)
    if integer(node, "antialias", 0) and scale < 1:
        reach = (1 if kind == "linear" else 2) / scale
        low, high = math.floor(at - reach) + 1, math.ceil(at + reach)
        places = list(range(low, high))
        if kind == "linear":
            weights = [_triangle(p - at, reach) for p in places]
        else:
            weights = [_wide_cubic(coefficient, abs(p - at) * scale) for p in places]
        total = sum(weights)
        return places, [w / total for w in weights]
    base = math.floor(at)
    t = at - base
    if kind == "linear":
        return [base, base + 1], [1 - t, t]
    return [base - 1, base, base + 1, base + 2], _cubic(coefficient, t)


def _wide_cubic(a: float, v: float) -> float:
    if v < 1:
        return ((a + 2) * v - (a + 3)) * v * v + 1
    return ((a * v - 5 * a) * v + 8 * a) * v - 4 * a if v < 2 else 0.0


def _weights(
    node: Node, kind: str, points: Sequence[float], scale: float, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """(positions, weights), a row for each result, positions inside."""
    table = [_taps(node, kind, at, scale, length) for at in points]
    outside = bool(integer(node, "exclude_outside", 0))
    width = max(len(p) for p, _ in table)
    places, weights = np.zeros((len(table), width), np.int32), np.zeros((len(table), width), np.float64)
    for row, (where, factors) in enumerate(table):
        if outside:
            factors = [f if 0 <= p < length else 0.0 for p, f in zip(where, factors)]
            total = sum(factors) or 1.0
            factors = [f / total for f in factors]
        places[row, : len(where)] = np.clip(where, 0, length - 1)
        weights[row, : len(where)] = factors
    return places, weights


@operator("Resize", "Upsample")
def resize(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    old = node.op == "Upsample" or node.version < 11
    kind = text(node, "mode", "nearest")
    points, scales, region = _points(node, ctx)
    if kind == "nearest" and not region[-1]:
        how = "floor" if old else text(node, "nearest_mode", "round_prefer_floor")
        tables = [
            [min(max(_nearest(how, at), 0), x.shape[d] - 1) for at in points[d]] if d in points else list(range(n))
            for d, n in enumerate(x.shape)
        ]
        return mapped(ctx, x.shape, y.shape, tables)
    return _interpolated(node, ctx, kind.removeprefix("bi").removeprefix("tri"), points, scales, bool(region[-1]))


def _points(
    node: Node, ctx: Context
) -> tuple[dict[int, list[float]], dict[int, float], dict[int, tuple[float, float]]]:
    """By axis: the coordinates of the results in the input, the scale, the region of interest."""
    x, y = needed(node, 0), node.outputs[0]
    rank = len(x.shape)
    axes = [axis_of(a, rank) for a in (integers(node, "axes") or range(rank))]
    scales = dict(zip(axes, _scales(node, ctx, axes)))
    old = node.op == "Upsample" or node.version < 11
    mode = "asymmetric" if old else text(node, "coordinate_transformation_mode", "half_pixel")
    region = _regions(node, ctx, axes, mode)
    points = {
        axis: [_source(node, mode, o, y.shape[axis], x.shape[axis], scale, region[axis]) for o in range(y.shape[axis])]
        for axis, scale in scales.items()
    }
    return points, scales, region


def neighbours(node: Node, ctx: Context) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Of a linear resize of images or volumes: for each spatial axis the two elements that make each result, and their
    weights; None when it is another kind or takes more elements."""
    x, y = needed(node, 0), node.outputs[0]
    kind = text(node, "mode", "nearest").removeprefix("bi").removeprefix("tri")
    if kind != "linear" or integer(node, "antialias", 0) or x.shape[:2] != y.shape[:2]:
        return None
    points, scales, region = _points(node, ctx)
    if region[-1]:
        return None
    made = []
    for axis in range(2, len(x.shape)):
        at = points.get(axis, [float(i) for i in range(y.shape[axis])])
        made.append(_weights(node, kind, at, scales.get(axis, 1.0), x.shape[axis]))
    return made


def _regions(node: Node, ctx: Context, axes: list[int], mode: str) -> dict[int, tuple[float, float]]:
    """The region of interest of each axis; under -1 something true when coordinates may leave the image."""
    found: dict[int, tuple[float, float]] = {axis: (0.0, 1.0) for axis in axes}
    found[-1] = ()  # type: ignore[assignment]
    if mode == "tf_crop_and_resize":
        roi = constant(node, ctx, 1)
        if roi is not None and roi.size:
            flat = [float(v) for v in roi.reshape(-1)]
            found |= {axis: (flat[k], flat[k + len(axes)]) for k, axis in enumerate(axes)}
        found[-1] = (1.0, 1.0)
    return found


def _interpolated(
    node: Node, ctx: Context, kind: str, points: dict[int, list[float]], scales: dict[int, float], crop: bool
) -> str:
    """One pass for each axis that changes, largest reduction first; outside a crop stands the extrapolation value."""
    x, y = needed(node, 0), node.outputs[0]
    real = "double" if x.dtype == "float64" else "float"
    changing = [a for a in points if x.shape[a] != y.shape[a] or points[a] != [float(i) for i in range(y.shape[a])]]
    shape, source, dtype = list(x.shape), "x0", x.dtype
    if not changing:
        return f"{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) y0[i] = x0[i]; }}"
    parts: list[str] = []
    for axis in sorted(changing, key=lambda a: y.shape[a] / x.shape[a]):
        last = len(parts) == len(changing) - 1
        if kind == "nearest":
            at = [
                min(max(_nearest(text(node, "nearest_mode", "round_prefer_floor"), p), 0), x.shape[axis] - 1)
                for p in points[axis]
            ]
            places, weights = np.array(at, np.int32)[:, None], np.ones((len(at), 1))
        else:
            places, weights = _weights(node, kind, points[axis], scales[axis], x.shape[axis])
        target_shape = [*shape[:axis], y.shape[axis], *shape[axis + 1 :]]
        target = "y0" if last else ctx.scratch(math.prod(target_shape), "float64" if real == "double" else "float32")
        kept = y.dtype if last else ("float64" if real == "double" else "float32")
        parts.append(_pass(ctx, shape, axis, y.shape[axis], (source, dtype), (target, kept), places, weights, real))
        shape, source, dtype = target_shape, target, kept
    if crop:
        parts.append(_outside(node, ctx, points))
    return "\nBARRIER;\n".join(parts)


def _pass(
    ctx: Context, shape: list[int], axis: int, size: int, source: tuple[str, str], target: tuple[str, str],
    places: np.ndarray, weights: np.ndarray, real: str,
) -> str:  # fmt: skip
    outer, length, inner = rows(shape, axis)
    width = places.shape[1]
    at = ctx.constant(places.astype(np.int32))
    factor = ctx.constant(weights.astype(np.float64 if real == "double" else np.float32))
    load = types.load(source[1], source[0], f"(o * {length} + {at}[k * {width} + q]) * {inner} + j")
    value = types.convert("a", "float64" if real == "double" else "float32", target[1])
    if target[1] in ("int8", "uint8"):
        low, high = types.limits(target[1])
        value = f"(a < {low} ? {low} : (a > {high} ? {high} : ({types.compute(target[1])})a))"
    put = types.store(target[1], target[0], f"i * {inner} + j", value)
    terms = (
        " + ".join(f"{factor}[k * {width} + {q}] * {load.replace('+ q]', f'+ {q}]')}" for q in range(width))
        if width <= 4
        else ""
    )
    loop = (
        f"{real} a = {terms};"
        if terms
        else f"{real} a = 0; for (int q = 0; q < {width}; q++) a += {factor}[k * {width} + q] * {load};"
    )
    return f"""{{ SPLIT({outer * size});
for (idx i = begin; i < end; i++) {{
const idx o = i / {size}, k = i % {size};
for (idx j = 0; j < {inner}; j++) {{ {loop} {put} }}
}} }}"""


def _outside(node: Node, ctx: Context, points: dict[int, list[float]]) -> str:
    """The extrapolation value where any coordinate lies outside the image."""
    x, y = needed(node, 0), node.outputs[0]
    tests, rest = [], y.size
    for axis, size in enumerate(y.shape):
        rest //= size
        if axis in points:
            bad = np.array([not 0 <= p <= x.shape[axis] - 1 for p in points[axis]], np.uint8)
            if bad.any():
                tests.append(f"{ctx.constant(bad)}[i / {rest} % {size}]")
    value = types.literal(number(node, "extrapolation_value", 0), x.dtype)
    put = types.store(y.dtype, "y0", "i", value)
    return f"{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) if ({' || '.join(tests) or '0'}) {put} }}"
