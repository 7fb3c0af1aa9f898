"""Wide tensors between small ones are made and used up in bands of rows, while they are in the second-level cache.

MobileNet's expansion, depthwise convolution and projection become one step: each thread takes bands of output rows and
makes of the two tensors between only what these rows need. Rows at the seam of two threads are made twice, with the
same bits, so the first convolution must write each element once, finished.
"""

from __future__ import annotations

from neo_cli.backends.native import schedule
from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.fast.activations import NONE
from neo_cli.backends.native.fast.conv import blocks_of, depthwise_fits
from neo_cli.backends.native.ir import Graph, Node, Value

ROWS = 4  # output rows of a band, at least


def band(graph: Graph, cpu: Cpu) -> Graph:
    """The graph with every such triple as one node."""
    makers, users = graph.producers(), graph.users()
    for last in [n for n in graph.nodes if n.op == "fast.Conv"]:
        found = _triple(graph, cpu, last, makers, users)
        if found is None:
            continue
        first, middle = found
        for part in (first, last):
            part.attrs["rows"] = True
        inner = {*first.outputs, *middle.outputs}
        inputs = [
            v for n in (first, middle, last) for v in (n.inputs[0], n.inputs[3]) if v is not None and v not in inner
        ]
        attrs = {"parts": [first, middle, last], "band": _rows(cpu, first, middle)}
        origin = tuple(name for n in (first, middle, last) for name in n.origin)
        made = Node(
            "fast.Band", last.name, list(dict.fromkeys(inputs)), [*last.outputs, *middle.outputs, *first.outputs], attrs
        )
        made.origin = origin
        place = graph.nodes.index(last)
        graph.nodes[place] = made
        graph.nodes.remove(first)
        graph.nodes.remove(middle)
    return graph


def _triple(
    graph: Graph, cpu: Cpu, last: Node, makers: dict[Value, Node], users: dict[Value, list[Node]]
) -> tuple[Node, Node] | None:
    """The two nodes before `last` that go into its bands."""
    middle = _before(graph, last, makers, users)
    first = _before(graph, middle, makers, users) if middle is not None else None
    if middle is None or first is None or not (_wide(cpu, first) and _pointwise(cpu, last)):
        return None
    x, weights = middle.inputs[0], middle.inputs[1]
    if x is None or weights is None or weights.const is None:
        return None
    if not depthwise_fits(weights.const, middle.attrs["group"], x):
        return None
    return (first, middle) if _finished_at_once(cpu, first) else None


def _before(graph: Graph, node: Node, makers: dict[Value, Node], users: dict[Value, list[Node]]) -> Node | None:
    """The convolution that makes a node's input for it alone."""
    x = node.inputs[0]
    if x is None or x.home is not None or x in graph.outputs or users.get(x) != [node]:
        return None
    maker = makers.get(x)
    fits = maker is not None and maker.op == "fast.Conv" and not maker.attrs["last"] and not maker.attrs.get("up")
    return maker if fits else None


def _wide(cpu: Cpu, node: Node) -> bool:
    """The tensor does not stay in the second-level cache, and its rows are long enough for tiles of one row."""
    y = node.outputs[0]
    n, _, height, width = y.image
    return n == 1 and height >= 16 and width * 2 > cpu.column and y.bytes > cpu.band


def _pointwise(cpu: Cpu, node: Node) -> bool:
    w, width = node.inputs[1], node.outputs[0].image[3]
    assert w is not None
    return (
        w.shape[2:] == (1, 1)
        and node.attrs["group"] == 1
        and width * 2 > cpu.column
        and node.attrs["strides"] == (1, 1)
        and not node.attrs.get("up")
    )


def _finished_at_once(cpu: Cpu, node: Node) -> bool:
    """One panel, and nothing but clipping behind the sum."""
    x, w = node.inputs[0], node.inputs[1]
    assert x is not None and w is not None
    act = node.attrs.get("act") or NONE
    steps = w.shape[2] * w.shape[3] * x.layout.block
    outs = blocks_of(w.shape[0], cpu.lanes)
    plan = schedule.direct(cpu, node.outputs[0].image[2], node.outputs[0].image[3], 1, steps, outs, 0)
    blocks = blocks_of(w.shape[1], x.layout.block)
    fit = cpu.panel // (steps * plan.vectors * cpu.lanes * 4)
    return (
        node.attrs["group"] == 1 and act.kind in ("NONE", "CLIP") and not node.attrs.get("add_after") and blocks <= fit
    )


def _rows(cpu: Cpu, first: Node, middle: Node) -> int:
    """Output rows whose share of the wide tensors is half a second-level band."""
    one = sum(n.outputs[0].pitch[0] // n.outputs[0].image[2] * 4 for n in (first, middle))
    stride = middle.attrs["strides"][0]
    return max(ROWS, cpu.band // 2 // (one * stride))
