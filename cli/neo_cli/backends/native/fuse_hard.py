"""The hard sigmoid and the hard swish, which exporters write as a sum, a clip, a product and a quotient."""

from __future__ import annotations

from neo_cli.backends.native.fast.activations import act_of
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter, other, scalar

EQUAL = 1e-6  # relative: 1/6 as it is rounded here and there


def hard_sigmoid(r: Rewriter) -> None:
    """clip(x + c, 0, m) / m."""
    for clip in _clips(r):
        parts = _shifted(r, clip)
        last = r.sole_user(clip.outputs[0])
        if parts is None or last is None or not _divides(last, clip.outputs[0], parts[3]):
            continue
        add, x, shift, top = parts
        attrs = {"alpha": 1 / top, "beta": shift / top}
        made = Node("HardSigmoid", last.name, [x], last.outputs, attrs, origin=last.origin)
        r.replace([add, clip, last], made, last)


def hard_swish(r: Rewriter) -> None:
    """x * clip(x + 3, 0, 6) / 6, and x * hard_sigmoid(x) with a slope of 1/6."""
    for clip in _clips(r):
        parts = _shifted(r, clip)
        product = r.sole_user(clip.outputs[0])
        if parts is None or product is None or product.op != "Mul" or parts[2:] != (3.0, 6.0):
            continue
        last = r.sole_user(product.outputs[0])
        if other(product, clip.outputs[0]) is parts[1] and last and _divides(last, product.outputs[0], 6.0):
            _swish(r, parts[1], [parts[0], clip, product, last])
    for gate in [n for n in r.graph.nodes if n.op == "HardSigmoid" and n.outputs[0].dtype == "float32"]:
        product, x = r.sole_user(gate.outputs[0]), gate.inputs[0]
        slope = _equal(gate.attrs.get("alpha", 0.2), 1 / 6) and gate.attrs.get("beta", 0.5) == 0.5
        if slope and product and product.op == "Mul" and x and other(product, gate.outputs[0]) is x:
            _swish(r, x, [gate, product])


def _swish(r: Rewriter, x: Value, parts: list[Node]) -> None:
    last = parts[-1]
    r.replace(parts, Node("HardSwish", last.name, [x], last.outputs, origin=last.origin), last)


def _clips(r: Rewriter) -> list[Node]:
    return [n for n in r.graph.nodes if n.op == "Clip" and n.outputs[0].dtype == "float32"]


def _shifted(r: Rewriter, clip: Node) -> tuple[Node, Value, float, float] | None:
    """The sum before clip(x + c, 0, m), x, c and m."""
    act, add = act_of(clip), r.maker(clip.inputs[0], "Add")
    if act is None or add is None or act.a != 0.0 or not 0.0 < act.b < float("inf"):
        return None
    if r.sole_user(add.outputs[0]) is not clip:
        return None
    x, shift = add.inputs[0], scalar(add.inputs[1])
    if shift is None:
        x, shift = add.inputs[1], scalar(add.inputs[0])
    return None if x is None or shift is None else (add, x, shift, act.b)


def _divides(node: Node, value: Value, by: float) -> bool:
    """Is it value / by, or the product with the inverse?"""
    if node.op == "Div":
        return node.inputs[0] is value and scalar(node.inputs[1]) == by
    return node.op == "Mul" and _equal(scalar(other(node, value)), 1 / by)


def _equal(value: float | None, wanted: float) -> bool:
    return value is not None and abs(value - wanted) <= EQUAL * abs(wanted)
