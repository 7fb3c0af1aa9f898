"""What rules read from a node: attributes of a kind, constant inputs, axes, in every opset's spelling."""

from __future__ import annotations

from typing import Any

import numpy as np

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context


def text(node: Node, name: str, default: str = "") -> str:
    """A string attribute."""
    value = node.attrs.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def integer(node: Node, name: str, default: int) -> int:
    return int(node.attrs.get(name, default))


def number(node: Node, name: str, default: float) -> float:
    return float(node.attrs.get(name, default))


def integers(node: Node, name: str, default: list[int] | None = None) -> list[int] | None:
    value = node.attrs.get(name)
    return default if value is None else [int(v) for v in value]


def given(node: Node, position: int) -> Value | None:
    """The input at a position, None when it is left out."""
    return node.inputs[position] if position < len(node.inputs) else None


def needed(node: Node, position: int) -> Value:
    """The input at a position, which the operator requires."""
    value = given(node, position)
    assert value is not None, f"{node.op} '{node.name}' lacks input {position}"
    return value


def constant(node: Node, ctx: Context, position: int) -> np.ndarray | None:
    """The array of an optional input that must be known at compile time; None when it is left out."""
    value = given(node, position)
    if value is None:
        return None
    if value.const is None:
        raise ctx.refuse(node, f"its input {position} ('{value.name}') must be a constant")
    return value.const


def listed(node: Node, ctx: Context, position: int, attribute: str) -> list[int] | None:
    """Integers that are an attribute in older opsets and a constant input in newer ones; None when in neither."""
    array = constant(node, ctx, position)
    if array is not None:
        return [int(v) for v in array.reshape(-1)]
    return integers(node, attribute)


def axis_of(value: int, rank: int) -> int:
    return value + rank if value < 0 else value


def uniform(value: Value | None) -> Any:
    """The one number a constant holds everywhere, else None."""
    if value is None or value.const is None or value.size == 0:
        return None
    flat = value.const.reshape(-1)
    return flat[0].item() if value.size == 1 or bool((flat == flat[0]).all()) else None
