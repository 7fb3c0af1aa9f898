"""Elementwise operators on quantised numbers, rounded exactly as ONNX Runtime does."""

from __future__ import annotations

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.expressions import Operand, expression


def quantised(value: str, dtype: str, zero: str) -> str:
    """round(value) + zero, saturated to the range of `dtype`; `value` is float."""
    low, high = types.limits(dtype)
    return f"pm_quantise({value}, {zero}, {low}, {high})"


def _level(x: Operand, scale: Operand, zero: Operand | None) -> str:
    return f"((float)({x.name} - {zero.name if zero else 0}) * {scale.name})"


def _zero(zero: Operand | None) -> str:
    return zero.name if zero else "0"


@expression("QLinearAdd", "QLinearMul", domain="com.microsoft")
def _arithmetic(
    node: Node, a: Operand, sa: Operand, za: Operand | None, b: Operand, sb: Operand, zb: Operand | None,
    sc: Operand, zc: Operand | None = None,
) -> str:  # fmt: skip
    sign = "+" if node.op == "QLinearAdd" else "*"
    return quantised(f"({_level(a, sa, za)} {sign} {_level(b, sb, zb)}) / {sc.name}", node.outputs[0].dtype, _zero(zc))


@expression("QLinearSigmoid", "QLinearLeakyRelu", domain="com.microsoft")
def _unary(node: Node, x: Operand, sx: Operand, zx: Operand | None, sy: Operand, zy: Operand | None = None) -> str:
    level = _level(x, sx, zx)
    if node.op == "QLinearSigmoid":
        value = f"pm_sigmoidf({level})"
    else:
        value = f"({level} < 0 ? {level} * {types.literal(node.attrs.get('alpha', 0.01), 'float32')} : {level})"
    return quantised(f"{value} / {sy.name}", node.outputs[0].dtype, _zero(zy))
