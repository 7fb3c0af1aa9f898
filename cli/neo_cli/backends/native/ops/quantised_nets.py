"""ONNX Runtime's quantised operators that its quantiser puts beside QLinearConv: pooling, fully connected, concatenation."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import nest, strides
from neo_cli.backends.native.ops.matmul_plain import point, product
from neo_cli.backends.native.ops.quantised_expressions import quantised
from neo_cli.backends.native.ops.reading import axis_of, given, integer, needed, number

MICROSOFT = "com.microsoft"


@operator("QLinearGlobalAveragePool", domain=MICROSOFT)
def global_average(node: Node, ctx: Context) -> str:
    """The integer sum of each channel, scaled once."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    last = integer(node, "channels_last", 0)
    channels = x.shape[-1] if last else x.shape[1]
    area = math.prod(x.shape[1:-1]) if last else math.prod(x.shape[2:])
    at = f"(i / {channels} * {area} + p) * {channels} + i % {channels}" if last else f"i * {area} + p"
    value = quantised(
        f"(float)(a - {area} * (pm_i32){point(node, 2, 0, '0')}) * (x1[0] / (x3[0] * {area}.0f))",
        y.dtype,
        point(node, 4, 0, "0"),
    )
    return f"""{{ SPLIT({x.shape[0] * channels});
for (idx i = begin; i < end; i++) {{
pm_i32 a = 0;
for (idx p = 0; p < {area}; p++) a += x0[{at}];
y0[i] = {value};
}} }}"""


@operator("QGemm", domain=MICROSOFT)
def gemm(node: Node, ctx: Context) -> str:
    """alpha * A * B + C on 8-bit integers; quantised again when an output scale is given, else float."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    rows, columns = y.shape
    turned_a, turned_b = integer(node, "transA", 0), integer(node, "transB", 0)
    depth = x.shape[0] if turned_a else x.shape[1]
    left = f"x0[{f'k * {rows} + r' if turned_a else f'r * {depth} + k'}] - {point(node, 2, 0, '0')}"
    right = f"(x3[{f'(first + j) * {depth} + k' if turned_b else f'k * {columns} + first + j'}] - {point(node, 5, columns, 'first + j')})"
    start = point(node, 6, columns, "first + j") if given(node, 6) is not None else "0"
    factor = f"{types.literal(number(node, 'alpha', 1), 'float32')} * x1[0] * {point(node, 4, columns, 'c')}"
    if given(node, 7) is None:
        value = f"(float)a * ({factor})"
    else:
        value = quantised(f"(float)a * ({factor} / x7[0])", y.dtype, point(node, 8, 0, "0"))
    return product(ctx, 1, (rows, depth, columns), left, right, "pm_i32", f"y0[r * {columns} + c] = {value};", start)


@operator("QLinearConcat", domain=MICROSOFT)
def concat(node: Node, ctx: Context) -> str:
    """Each part brought to the scale of the result."""
    ctx.include("plain_types.h")
    y = node.outputs[0]
    axis, out, start, parts = axis_of(integer(node, "axis", 1), len(y.shape)), strides(y.shape), 0, []
    for k in range(2, len(node.inputs), 3):
        x = needed(node, k)
        level = f"(float)(x{k}[SOURCE] - x{k + 2}[0]) * x{k + 1}[0] / x0[0]"
        value = quantised(level, y.dtype, "x1[0]")

        def body(at: list[str], value: str = value) -> str:
            return f"y0[{at[1]}] = {value.replace('SOURCE', at[0])};"

        parts.append(nest(x.shape, [strides(x.shape), out], body, [0, start]))
        start += x.shape[axis] * out[axis]
    return "\n".join(parts)
