"""Weights of 2, 4 or 8 bits that stay so in the artifact: MatMulNBits, MatMulBnb4, GatherBlockQuantized."""

from __future__ import annotations

import math

import numpy as np

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.expansions import MICROSOFT
from neo_cli.backends.native.ops.loops import strides
from neo_cli.backends.native.ops.reading import axis_of, given, integer, needed
from neo_cli.backends.native.ops.reduce import FAST


def _zero(zero: Value | None, bits: int, row: str, block: str, blocks: int) -> str:
    """The zero point of a block as an expression: packed like the weights, a float each, or the middle of the range."""
    if zero is None:
        return str(1 << (bits - 1))
    if types.is_float(zero.dtype):
        return types.load(zero.dtype, "x3", f"{row} * {blocks} + {block}")
    if bits == 8:
        return f"x3[{row} * {blocks} + {block}]"
    per = 8 // bits
    return f"((x3[{row} * {-(-blocks // per)} + {block} / {per}] >> {block} % {per} * {bits}) & {(1 << bits) - 1})"


@operator("MatMulNBits", domain=MICROSOFT)
def matmul(node: Node, ctx: Context) -> str:
    """A (rows, K) times B' (N, K): each block of B is unpacked once and meets all rows.

    A is copied with the elements that share bytes of B apart, so that unpacking and products are straight loops.
    """
    ctx.include("plain_types.h")
    x, y, bias = needed(node, 0), node.outputs[0], given(node, 5)
    bits, block = integer(node, "bits", 4), integer(node, "block_size", 32)
    depth, columns = integer(node, "K", 0), integer(node, "N", 0)
    if bits not in (2, 4, 8):
        raise ctx.refuse(node, f"its weights have {bits} bits")
    if given(node, 4) is not None or integer(node, "weight_prepacked", 0):
        raise ctx.refuse(node, "its weights are in another order")
    rows, blocks, per = x.size // depth, -(-depth // block), 8 // bits
    part = block // per
    apart, sums = ctx.scratch(rows * blocks * block), ctx.scratch(rows, private=True)
    source = f"i / {blocks} * {depth} + at"
    scale = types.load(needed(node, 2).dtype, "x2", f"n * {blocks} + b")
    unpack = "\n".join(
        f"for (int j = 0; j < {part}; j++) w[{p * part} + j] = (float)((packed[j] >> {p * bits}) & {(1 << bits) - 1}) - zero;"
        for p in range(per)
    )
    ending = f" + {types.load(bias.dtype, f'x{5}', 'n')}" if bias is not None else ""
    return f"""{{ SPLIT({rows * blocks});
for (idx i = begin; i < end; i++) for (idx j = 0; j < {block}; j++) {{
const idx at = i % {blocks} * {block} + j;
{apart}[i * {block} + j % {per} * {part} + j / {per}] = at < {depth} ? {types.load(x.dtype, "x0", source)} : 0;
}} }}
PHASE;
{{ SPLIT({columns});
for (idx n = begin; n < end; n++) {{
for (idx r = 0; r < {rows}; r++) {sums}[r] = 0;
for (idx b = 0; b < {blocks}; b++) {{ {FAST}
const uint8_t *packed = x1 + (n * {blocks} + b) * {part};
const float zero = {_zero(given(node, 3), bits, "n", "b", blocks)}, scale = {scale};
float w[{block}];
{unpack}
for (idx r = 0; r < {rows}; r++) {{
const float *a = {apart} + (r * {blocks} + b) * {block};
float sum = 0;
for (int j = 0; j < {block}; j++) sum += a[j] * w[j];
{sums}[r] += sum * scale;
}} }}
for (idx r = 0; r < {rows}; r++) {types.store(y.dtype, "y0", f"r * {columns} + n", f"{sums}[r]{ending}")}
}} }}"""


# The 16 levels of bitsandbytes: floats of 4 bits, and quantiles of the normal distribution (Dettmers et al., QLoRA, 2023).
FP4 = (0.0, 1 / 192, 2 / 3, 1.0, 1 / 3, 0.5, 1 / 6, 0.25)
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


