"""Patterns that exporters write out in parts: GELU, SiLU, layer norm."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter, other, scalar


def _near(value: float | None, wanted: float) -> bool:
    return value is not None and abs(value - wanted) <= 1e-3 * abs(wanted)


def gelu(r: Rewriter) -> None:
    """x / 2 * (1 + erf(x / sqrt 2)), the factors in any order."""
    for erf in [n for n in r.graph.nodes if n.op == "Erf"]:
        scale = r.maker(erf.inputs[0], "Div", "Mul")
        if scale is None or scale.outputs[0].dtype != "float32":
            continue
        x, by = scale.inputs[0], scalar(scale.inputs[1])
        if by is None and scale.op == "Mul":
            x, by = scale.inputs[1], scalar(scale.inputs[0])
        if x is None or not _near(by, math.sqrt(2) if scale.op == "Div" else math.sqrt(0.5)):
            continue
        add = r.sole_user(erf.outputs[0])
        if add is None or add.op != "Add" or not _near(scalar(other(add, erf.outputs[0])), 1.0):
            continue
        found = _gelu_factors(r, x, add)
        if found is not None:
            gone, last = found
            r.replace(
                [scale, erf, add, *gone], Node("fast.Gelu", last.name, [x], last.outputs, origin=last.origin), last
            )


def _gelu_factors(r: Rewriter, x: Value, add: Node) -> tuple[list[Node], Node] | None:
    """The products after 1 + erf, when together they are x and 1/2."""
    gone: list[Node] = []
    value, half, whole = add.outputs[0], False, False
    while not (half and whole):
        node = r.sole_user(value)
        if node is None or node.op not in ("Mul", "Div"):
            return None
        factor = other(node, value)
        if not half and (_near(scalar(factor), 0.5) if node.op == "Mul" else _near(scalar(factor), 2.0)):
            half = True
        elif not whole and node.op == "Mul" and factor is x:
            whole = True
        elif not half and not whole and node.op == "Mul":
            inner = r.maker(factor, "Mul")
            if inner is None or x not in inner.inputs or not _near(scalar(other(inner, x)), 0.5):
                return None
            if r.sole_user(inner.outputs[0]) is not node:
                return None
            gone.append(inner)
            half = whole = True
        else:
            return None
        gone.append(node)
        value = node.outputs[0]
    return gone, gone[-1]


def silu(r: Rewriter) -> None:
    """x * sigmoid(x)."""
    for sigmoid in [n for n in r.graph.nodes if n.op == "Sigmoid" and n.outputs[0].dtype == "float32"]:
        product = r.sole_user(sigmoid.outputs[0])
        x = sigmoid.inputs[0]
        if product is None or product.op != "Mul" or x is None or other(product, sigmoid.outputs[0]) is not x:
            continue
        made = Node("fast.Silu", product.name, [x], product.outputs, origin=product.origin)
        r.replace([sigmoid, product], made, product)
    for node in [n for n in r.graph.nodes if n.op == "Swish" and not n.domain and n.attrs.get("alpha", 1.0) == 1.0]:
        r.replace([node], Node("fast.Silu", node.name, node.inputs, node.outputs, origin=node.origin))


def layer_norm(r: Rewriter) -> None:
    """LayerNormalization over the last axis, whole or in parts."""
    for node in list(r.graph.nodes):
        if node.op == "LayerNormalization" and not node.domain:
            x, rest = node.inputs[0], [*node.inputs[1:], None][:2]
            if x is None or node.attrs.get("axis", -1) not in (-1, len(x.shape) - 1) or len(node.outputs) > 1:
                continue
            if (
                x.dtype == "float32"
                and x.shape[-1] % r.lanes == 0
                and all(v is None or v.const is not None for v in rest)
            ):
                attrs = {"epsilon": node.attrs.get("epsilon", 1e-5)}
                r.replace(
                    [node], Node("fast.LayerNorm", node.name, [x, *rest], node.outputs, attrs, origin=node.origin)
                )
        elif node.op == "Sqrt":
            _parts(r, node)


def _parts(r: Rewriter, root: Node) -> None:
    """mean, x - mean, its square's mean, + epsilon, sqrt, quotient, and constants per channel."""
    plus = r.maker(root.inputs[0], "Add")
    if plus is None:
        return
    epsilon = next((s for v in plus.inputs if (s := scalar(v)) is not None), None)
    variance = next((n for v in plus.inputs if (n := r.maker(v, "ReduceMean"))), None)
    square = r.maker(variance.inputs[0], "Pow", "Mul") if variance else None
    centred = r.maker(square.inputs[0], "Sub") if square else None
    mean = r.maker(centred.inputs[1], "ReduceMean") if centred else None
    divide = r.sole_user(root.outputs[0])
    if None in (epsilon, variance, square, centred, mean) or divide is None or divide.op != "Div":
        return
    assert variance and square and centred and mean
    x = centred.inputs[0]
    if x is None or mean.inputs[0] is not x or divide.inputs[0] is not centred.outputs[0] or x.dtype != "float32":
        return
    if x.shape[-1] % r.lanes:
        return
    if square.inputs[1] is not square.inputs[0] and scalar(square.inputs[1]) != 2.0:
        return
    if not all(_last_axis(n) for n in (mean, variance)):
        return
    gone, last, scale, shift = [mean, centred, square, variance, plus, root, divide], divide, None, None
    user = r.sole_user(last.outputs[0])
    if user is not None and user.op == "Mul" and _row(other(user, last.outputs[0]), x):
        scale, last = other(user, last.outputs[0]), user
        gone.append(user)
        user = r.sole_user(last.outputs[0])
        if user is not None and user.op == "Add" and _row(other(user, last.outputs[0]), x):
            shift, last = other(user, last.outputs[0]), user
            gone.append(user)
    made = Node("fast.LayerNorm", last.name, [x, scale, shift], last.outputs, {"epsilon": epsilon}, origin=last.origin)
    inner = {v for n in gone if n is not last for v in n.outputs}
    if any(v in r.results or any(u not in gone for u in r.readers.get(v, [])) for v in inner):
        return
    r.replace(gone, made, last)


def _last_axis(node: Node) -> bool:
    x = node.inputs[0]
    axes = node.attrs.get("axes")
    if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None and node.inputs[1].const is not None:
        axes = node.inputs[1].const.tolist()
    return x is not None and axes is not None and list(axes) in ([-1], [len(x.shape) - 1])


def _row(value: Value | None, x: Value) -> bool:
    """A constant with one number for each element of the last axis."""
    return value is not None and value.const is not None and value.size == x.shape[-1] == (value.shape or (0,))[-1]
