"""QuantizeLinear, DequantizeLinear (one scale, one for each channel, or blocks) and DynamicQuantizeLinear."""

from __future__ import annotations

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import nest, strides
from neo_cli.backends.native.ops.reading import axis_of, given, integer, needed
from neo_cli.backends.native.ops.reduce import FAST


def _walks(node: Node, x: Value, scale: Value) -> tuple[list[int], list[int]]:
    """(shape of the walk, strides of the scale along it); a blocked axis is cut in two."""
    rank, block = len(x.shape), integer(node, "block_size", 0)
    own = list(strides(scale.shape))
    if scale.size == 1:
        return list(x.shape), [0] * rank
    axis = axis_of(integer(node, "axis", 1), rank)
    if not block:
        return list(x.shape), [1 if d == axis else 0 for d in range(rank)]
    shape = [part for d, n in enumerate(x.shape) for part in ((n // block, block) if d == axis else (n,))]
    if x.shape[axis] % block:
        raise AssertionError("the axis is no multiple of the block")
    return shape, [part for d in range(rank) for part in ((own[d], 0) if d == axis else (own[d],))]


@operator("QuantizeLinear")
@operator("QuantizeLinear", domain="com.microsoft")
def quantize(node: Node, ctx: Context) -> str:
    """round(x / scale) + zero point, saturated; floats of 8 bits are only scaled."""
    ctx.include("plain_types.h")
    x, scale, zero, y = needed(node, 0), needed(node, 1), given(node, 2), node.outputs[0]
    shape, walk = _walks(node, x, scale)

    def body(at: list[str]) -> str:
        value = f"{types.load(x.dtype, 'x0', at[0])} / {types.load(scale.dtype, 'x1', at[1])}"
        if types.is_float(y.dtype):
            return types.store(y.dtype, "y0", at[0], value, bool(integer(node, "saturate", 1)))
        low, high = types.limits(y.dtype)
        level = types.load(y.dtype, "x2", at[1]) if zero is not None else "0"
        return types.store(y.dtype, "y0", at[0], f"pm_quantise({value}, {level}, {low}, {high})")

    return nest(shape, [strides(shape), walk], body)


@operator("DequantizeLinear")
@operator("DequantizeLinear", domain="com.microsoft")
def dequantize(node: Node, ctx: Context) -> str:
    """(x - zero point) * scale."""
    ctx.include("plain_types.h")
    x, scale, zero, y = needed(node, 0), needed(node, 1), given(node, 2), node.outputs[0]
    shape, walk = _walks(node, x, scale)

    def body(at: list[str]) -> str:
        level = types.load(x.dtype, "x0", at[0])
        if zero is not None:
            level = f"({level} - {types.load(x.dtype, 'x2', at[1])})"
        return types.store(y.dtype, "y0", at[0], f"(float){level} * {types.load(scale.dtype, 'x1', at[1])}")

    return nest(shape, [strides(shape), walk], body)


@operator("DynamicQuantizeLinear")
def dynamic_quantize(node: Node, ctx: Context) -> str:
    """Scale and zero point from the range of x, which always contains zero; every thread finds them for itself."""
    ctx.include("plain_types.h")
    x = needed(node, 0)
    return f"""{{ {FAST}
float low = 0, high = 0;
for (idx i = 0; i < {x.size}; i++) {{ const float v = x0[i]; low = v < low ? v : low; high = v > high ? v : high; }}
const float scale = high == low ? 1.0f : (high - low) / 255.0f;
const pm_i32 zero = pm_quantise(-low / scale, 0, 0, 255);
if (tid == 0) {{ y1[0] = scale; y2[0] = zero; }}
SPLIT({x.size});
for (idx i = begin; i < end; i++) y0[i] = pm_quantise(x0[i] / scale, zero, 0, 255);
}}"""