@operator("MatMulBnb4", domain=MICROSOFT)
def matmul_bnb4(node: Node, ctx: Context) -> str:
    """A (rows, K) times B' (N, K): B is one run of 4-bit codes, the first in the upper half of a byte, a largest magnitude a block."""
    ctx.include("plain_types.h")
    x, y = needed(node, 0), node.outputs[0]
    depth, columns, block = integer(node, "K", 0), integer(node, "N", 0), integer(node, "block_size", 64)
    if not integer(node, "transB", 1) or integer(node, "training_mode", 0):
        raise ctx.refuse(node, "its weights are not turned")
    rows, levels = x.size // depth, NF4 if integer(node, "quant_type", 0) else (*FP4, *(-v for v in FP4))
    table, row = ctx.constant(np.array(levels, np.float32)), ctx.scratch(depth, private=True)
    scale = types.load(needed(node, 2).dtype, "x2", f"(at / {block})")
    return f"""{{ SPLIT({columns});
for (idx n = begin; n < end; n++) {{
for (idx k = 0; k < {depth}; k++) {{
const idx at = n * {depth} + k;
{row}[k] = {table}[x1[at / 2] >> (at % 2 ? 0 : 4) & 15] * {scale};
}}
for (idx r = 0; r < {rows}; r++) {{ {FAST}
float sum = 0;
for (idx k = 0; k < {depth}; k++) sum += {types.load(x.dtype, "x0", f"r * {depth} + k")} * {row}[k];
{types.store(y.dtype, "y0", f"r * {columns} + n", "sum")}
}} }} }}"""


def _level(dtype: str, bits: int, pointer: str, index: str, width: int, packed: int) -> str:
    """An element: of a type of its own, or packed into bytes along rows of `width` elements that take `packed` bytes."""
    if dtype != "uint8" or bits == 8:
        return types.load(dtype, pointer, f"({index})")
    per = 8 // bits
    place = f"({index}) / {width} * {packed} + ({index}) % {width} / {per}"
    return f"(({pointer}[{place}] >> ({index}) % {width} % {per} * {bits}) & {(1 << bits) - 1})"


@operator("GatherBlockQuantized", domain=MICROSOFT)
def gather(node: Node, ctx: Context) -> str:
    """Slices along one axis, (level - zero point) * scale with a scale for each block of another; 0 where an index is out of range."""
    ctx.include("plain_types.h")
    data, indices, scales, y = needed(node, 0), needed(node, 1), needed(node, 2), node.outputs[0]
    zero, bits, block = given(node, 3), integer(node, "bits", 4), integer(node, "block_size", 128)
    shape = gathered_from(data, bits)
    along = axis_of(integer(node, "gather_axis", 0), len(shape))
    axis = axis_of(integer(node, "quantize_axis", 1), len(shape))
    blocks = -(-shape[axis] // max(1, block))
    if not block or scales.shape != tuple(blocks if d == axis else n for d, n in enumerate(shape)):
        raise ctx.refuse(node, f"its scales have the shape {scales.shape}")
    inner, step = math.prod(shape[along + 1 :]), strides(shape)[axis]
    span = shape[axis] * step
    place = f"from / {span} * {blocks * step} + from % {span} / {step} / {block} * {step} + from % {step}"
    level = _level(data.dtype, bits, "x0", "from", shape[-1], data.shape[-1])
    if zero is not None:
        shift = _level(zero.dtype, bits, "x3", "at", scales.shape[-1], zero.shape[-1])
    else:
        shift = str(1 << (bits - 1)) if data.dtype == "uint8" else "0"
    value = f"(float)({level} - {shift}) * {types.load(scales.dtype, 'x2', 'at')}"
    return f"""{{ SPLIT({y.size});
for (idx i = begin; i < end; i++) {{
const pm_i64 index = x1[i / {inner} % {indices.size}], row = index < 0 ? index + {shape[along]} : index;
float v = 0;
if (row >= 0 && row < {shape[along]}) {{
const idx from = (i / {inner * indices.size} * {shape[along]} + row) * {inner} + i % {inner}, at = {place};
v = {value};
}}
{types.store(y.dtype, "y0", "i", "v")}
}} }}"""


def gathered_from(data: Value, bits: int) -> tuple[int, ...]:
    """The shape of the table in elements: bytes hold several along the last axis."""
    return (*data.shape[:-1], data.shape[-1] * 8 // bits) if data.dtype == "uint8" else data.shape
