"""Small steps on a graph that the fusion rules are made of."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.ir import Graph, Node, Value


class Rewriter:
    """A graph with its producers and users at hand; call `refresh` after a change."""

    def __init__(self, graph: Graph, lanes: int) -> None:
        self.graph, self.lanes = graph, lanes
        self.refresh()

    def refresh(self) -> None:
        self.makers, self.readers = self.graph.producers(), self.graph.users()
        self.results = set(self.graph.outputs)

    def sole_user(self, value: Value) -> Node | None:
        """The only node that reads a value which is not a result of the model."""
        users = self.readers.get(value, [])
        if value in self.results or len(users) != 1 or users[0].inputs.count(value) != 1:
            return None
        return users[0]

    def maker(self, value: Value | None, *ops: str) -> Node | None:
        """The node that makes a value, when it is one of `ops`."""
        node = None if value is None else self.makers.get(value)
        return node if node is not None and node.op in ops else None

    def replace(self, old: list[Node], new: Node, at: Node | None = None) -> None:
        """Put `new` where `at` (else the last of `old`) stood and take `old` away."""
        new.origin = tuple(dict.fromkeys(n for node in [*old, new] for n in node.origin))
        nodes = self.graph.nodes
        place = nodes.index(at or max(old, key=nodes.index))
        nodes[place : place + 1] = [nodes[place], new]
        gone = set(map(id, old))
        self.graph.nodes = [node for node in nodes if id(node) not in gone]
        self.refresh()


def scalar(value: Value | None) -> float | None:
    """The number a constant of one element is."""
    if value is None or value.const is None or value.size != 1:
        return None
    return float(np.asarray(value.const).reshape(-1)[0])


def other(node: Node, value: Value) -> Value | None:
    """The second operand of a node with two inputs of which `value` is one."""
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def per_channel(value: Value | None, channels: int, rank: int, axis: int) -> np.ndarray | None:
    """A constant that is one number a channel of a tensor of `rank` with channels on `axis`; None when it is not."""
    if value is None or value.const is None or value.dtype != "float32":
        return None
    shape = (1,) * (rank - len(value.shape)) + value.shape
    if len(shape) != rank or any(size != 1 for i, size in enumerate(shape) if i != axis % rank):
        return None
    if shape[axis % rank] not in (1, channels):
        return None
    return np.broadcast_to(np.asarray(value.const).reshape(-1), (channels,)).astype(np.float32)
