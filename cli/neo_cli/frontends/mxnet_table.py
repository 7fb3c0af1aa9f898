"""The table of MXNet operators that become ONNX nodes; the mxnet_ops_* files fill it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.frontends.mxnet_symbol import Node
from neo_cli.model.graph import GraphBuilder


@dataclass
class Conversion:
    """The graph being built, and the arrays behind the values that are weights."""

    g: GraphBuilder
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def weight(self, node: Node, value: str) -> np.ndarray:
        """The array of a weight. Raises OperatorNotImplemented where the model computes it."""
        if value not in self.arrays:
            raise refuse(node, "with computed weights")
        return self.arrays[value]

    def rank(self, value: str) -> int:
        return len(self.g.shape(value))

    def axis(self, node: Node, value: str, default: int, key: str = "axis") -> int:
        axis, rank = node.whole(key, default), self.rank(value)
        if not -rank <= axis < rank:
            raise refuse(node, f"with {key}={axis} for {rank} dimensions")
        return axis % rank


Handler = Callable[..., "str | list[str]"]
OPERATORS: dict[str, Handler] = {}


def operator(*names: str) -> Callable[[Handler], Handler]:
    """Enter a handler `(conversion, node, *inputs) -> value or values` under its MXNet names."""

    def enter(handler: Handler) -> Handler:
        for name in names:
            if name in OPERATORS:
                raise ValueError(f"{name} is entered twice")
            OPERATORS[name] = handler
        return handler

    return enter


def refuse(node: Node, what: str) -> OperatorNotImplemented:
    return OperatorNotImplemented(f"The MXNet operator {node.op} {what} (node '{node.name}') is not supported.")
