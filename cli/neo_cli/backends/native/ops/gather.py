"""Reading and writing by index: Gather, Scatter, OneHot, Compress, embedding look-ups."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.expressions import extreme, wrapped
from neo_cli.backends.native.ops.loops import nest, rows, strides
from neo_cli.backends.native.ops.reading import axis_of, constant, given, integer, needed, text

# An index counted from the end when negative, and kept inside, so that no input can make the code leave its buffers.
INSIDE = """
static inline idx pm_inside(idx at, idx size) { at = at < 0 ? at + size : at; return at < 0 ? 0 : (at < size ? at : size - 1); }
"""


@operator("Gather")
def gather(node: Node, ctx: Context) -> str:
    """Whole slices behind the axis are contiguous."""
    ctx.declare(INSIDE)
    x, at = needed(node, 0), needed(node, 1)
    outer, size, inner = rows(x.shape, axis_of(integer(node, "axis", 0), len(x.shape)))
    if not outer * at.size * inner:
        return ""
    place = f"pm_inside((idx)x1[i % {at.size}], {size})"
    if inner == 1:
        return f"{{ SPLIT({outer * at.size}); for (idx i = begin; i < end; i++) y0[i] = x0[i / {at.size} * {size} + {place}]; }}"
    return f"""{{ SPLIT({outer * at.size});
for (idx i = begin; i < end; i++) {{
const idx from = (i / {at.size} * {size} + {place}) * {inner}, to = i * {inner};
for (idx j = 0; j < {inner}; j++) y0[to + j] = x0[from + j];
}} }}"""


@operator("GatherElements")
def gather_elements(node: Node, ctx: Context) -> str:
    ctx.declare(INSIDE)
    x, y = needed(node, 0), node.outputs[0]
    axis = axis_of(integer(node, "axis", 0), len(x.shape))
    own = strides(x.shape)
    walk = [0 if d == axis else own[d] for d in range(len(own))]
    jump = f"pm_inside((idx)x1[%s], {x.shape[axis]}) * {own[axis]}"
    return nest(y.shape, [walk, strides(y.shape)], lambda at: f"y0[{at[1]}] = x0[{at[0]} + {jump % at[1]}];")


@operator("GatherND")
def gather_nd(node: Node, ctx: Context) -> str:
    ctx.declare(INSIDE)
    x, at, batch = needed(node, 0), needed(node, 1), integer(node, "batch_dims", 0)
    depth = at.shape[-1]
    inner, own = math.prod(x.shape[batch + depth :]), strides(x.shape)
    many, batches = math.prod(at.shape[batch:-1]), math.prod(x.shape[:batch])
    terms = [f"pm_inside((idx)x1[i * {depth} + {d}], {x.shape[batch + d]}) * {own[batch + d]}" for d in range(depth)]
    base = f"i / {many} * {math.prod(x.shape[batch:])}"
    return f"""{{ SPLIT({batches * many});
for (idx i = begin; i < end; i++) {{
const idx from = {" + ".join([base, *terms])}, to = i * {inner};
for (idx j = 0; j < {inner}; j++) y0[to + j] = x0[from + j];
}} }}"""


def _copied(y: Value) -> str:
    """The result starts as a copy of the data."""
    return f"{{ SPLIT({y.size}); for (idx i = begin; i < end; i++) y0[i] = x0[i]; }}\nBARRIER;\n"


def _combined(node: Node, dtype: str) -> str:
    """The statement that puts element `from` of the updates at `to`."""
    how = text(node, "reduction", "none")
    if how == "none":
        return "y0[to] = x2[from];"
    kind = types.compute(dtype)
    real = types.is_float(dtype)
    value = {
        "add": "a + v" if real else wrapped("+", dtype, "a", "v"),
        "mul": "a * v" if real else wrapped("*", dtype, "a", "v"),
        "max": extreme(">", "v", "a", dtype),
        "min": extreme("<", "v", "a", dtype),
    }[how]
    loads = f"const {kind} a = {types.load(dtype, 'y0', 'to')}, v = {types.load(dtype, 'x2', 'from')};"
    return f"{loads} {types.store(dtype, 'y0', 'to', value)}"


@operator("ScatterElements", "Scatter")
def scatter_elements(node: Node, ctx: Context) -> str:
    """Updates in their order: the last of several wins."""
    ctx.include("plain_types.h")
    ctx.declare(INSIDE)
    at, y = needed(node, 1), node.outputs[0]
    axis = axis_of(integer(node, "axis", 0), len(y.shape))
    own = strides(y.shape)
    walk = [0 if d == axis else own[d] for d in range(len(own))]
    jump = f"pm_inside((idx)x1[from], {y.shape[axis]}) * {own[axis]}"
    step = _combined(node, y.dtype)
    loop = nest(
        at.shape, [walk, strides(at.shape)],
        lambda p: f"const idx from = {p[1]}, to = {p[0]} + {jump}; {step}", share=False,
    )  # fmt: skip
    return f"{_copied(y)}if (tid == 0) {{ {loop} }}"


@operator("ScatterND")
def scatter_nd(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    ctx.declare(INSIDE)
    at, y = needed(node, 1), node.outputs[0]
    depth = at.shape[-1]
    inner, own = math.prod(y.shape[depth:]), strides(y.shape)
    terms = [f"pm_inside((idx)x1[i * {depth} + {d}], {y.shape[d]}) * {own[d]}" for d in range(depth)] or ["0"]
    return f"""{_copied(y)}if (tid == 0) for (idx i = 0; i < {math.prod(at.shape[:-1])}; i++) {{
const idx base = {" + ".join(terms)};
for (idx j = 0; j < {inner}; j++) {{ const idx from = i * {inner} + j, to = base + j; {_combined(node, y.dtype)} }}
}}"""


@operator("TensorScatter")
def tensor_scatter(node: Node, ctx: Context) -> str:
    """A cache with new entries written from each batch's position on (round the end when circular)."""
    x, update, y = needed(node, 0), needed(node, 1), node.outputs[0]
    axis = axis_of(integer(node, "axis", -2), len(x.shape))
    outer, size, inner = rows(x.shape, axis)
    new = update.shape[axis]
    start = f"(idx)x2[o / {outer // x.shape[0]}]" if given(node, 2) is not None else "0"
    circular = text(node, "mode", "linear") == "circular"
    place = f"({start} + t) % {size}" if circular else f"{start} + t"
    return f"""{_copied(y)}{{ SPLIT({outer});
for (idx o = begin; o < end; o++)
for (idx t = 0; t < {new}; t++) {{
const idx to = {place};
if (to < 0 || to >= {size}) continue;
for (idx j = 0; j < {inner}; j++) y0[(o * {size} + to) * {inner} + j] = x1[(o * {new} + t) * {inner} + j];
}} }}"""


