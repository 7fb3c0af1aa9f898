"""LSTM and GRU in two steps: the input's product for the whole sequence, and the steps that need the last state."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.fast.recurrent import in_blocks
from neo_cli.backends.native.fuse_conv import product
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter

GATES = {"LSTM": 4, "GRU": 3}


def recurrent(r: Rewriter) -> None:
    """Each LSTM or GRU of constant weights and ordinary activations; `ops/rnn.py` does the others."""
    for node in [n for n in r.graph.nodes if n.op in GATES and not n.domain]:
        if not _fits(node):
            continue
        x, r_weights = node.inputs[0], node.inputs[2]
        assert x is not None and r_weights is not None
        gates, (directions, _, hidden) = GATES[node.op], r_weights.shape
        weights, bias, after = split(node, r.lanes)
        channels = weights.shape[0]
        sums = Value(f"{node.name}.gates", "float32", (*x.shape[:2], channels))
        first = product(Node(node.op, f"{node.name}.input", [], [sums], origin=node.origin), x, weights, bias)
        start = [*node.inputs[5:7], None, None][:2] if node.op == "LSTM" else [*node.inputs[5:6], None][:1]
        extra = Value(f"{node.name}.after", "float32", after.shape, after)
        attrs = {
            "hidden": hidden,
            "directions": directions,
            "gates": gates,
            "direction": node.attrs.get("direction", "forward"),
        }
        steps = Node(
            f"fast.{node.op}", node.name, [sums, r_weights, extra, *start], node.outputs, attrs, origin=node.origin
        )
        place = r.graph.nodes.index(node)
        r.graph.nodes[place : place + 1] = [first, steps]
        r.refresh()


def _fits(node: Node) -> bool:
    inputs = [*node.inputs, *[None] * 8]
    x, attrs = inputs[0], node.attrs
    if x is None or x.dtype != "float32" or x.const is not None or 0 in x.shape:
        return False
    if any(v is None or v.const is None for v in inputs[1:3]) or (inputs[3] is not None and inputs[3].const is None):
        return False
    lengths = inputs[4]
    if lengths is not None and (lengths.const is None or np.any(lengths.const != x.shape[0])):
        return False
    if inputs[7] is not None or attrs.get("layout", 0) or "clip" in attrs or attrs.get("input_forget", 0):
        return False
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}[node.op]
    named = [str(name).lower() for name in attrs.get("activations") or usual]
    if named != [name.lower() for name in usual] * (len(named) // len(usual)):
        return False
    return node.op == "LSTM" or bool(attrs.get("linear_before_reset", 0))


def split(node: Node, lanes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The input's weights [channels, width], its bias, and the last gate's bias behind the state's product (GRU).

    Channels are [direction][block of hidden units][gate][lane], units behind the last are zeros.
    """
    w, b = node.inputs[1], [*node.inputs, None][3]
    assert w is not None and w.const is not None
    gates = GATES[node.op]
    directions, rows, width = w.shape
    hidden = rows // gates
    both = np.zeros((directions, 2, rows), np.float32) if b is None else b.array.reshape(directions, 2, rows)
    bias, after = both[:, 0].copy(), np.zeros((directions, hidden), np.float32)
    bias += both[:, 1]
    if node.op == "GRU":
        bias[:, 2 * hidden :] = both[:, 0, 2 * hidden :]
        after = both[:, 1, 2 * hidden :]
    weights = in_blocks(w.const.reshape(directions, gates, hidden, width), lanes)
    spread = in_blocks(bias.reshape(directions, gates, hidden, 1), lanes)
    return weights.reshape(-1, width), spread.reshape(-1), _padded(after, lanes)


def _padded(array: np.ndarray, lanes: int) -> np.ndarray:
    wide = np.zeros((len(array), -(-array.shape[1] // lanes) * lanes), np.float32)
    wide[:, : array.shape[1]] = array
    return wide
