"""MXNet's fused RNN layer as ONNX LSTM, GRU and RNN nodes."""

from __future__ import annotations

from typing import Any

import numpy as np

from neo_cli.frontends.mxnet_symbol import FormatError, Node
from neo_cli.frontends.mxnet_table import Conversion, operator, refuse

# mode -> (gates, their order in ONNX as indices of MXNet's, ONNX operator, activation)
MODES = {
    "lstm": (4, (0, 3, 1, 2), "LSTM", None),  # i f c o -> i o f c
    "gru": (3, (1, 0, 2), "GRU", None),  # r z n -> z r h
    "rnn_tanh": (1, (0,), "RNN", "Tanh"),
    "rnn_relu": (1, (0,), "RNN", "Relu"),
}


MOST_LAYERS = 1000


@operator("_rnn_param_concat")
def _parameters(c: Conversion, node: Node, *parts: str) -> str:
    flat = np.concatenate([c.weight(node, p).reshape(-1) for p in parts])
    value = c.g.const(flat, "rnn", name=f"{node.name}_flat")
    c.arrays[value] = flat
    return value


def sliced(node: Node, flat: np.ndarray, width: int) -> list[list[dict[str, np.ndarray]]]:
    """The flat parameters as [layer][direction] of w [gates * h, in], r [gates * h, h], bw, br [gates * h]."""
    gates, hidden = MODES[node.text("mode")][0], node.whole("state_size", 1)
    directions = 2 if node.flag("bidirectional") else 1
    layers: list[list[dict[str, np.ndarray]]] = []
    at = 0

    if not 1 <= node.whole("num_layers", 1) <= MOST_LAYERS:
        raise FormatError(f"RNN '{node.name}': {node.whole('num_layers', 1)} layers.")

    def take(*shape: int) -> np.ndarray:
        nonlocal at
        count = int(np.prod(shape))
        if at + count > flat.size:
            raise FormatError(f"RNN '{node.name}': {flat.size} parameters are too few.")
        at += count
        return flat[at - count : at].reshape(shape)

    for layer in range(node.whole("num_layers", 1)):
        size = width if layer == 0 else hidden * directions
        layers.append([{"w": take(gates * hidden, size), "r": take(gates * hidden, hidden)} for _ in range(directions)])
    for one in layers:  # all biases stand behind all weights
        for part in one:
            part["bw"], part["br"] = take(gates * hidden), take(gates * hidden)
    if at != flat.size:
        raise FormatError(f"RNN '{node.name}': {flat.size} parameters, {at} are used.")
    return layers


@operator("RNN")
def _rnn(c: Conversion, node: Node, x: str, parameters: str, *states: str) -> list[str]:
    mode = node.text("mode")
    if mode not in MODES or node.has("projection_size") or node.flag("use_sequence_length"):
        raise refuse(node, f"with mode={mode}, a projection or sequence lengths")
    gates, order, kind, activation = MODES[mode]
    hidden = node.whole("state_size", 1)
    length, batch, width = c.g.shape(x)
    both = node.flag("bidirectional")
    extra: dict[str, Any] = {"direction": "bidirectional" if both else "forward", "hidden_size": hidden}
    if activation:
        extra["activations"] = [activation] * (2 if both else 1)
    if mode == "gru":
        extra["linear_before_reset"] = 1
    ends: list[list[str]] = [[], []]
    for index, layer in enumerate(sliced(node, c.weight(node, parameters), width)):
        packed = {k: np.stack([_ordered(part[k], gates, order) for part in layer]) for k in ("w", "r", "bw", "br")}
        bias = np.concatenate([packed["bw"], packed["br"]], axis=1)
        starts = [_start(c, state, index, len(layer), batch, hidden) for state in states]
        weights = [c.g.const(a.astype(np.float32), "rnn") for a in (packed["w"], packed["r"], bias)]
        names = [f"{node.name}_{kind.lower()}{index}_{part}" for part in ("y", "h", "c")[: 1 + len(states)]]
        names = names if kind == "LSTM" else names[:2]
        y, *last = c.g.nodes(kind, x, *weights, "", *starts, names=names, **extra)
        x = c.g.node("Reshape", c.g.node("Transpose", y, perm=[0, 2, 1, 3]), c.g.ints(length, batch, -1))
        for position, value in enumerate(last):
            ends[position].append(value)
    joined = [c.g.node("Concat", *values, axis=0) if len(values) > 1 else values[0] for values in ends if values]
    return [x, *joined]


def _start(c: Conversion, state: str, layer: int, directions: int, batch: int, hidden: int) -> str:
    array = c.arrays.get(state)
    if array is not None and not array.any():
        return c.g.const(np.zeros((directions, batch, hidden), np.float32), "zeros")
    if c.g.shape(state)[1] != batch:
        return c.g.const(np.zeros((directions, batch, hidden), np.float32), "zeros")
    return c.g.node("Slice", state, c.g.ints(layer * directions), c.g.ints((layer + 1) * directions), c.g.ints(0))


def _ordered(array: np.ndarray, gates: int, order: tuple[int, ...]) -> np.ndarray:
    parts = np.split(array, gates)
    return np.concatenate([parts[i] for i in order])
