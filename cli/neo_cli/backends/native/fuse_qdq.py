"""Other operators between DequantizeLinear and QuantizeLinear: they compute on the whole numbers themselves."""

from __future__ import annotations

from neo_cli.backends.native.fuse_quantised import EIGHT, Scaled, _bounds, dequantised, levels_of, number_of
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.rewrite import Rewriter

MICROSOFT = "com.microsoft"
# Operators that only move elements, or pick some: they do the same to whole numbers when both scales are one.
MOVES = (
    "MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Slice", "Gather", "DepthToSpace",
    "SpaceToDepth", "Expand", "Tile", "Resize",
)  # fmt: skip
ARITHMETIC = {"Add": "QLinearAdd", "Mul": "QLinearMul"}
UNARY = {
    "GlobalAveragePool": "QLinearGlobalAveragePool", "Sigmoid": "QLinearSigmoid", "LeakyRelu": "QLinearLeakyRelu",
}  # fmt: skip


def operators(r: Rewriter) -> None:
    """Every QuantizeLinear whose input an operator of these makes of dequantised tensors."""
    for end in [n for n in r.graph.nodes if n.op == "QuantizeLinear" and n.outputs[0].dtype in EIGHT]:
        if number_of(end, 1) is None or number_of(end, 2, 0) is None:
            continue
        node, taken = _before(r, end)
        made = None if node is None or node.domain or len(node.outputs) > 1 else _integer(r, node, end)
        if made is not None and node is not None:
            r.replace([node, *taken], made, end)


def _before(r: Rewriter, end: Node) -> tuple[Node | None, list[Node]]:
    """What makes the input of a QuantizeLinear for it alone; a Relu or Clip that changes no number goes."""
    value, taken = end.inputs[0], [end]
    assert value is not None
    node = r.makers.get(value)
    if node is not None and node.op in ("Relu", "Clip") and r.sole_user(value) is end:
        bounds, full = _bounds(node), types.limits(end.outputs[0].dtype)
        if bounds is not None and levels_of(bounds, end) == full and node.inputs[0] is not None:
            taken.insert(0, node)
            value = node.inputs[0]
            node = r.makers.get(value)
    return (node if r.sole_user(value) is taken[0] else None), taken


def _integer(r: Rewriter, node: Node, end: Node) -> Node | None:
    y, own = end.outputs[0], [end.inputs[1], end.inputs[2] if len(end.inputs) > 2 else None]
    if own[1] is None:
        return None
    found = [_operand(r, v) for v in node.inputs]
    scales = [triple for triple in found if triple is not None]
    whole, parts = len(scales) == len(found), [v for triple in scales for v in triple]
    if node.op in ARITHMETIC and whole:
        if any(triple[0].dtype != y.dtype for triple in scales):
            return None
        return _made(ARITHMETIC[node.op], node, [*parts, *own], y, MICROSOFT)
    if node.op in UNARY and found[0] is not None and found[0][0].dtype == y.dtype:
        return _made(UNARY[node.op], node, [*found[0], *own], y, MICROSOFT)
    if node.op == "Concat" and whole:
        return _made("QLinearConcat", node, [*own, *parts], y, MICROSOFT)
    x = dequantised(r, node.inputs[0])
    if node.op == "Resize" and node.attrs.get("mode", "nearest") != "nearest":
        return None
    scale = number_of(end, 1)
    if node.op in MOVES and x is not None and x.value.dtype == y.dtype and scale is not None:
        same = Scaled(x.value, scale, int(number_of(end, 2, 0) or 0))
        return _made(node.op, node, [x.value, *node.inputs[1:]], y, "") if same == x else None
    return None


def _operand(r: Rewriter, value: Value | None) -> list[Value] | None:
    """(numbers, scale, zero point) of a dequantised tensor or constant."""
    node = r.maker(value, "DequantizeLinear")
    if node is not None and dequantised(r, value) is not None and len(node.inputs) > 2:
        return [v for v in node.inputs if v is not None]
    levels = None if value is None else value.levels
    if value is None or levels is None or levels.scale.size != 1 or levels.array.dtype.name not in EIGHT:
        return None
    arrays = {"levels": levels.array, "scale": levels.scale.reshape(()), "zero": levels.zero.reshape(())}
    return [Value(f"{value.name}.{k}", a.dtype.name, a.shape, a) for k, a in arrays.items()]


def _made(op: str, node: Node, inputs: list[Value | None], y: Value, domain: str) -> Node:
    version = 1 if domain else node.version
    return Node(op, node.name, inputs, [y], dict(node.attrs), domain, version, node.origin)
