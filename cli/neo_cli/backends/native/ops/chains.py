"""Chains of elementwise operators on row-major tensors become one loop, so that nothing between them goes to memory."""

from __future__ import annotations

from dataclasses import dataclass

from neo_cli.backends.native.ir import Graph, Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.elementwise import ONE_INPUT
from neo_cli.backends.native.ops.expressions import EXPRESSIONS, Operand
from neo_cli.backends.native.ops.loops import broadcast, nest
from neo_cli.backends.native.ops.reading import integer, uniform

CHAIN = "ops.Chain"
MOST_STEPS, MOST_INPUTS = 16, 10
_ROUNDED = (*types.HALVES, *types.SMALL_FLOATS, *types.NIBBLES)  # what memory would round must go there


@dataclass(frozen=True)
class Step:
    """One operator of a chain; `sources` are positions of the chain's inputs, or earlier steps as -1 - step, or None."""

    node: Node
    sources: tuple[int | None, ...]


def fuse(graph: Graph) -> Graph:
    """Every chain whose inner results have one reader of the same shape becomes one node."""
    users, outputs = graph.users(), set(graph.outputs)
    made: dict[Value, Node] = {}  # what makes a value that may be taken into its reader
    dropped: set[int] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        if not _fits(node):
            nodes.append(node)
            continue
        taken = [
            v for v in dict.fromkeys(node.inputs)
            if v is not None and v in made and len(users.get(v, ())) == 1 and v not in outputs
            and v.shape == node.outputs[0].shape and v.dtype not in _ROUNDED and v.home is None
        ]  # fmt: skip
        joined = _joined(node, [made[v] for v in taken])
        if joined is not node:
            dropped.update(id(made[v]) for v in taken)
        made[node.outputs[0]] = joined
        nodes.append(joined)
    graph.nodes = [n for n in nodes if id(n) not in dropped]
    return graph


def _fits(node: Node) -> bool:
    """A plain elementwise node of one result."""
    if (
        (node.domain, node.op) not in EXPRESSIONS
        or len([v for v in node.outputs if v.size]) != 1
        or node.op == "Dropout"
    ):
        return False
    values = [*node.outputs, *(v for v in node.inputs if v is not None)]
    return all(not v.layout.block and not v.layout.bordered for v in values)


def _steps(node: Node) -> tuple[list[Value], list[Step]]:
    """The external inputs and steps of a node that may be a chain already."""
    if node.op == CHAIN:
        return [v for v in node.inputs if v is not None], list(node.attrs["steps"])
    values = [v for v in dict.fromkeys(node.inputs) if v is not None]
    return values, [Step(node, tuple(None if v is None else values.index(v) for v in node.inputs))]


def _joined(node: Node, before: list[Node]) -> Node:
    """`node` with the nodes that make its inputs taken in; itself when that would be too much."""
    if not before:
        return node
    inputs: list[Value] = []
    steps: list[Step] = []
    places: dict[Value, int] = {}
    for part in before:
        values, own = _steps(part)
        shift = len(steps)
        inputs += [v for v in values if v not in inputs]
        for step in own:
            moved = tuple(
                s if s is None else (inputs.index(values[s]) if s >= 0 else s - shift) for s in step.sources
            )  # fmt: skip
            steps.append(Step(step.node, moved))
        places[part.outputs[0]] = -len(steps)
    inputs += [v for v in dict.fromkeys(node.inputs) if v is not None and v not in places and v not in inputs]
    sources = tuple(None if v is None else places.get(v, inputs.index(v) if v in inputs else 0) for v in node.inputs)
    steps.append(Step(node, sources))
    if len(steps) > MOST_STEPS or len(inputs) > MOST_INPUTS:
        return node
    origin = tuple(o for part in [*before, node] for o in (part.origin or (part.name,)))
    return Node(CHAIN, node.name, list(inputs), node.outputs, {"steps": steps}, "", node.version, origin)


@operator(CHAIN)
def chain(node: Node, ctx: Context) -> str:
    """One loop: loads, then a variable for each step, then the store."""
    ctx.include("plain_types.h")
    steps: list[Step] = node.attrs["steps"]
    out = node.outputs[0]
    operands: list[Operand] = []
    reads: list[tuple[int, Value]] = []
    for i, value in enumerate(node.inputs):
        assert value is not None
        number = uniform(value)
        if number is None:
            reads.append((i, value))
        operands.append(Operand(f"v{i}" if number is None else types.literal(number, value.dtype), value.dtype, number))
    lines = []
    for k, step in enumerate(steps):
        given: list[Operand | None] = []
        for position, source in enumerate(step.sources):
            if source is None or (step.node.op in ONE_INPUT and position):
                given.append(None)
            else:
                given.append(
                    operands[source]
                    if source >= 0
                    else Operand(f"t{-1 - source}", steps[-1 - source].node.outputs[0].dtype)
                )
        text = EXPRESSIONS[step.node.domain, step.node.op](step.node, *given)
        lines.append(f"const {types.compute(step.node.outputs[0].dtype)} t{k} = {text};")
    saturate = bool(integer(steps[-1].node, "saturate", 1))

    def body(at: list[str]) -> str:
        loads = [
            f"const {types.compute(v.dtype)} v{i} = {types.load(v.dtype, f'x{i}', at[k])};"
            for k, (i, v) in enumerate(reads)
        ]
        return " ".join([*loads, *lines, types.store(out.dtype, "y0", at[-1], f"t{len(steps) - 1}", saturate)])

    walks = [broadcast(v.shape, out.shape) for _, v in reads]
    return nest(out.shape, [*walks, broadcast(out.shape, out.shape)], body)
