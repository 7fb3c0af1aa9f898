"""Reductions over any axes, ArgMax/ArgMin, and running sums and products."""

from __future__ import annotations

import math
from dataclasses import dataclass

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.expressions import extreme, wrapped
from neo_cli.backends.native.ops.loops import collapse, index, nest, rows, strides
from neo_cli.backends.native.ops.reading import axis_of, constant, integer, listed, needed

FAST = '_Pragma("clang fp reassociate(on)")'  # partial sums, so that the loop vectorises


@dataclass(frozen=True)
class Fold:
    """A reduction: what it starts with, how a value `v` enters the accumulator `a`, what is made of it at the end."""

    start: str
    step: str
    end: str = "a"


def fold(op: str, dtype: str, count: int) -> Fold:
    """The reduction `op` over `count` elements of `dtype`, in `compute(dtype)`."""
    real, s = types.is_float(dtype), types.suffix(dtype)
    add = "a + v" if real else wrapped("+", dtype, "a", "v")
    square = "v * v" if real else wrapped("*", dtype, "v", "v")
    absolute = f"pm_abs{s}(v)" if real else ("v" if types.is_unsigned(dtype) else "(v < 0 ? -v : v)")
    low, high = (types.literal(v, dtype) for v in types.limits(dtype))
    cast = f"({types.compute(dtype)})"
    count_text = types.literal(count, dtype)
    table = {
        "Sum": Fold("0", add),
        "Mean": Fold("0", add, f"a / {count_text}" if count else f"{cast}PM_NAN"),
        "Prod": Fold("1", "a * v" if real else wrapped("*", dtype, "a", "v")),
        "Max": Fold(low, extreme(">", "v", "a", dtype)),
        "Min": Fold(high, extreme("<", "v", "a", dtype)),
        "L1": Fold("0", add.replace("v", absolute)),
        "SumSquare": Fold("0", f"a + {square}"),
        "L2": Fold("0", f"a + {square}", f"{cast}pm_sqrt{s}(a)"),
        "LogSum": Fold("0", add, f"{cast}pm_log{s}(a)"),
    }
    return table[op]


def reduced_axes(node: Node, ctx: Context) -> list[int] | None:
    """The axes to reduce, sorted; None when the operator is the identity (empty axes with noop)."""
    rank = len(needed(node, 0).shape)
    axes = listed(node, ctx, 1, "axes")
    if not axes:
        return None if integer(node, "noop_with_empty_axes", 0) else list(range(rank))
    return sorted({axis_of(a, rank) for a in axes})


REDUCTIONS = ("Sum", "Mean", "Prod", "Max", "Min", "L1", "L2", "SumSquare", "LogSum", "LogSumExp")


