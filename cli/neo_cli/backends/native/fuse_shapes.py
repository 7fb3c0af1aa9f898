"""Reshapes and transposes: fewer of them, and activations before them, where a convolution can take them in."""

from __future__ import annotations

from neo_cli.backends.native.fast.activations import act_of
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter

_MOVES = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "fast.ChannelsLast")


def identities(r: Rewriter) -> None:
    """An Identity before an output of the model goes: its maker makes the output."""
    for node in [n for n in r.graph.nodes if n.op == "Identity" and not n.domain]:
        x, y = node.inputs[0], node.outputs[0]
        maker = r.makers.get(x) if x is not None else None
        if maker is None or x is None or x in r.results or y not in r.results:
            continue
        for user in r.readers.get(x, []):
            user.inputs = [y if value is x else value for value in user.inputs]
        maker.outputs = [y if value is x else value for value in maker.outputs]
        r.graph.nodes.remove(node)
        r.refresh()


def hoist(r: Rewriter) -> None:
    """An activation behind a step that only moves elements goes before it."""
    changed = True
    while changed:
        changed = False
        for move in [n for n in r.graph.nodes if n.op in _MOVES and not n.domain]:
            y = move.outputs[0]
            node = r.sole_user(y)
            act = act_of(node) if node is not None else None
            if node is None or act is None or node.inputs[0] is not y or len(move.outputs) > 1:
                continue
            x = move.inputs[0]
            if x is None or x.const is not None or r.sole_user(x) is not move:
                continue
            between = Value(f"{node.outputs[0].name}.before", "float32", x.shape)
            early = Node(node.op, node.name, [between if v is y else v for v in node.inputs], [between], node.attrs)
            early.inputs[0], early.version, early.origin, early.domain = x, node.version, node.origin, node.domain
            late = Node(move.op, move.name, [between, *move.inputs[1:]], node.outputs, move.attrs, move.domain)
            late.version, late.origin = move.version, move.origin
            nodes = r.graph.nodes
            nodes[nodes.index(move)] = early
            nodes[nodes.index(node)] = late
            r.refresh()
            changed = True
            break


def channels_last(r: Rewriter) -> None:
    """Channels moved behind the pixels, cut into groups or not, as one step."""
    for node in [n for n in r.graph.nodes if n.op == "Transpose" and not n.domain]:
        perm, x = tuple(node.attrs.get("perm", ())), node.inputs[0]
        if x is None or x.dtype != "float32":
            continue
        cut = r.maker(x, "Reshape") if perm == (0, 1, 3, 4, 2) else None
        if cut is not None and r.sole_user(cut.outputs[0]) is node and cut.inputs[0] is not None:
            source, groups = cut.inputs[0], x.shape[1]
            wanted = (x.shape[0], x.shape[1] * x.shape[2], *x.shape[3:])
            if source.shape == wanted and source.const is None:
                made = Node(
                    "fast.ChannelsLast", node.name, [source], node.outputs, {"groups": groups}, origin=node.origin
                )
                r.replace([cut, node], made, node)
        elif perm == (0, 2, 3, 1) and x.const is None:
            made = Node("fast.ChannelsLast", node.name, [x], node.outputs, {"groups": 1}, origin=node.origin)
            r.replace([node], made)