@operator("OneHot")
def one_hot(node: Node, ctx: Context) -> str:
    _at, y = needed(node, 0), node.outputs[0]
    outer, size, inner = rows(y.shape, axis_of(integer(node, "axis", -1), len(y.shape)))
    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{
const long long hot = (long long)x0[i];
const idx o = i / {inner}, j = i % {inner};
for (idx k = 0; k < {size}; k++) y0[(o * {size} + k) * {inner} + j] = x2[(hot < 0 ? hot + {size} : hot) == k];
}} }}"""


@operator("Compress")
def compress(node: Node, ctx: Context) -> str:
    """The slices whose condition holds; the condition decides the shape, so it must be known."""
    from neo_cli.backends.native.ops.mapped import mapped

    x, y = needed(node, 0), node.outputs[0]
    mask = constant(node, ctx, 1)
    if mask is None:
        raise ctx.refuse(node, "its condition is missing")
    chosen = [i for i, on in enumerate(mask.reshape(-1)) if on]
    if "axis" not in node.attrs:
        return mapped(ctx, [x.size], [len(chosen)], [chosen])
    axis = axis_of(integer(node, "axis", 0), len(x.shape))
    tables = [chosen if d == axis else list(range(n)) for d, n in enumerate(x.shape)]
    return mapped(ctx, x.shape, y.shape, tables)


@operator("ArrayFeatureExtractor", domain="ai.onnx.ml")
def array_feature(node: Node, ctx: Context) -> str:
    """Columns of the last axis."""
    ctx.declare(INSIDE)
    x, at = needed(node, 0), needed(node, 1)
    width = x.shape[-1]
    return f"{{ SPLIT({node.outputs[0].size}); for (idx i = begin; i < end; i++) y0[i] = x0[i / {at.size} * {width} + pm_inside((idx)x1[i % {at.size}], {width})]; }}"
