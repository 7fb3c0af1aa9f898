"""The steps of LSTM and GRU, whose products with the input are made for the whole sequence before."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator

GROUP = 2  # kernels/recurrent.h: hidden blocks whose gates are in registers together
SHARE = 1 << 20  # bytes of weights that are worth a thread, which waits for the others at each step


@operator("fast.LSTM", "fast.GRU")
def steps(node: Node, ctx: Context) -> str:
    """inputs: gates [T, B, channels] on blocked rows, R, the bias behind R's product, h0, c0 (row-major, or None)."""
    gates, weights, after = node.inputs[:3]
    assert gates is not None and weights is not None and weights.const is not None
    assert after is not None and after.const is not None
    (directions, hidden), lanes = (node.attrs[key] for key in ("directions", "hidden")), ctx.cpu.lanes
    count, (length, batch) = node.attrs["gates"], gates.shape[:2]
    blocks = -(-hidden // lanes)
    groups = -(-blocks // GROUP)
    packed = pack(weights.const, count, lanes)
    parts = max(directions, min(directions * groups, packed.nbytes // SHARE))
    backward = {"forward": 0, "reverse": 1, "bidirectional": 2}[str(node.attrs["direction"])]
    size = directions * batch * blocks * lanes
    ctx.include("recurrent.h")
    name = node.op.split(".")[1].lower() + "_steps"
    ctx.declare(f"RECURRENT({name}, {count})")
    w, bias = ctx.constant(packed), ctx.constant(after.const)
    states, cells = ctx.scratch(2 * size), ctx.scratch(size) if count == 4 else "0"
    c = f"recurrent_{ctx.step}"
    ctx.declare(
        f"static const struct recurrent {c} = {{.steps = {length}, .batch = {batch}, .hidden = {hidden}, .blocks = {blocks}, "
        f".directions = {directions}, .parts = {parts}, .backward = {backward}, .plane = {length * batch * lanes}}};"
    )
    starts = [("x3" if node.inputs[3] is not None else "0", states)]
    ends = [(1, f"{states} + {length % 2 * size}")]
    if count == 4:
        starts.append(("x4" if node.inputs[4] is not None else "0", cells))
        ends.append((2, cells))
    made = [i < len(node.outputs) and node.outputs[i].size > 0 for i in range(3)]
    waits = " /* has a BARRIER for each step */" if parts > directions else ""
    begin = "\n".join(f"recurrent_start(f, &{c}, {source}, {target});" for source, target in starts)
    last = "\n".join(f"recurrent_end(f, &{c}, {source}, y{i});" for i, source in ends if made[i])
    call = f"{name}(&{c}, f, x0, {w}, {bias}, {states}, {cells}, {'y0' if made[0] else '0'});{waits}"
    return f"{begin}\nPHASE;\n{call}" + (f"\nPHASE;\n{last}" if last else "")


def in_blocks(array: np.ndarray, lanes: int) -> np.ndarray:
    """[direction, gate, hidden, width] as [direction, block, gate, lane, width]."""
    directions, gates, hidden, width = array.shape
    blocks = -(-hidden // lanes)
    wide = np.zeros((directions, gates, blocks * lanes, width), np.float32)
    wide[:, :, :hidden] = array
    return wide.reshape(directions, gates, blocks, lanes, width).transpose(0, 2, 1, 3, 4)


def pack(weights: np.ndarray, gates: int, lanes: int) -> np.ndarray:
    """R [direction, gates * hidden, hidden] in reading order: [direction][group][hidden unit][block][gate][lane]."""
    directions, rows, hidden = weights.shape
    cube = in_blocks(weights.reshape(directions, gates, rows // gates, hidden), lanes)
    parts = []
    for direction in cube:  # [block, gate, lane, unit]
        for first in range(0, len(direction), GROUP):
            parts.append(direction[first : first + GROUP].transpose(3, 0, 1, 2).reshape(-1))
    return np.concatenate(parts)