@operator(*[f"Reduce{name}" for name in REDUCTIONS])
def reduction(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x = needed(node, 0)
    axes = reduced_axes(node, ctx)
    op = node.op.removeprefix("Reduce")
    if axes is None:  # every element is a group of its own
        axes = []
    if op == "LogSumExp":
        return _log_sum_exp(node, axes)
    count = math.prod(x.shape[a] for a in axes)
    return reduce_loop(node, axes, fold(op, x.dtype, count))


def _layout(node: Node, axes: list[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """(kept sizes, their strides in x, reduced sizes, their strides)."""
    x = needed(node, 0)
    own = strides(x.shape)
    kept = [d for d in range(len(x.shape)) if d not in axes]
    return [x.shape[d] for d in kept], [own[d] for d in kept], [x.shape[d] for d in axes], [own[d] for d in axes]


def reduce_loop(node: Node, axes: list[int], rule: Fold) -> str:
    """Accumulate each group in a register, or whole rows at once when the last axis stays."""
    x, y = needed(node, 0), node.outputs[0]
    kept, walk, gone, steps = _layout(node, axes)
    kind = types.compute(x.dtype)
    plain = kind == y.ctype or y.dtype in types.INTEGERS
    if math.prod(kept) == 0:
        return ""
    if plain and walk and walk[-1] == 1 and kept[-1] >= 8 and math.prod(gone) > 0:
        return _by_rows(node, kept, walk, gone, steps, rule, kind)

    def body(at: list[str]) -> str:
        load = types.load(x.dtype, "x0", "p")
        inner = nest(
            gone,
            [steps],
            lambda p: f"const idx p = {at[0]} + {p[0]}; const {kind} v = {load}; a = {rule.step};",
            share=False,
            name="r",
        )
        final = types.store(y.dtype, "y0", at[1], rule.end)
        return f"{FAST} {kind} a = {rule.start};\n{inner}\n{final}"

    return nest(kept, [walk, strides(kept)], body)


def _by_rows(
    node: Node, kept: list[int], walk: list[int], gone: list[int], steps: list[int], rule: Fold, kind: str
) -> str:
    """For each row of the result: start, add every source row elementwise, finish; the inner loops are contiguous."""
    x = needed(node, 0)
    sizes, both = collapse(kept, [walk, strides(kept)])
    width = sizes[-1] if both[0] and both[0][-1] == 1 else kept[-1]
    outer, outer_x, outer_y = sizes[:-1], both[0][:-1], both[1][:-1]
    block = min(width, 256)
    pieces = -(-width // block)
    names = [f"i{d}" for d in range(len(outer) + 1)]
    load = types.load(x.dtype, "x0", "p + j")
    inner = nest(
        gone, [steps],
        lambda p: f"const idx p = source + {p[0]}; for (idx j = 0; j < span; j++) {{ const {kind} v = {load}; {kind} a = part[j]; part[j] = {rule.step}; }}",
        share=False, name="r",
    )  # fmt: skip
    finish = types.store(node.outputs[0].dtype, "y0", "target + j", rule.end)
    count = math.prod(outer) * pieces
    back, rest = [], "item"
    for d in reversed(range(len(outer) + 1)):
        size = pieces if d == len(outer) else outer[d]
        back.append(f"const idx {names[d]} = {rest} % {size};" if d else f"const idx {names[d]} = {rest};")
        rest = f"({rest} / {size})"
    return f"""{{ SPLIT({count});
for (idx item = begin; item < end; item++) {{
{" ".join(back)}
const idx first = {names[-1]} * {block}, span = {width} - first < {block} ? {width} - first : {block};
const idx source = {index(outer_x, names[:-1], "first")}, target = {index(outer_y, names[:-1], "first")};
{kind} part[{block}];
for (idx j = 0; j < span; j++) part[j] = {rule.start};
{inner}
for (idx j = 0; j < span; j++) {{ const {kind} a = part[j]; {finish} }}
}} }}"""


def _log_sum_exp(node: Node, axes: list[int]) -> str:
    """The largest value is taken out first."""
    x, y = needed(node, 0), node.outputs[0]
    kept, walk, gone, steps = _layout(node, axes)
    kind, s = types.real(x.dtype), types.suffix(x.dtype)

    def body(at: list[str]) -> str:
        value = f"const {kind} v = ({kind}){types.load(x.dtype, 'x0', f'{at[0]} + p')};"
        most = nest(gone, [steps], lambda p: f"const idx p = {p[0]}; {value} m = v > m ? v : m;", share=False, name="r")
        total = nest(
            gone, [steps], lambda p: f"const idx p = {p[0]}; {value} a += pm_exp{s}(v - m);", share=False, name="r"
        )
        end = types.store(
            y.dtype,
            "y0",
            at[1],
            types.convert(f"m + pm_log{s}(a)", x.dtype if types.is_float(x.dtype) else "float32", y.dtype),
        )
        return f"{kind} m = -({kind})PM_INF;\n{most}\nm = pm_abs{s}(m) < ({kind})PM_INF ? m : 0;\n{kind} a = 0;\n{total}\n{end}"

    return nest(kept, [walk, strides(kept)], body) if math.prod(kept) else ""


@operator("ArgMax", "ArgMin")
def arg_extreme(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x = needed(node, 0)
    outer, size, inner = rows(x.shape, axis_of(integer(node, "axis", 0), len(x.shape)))
    sign = ">" if node.op == "ArgMax" else "<"
    sign += "=" if integer(node, "select_last_index", 0) else ""
    kind = types.compute(x.dtype)
    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{
const idx base = i / {inner} * {size * inner} + i % {inner};
{kind} best = {types.load(x.dtype, "x0", "base")};
idx at = 0;
for (idx k = 1; k < {size}; k++) {{
const {kind} v = {types.load(x.dtype, "x0", f"base + k * {inner}")};
if (v {sign} best) {{ best = v; at = k; }}
}}
y0[i] = at;
}} }}"""


@operator("CumSum", "CumProd")
def cumulative(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    axis = constant(node, ctx, 1)
    if axis is None:
        raise ctx.refuse(node, "its axis is missing")
    outer, size, inner = rows(x.shape, axis_of(int(axis.reshape(-1)[0]), len(x.shape)))
    kind, sign = types.compute(x.dtype), "+" if node.op == "CumSum" else "*"
    step = f"a {sign} v" if types.is_float(x.dtype) else wrapped(sign, x.dtype, "a", "v")
    place = f"{size - 1} - k" if integer(node, "reverse", 0) else "k"
    value = f"const {kind} v = {types.load(x.dtype, 'x0', 'at')};"
    put = types.store(y.dtype, "y0", "at", "a")
    lines = f"{put} a = {step};" if integer(node, "exclusive", 0) else f"a = {step}; {put}"
    return f"""{{ SPLIT({outer * inner});
for (idx i = begin; i < end; i++) {{
{kind} a = {0 if sign == "+" else 1};
for (idx k = 0; k < {size}; k++) {{
const idx at = i / {inner} * {size * inner} + i % {inner} + ({place}) * {inner};
{value} {lines}
}} }} }}"""
