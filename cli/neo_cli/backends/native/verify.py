"""What must hold between the stages of the compiler, one table: a stage that breaks it is a fault of ours, told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from neo_cli.backends.native import layout_quantised
from neo_cli.backends.native.emit import Program
from neo_cli.backends.native.ir import C_TYPES, Graph
from neo_cli.backends.native.layout_rules import needs, needs_slices
from neo_cli.backends.native.memory import lives
from neo_cli.base.errors import InternalError


def _order(graph: Graph) -> Iterator[str]:
    known = set(graph.inputs)
    for node in graph.nodes:
        for value in node.inputs:
            while value is not None and value not in known and value.home is not None:
                value = value.home  # a view is there when what it looks at is
            if value is not None and value.const is None and value not in known:
                yield f"{node.name} reads {value.name} before it is made"
        for value in node.outputs:
            if value in known:
                yield f"{value.name} is made twice, again by {node.name}"
            known.add(value)
    for value in graph.outputs:
        if value not in known:
            yield f"nothing makes the output {value.name}"


def _types(graph: Graph) -> Iterator[str]:
    for value in graph.values():
        if value.dtype not in C_TYPES:
            yield f"{value.name} has the unknown type {value.dtype}"
        if any(size < 0 for size in value.shape):
            yield f"{value.name} has the shape {value.shape}"
        if value.const is not None and not value.layout.block and value.const.shape != value.shape:
            yield f"the constant {value.name} is {value.const.shape}, declared {value.shape}"


def _interface(graph: Graph) -> Iterator[str]:
    for value in (*graph.inputs, *graph.outputs):
        if value.layout.block or value.layout.bordered:
            yield f"{value.name} is the caller's and has the layout {value.layout}"
        if value.const is not None:
            yield f"{value.name} is the caller's and a constant"


def _plain(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        if "." not in node.op:
            for value in (*node.inputs, *node.outputs):
                if value is not None and (value.layout.block or value.layout.bordered):
                    yield f"{node.op} {node.name} knows rows only and meets {value}"


def _borders(graph: Graph) -> Iterator[str]:
    for node in (part for n in graph.nodes for part in n.attrs.get("parts", [n])):
        for value, border in (*needs(node), *layout_quantised.needs(node)):
            if any(have < want for have, want in zip(value.layout.border, border)):
                yield f"{node.name} needs a border of {border} around {value}"
        for value, depth in needs_slices(node):
            if any(have < want for have, want in zip(value.layout.slices, depth)):
                yield f"{node.name} needs {depth} slices of zeros around {value}"


def _placed(program: Program) -> Iterator[str]:
    """Every tensor has a buffer that covers its life and size."""
    graph, plan = program.graph, program.plan
    outside = {*graph.inputs, *graph.outputs}
    buffers = {(b.owner, b.start): b for b in plan.buffers}
    for value, (first, last) in lives(graph).items():
        if value.const is not None or value in outside or (value.home is not None and value.home.const is not None):
            continue
        if value.home is not None:
            if value.offset + value.bytes > value.home.bytes:
                yield f"{value.name} does not fit into {value.home.name}"
            continue
        place = plan.places.get(value)
        found = None if place is None else buffers.get((value.name, place))
        if found is None:
            yield f"{value.name} has no buffer"
        elif found.size < value.bytes or found.first > first or found.last < last:
            yield f"the buffer of {value.name} is too small or lives too short"


def _apart(program: Program) -> Iterator[str]:
    """Buffers in use at the same time do not overlap."""
    buffers = program.plan.buffers
    for index, one in enumerate(buffers):
        for two in buffers[:index]:
            alive = one.first <= two.last and two.first <= one.last
            if alive and one.start < two.start + two.size and two.start < one.start + one.size:
                yield f"{one.owner} and {two.owner} overlap"


GRAPH: dict[str, Callable[[Graph], Iterator[str]]] = {
    "values are made before they are read, and once": _order,
    "types are known, shapes are numbers": _types,
    "the caller's tensors are row-major": _interface,
    "plain operators see row-major tensors": _plain,
    "images have the borders that their readers need": _borders,
}
PROGRAM: dict[str, Callable[[Program], Iterator[str]]] = {
    "every tensor has a buffer that covers its life": _placed,
    "buffers alive together lie apart": _apart,
}


def graph(graph: Graph, stage: str) -> Graph:
    """The graph, when all of GRAPH holds that concerns it so early."""
    rules = {rule: check for rule, check in GRAPH.items() if check is not _borders or stage in ("layout", "bands")}
    _hold(((rule, fault) for rule, check in rules.items() for fault in check(graph)), stage)
    return graph


def program(program: Program, stage: str) -> Program:
    """The program, when all of PROGRAM holds."""
    _hold(((rule, fault) for rule, check in PROGRAM.items() for fault in check(program)), stage)
    return program


def _hold(faults: Iterator[tuple[str, str]], stage: str) -> None:
    for rule, fault in faults:
        raise InternalError(f"The native compiler broke its own rule after {stage}: {rule}; {fault}.")
