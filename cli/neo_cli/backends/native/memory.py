"""Where every value lies: one arena, buffers reused as soon as their last reader is done, planned before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from neo_cli.backends.native.ir import Graph, Value
from neo_cli.backends.native.operators import Context

ALIGN = 64
SLACK = 64  # a vector load may begin at the last element


@dataclass(frozen=True)
class Buffer:
    """`size` bytes at `start` of the arena, in use from step `first` to step `last`, both included."""

    owner: str
    start: int
    size: int
    first: int
    last: int


@dataclass
class Plan:
    """Offsets of values and scratch in the arena; `private` bytes more for each thread."""

    places: dict[Value, int] = field(default_factory=dict)
    scratches: dict[tuple[int, str], int] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)
    shared: int = 0
    private: int = 0

    def text(self) -> str:
        rows = sorted(self.buffers, key=lambda b: (b.first, b.start))
        told = [f"{b.first:4}-{b.last:<4} {b.start:10} +{b.size:<10} {b.owner}" for b in rows]
        return "\n".join([*told, f"arena {self.shared} bytes, and {self.private} for each thread", ""])


def plan(graph: Graph, contexts: Sequence[Context], keep: bool = False) -> Plan:
    """Place every value that is not the caller's; `keep` gives each a buffer of its own, so that all can be read later."""
    found = Plan()
    outside = set(graph.inputs) | set(graph.outputs)
    wanted: list[tuple[int, int, int, Value | tuple[int, str]]] = []
    for value, (first, last) in lives(graph).items():
        if value.home is None and value.const is None and value not in outside:
            span = (0, len(graph.nodes)) if keep else (first, last)
            wanted.append((value.bytes + SLACK, *span, value))
    for step, context in enumerate(contexts):
        private = 0
        for scratch in context.scratches:
            size = _up(scratch.bytes + SLACK)
            if scratch.private:
                found.scratches[step, scratch.name] = private
                private += size
            else:
                wanted.append((size, step, step, (step, scratch.name)))
        found.private = max(found.private, private)
    for size, first, last, what in sorted(wanted, key=lambda w: (-w[0], w[1])):
        start = _gap(found.buffers, _up(size), first, last)
        owner = what.name if isinstance(what, Value) else f"scratch {what[1]} of {graph.nodes[what[0]].name}"
        found.buffers.append(Buffer(owner, start, _up(size), first, last))
        found.shared = max(found.shared, start + _up(size))
        if isinstance(what, Value):
            found.places[what] = start
        else:
            found.scratches[what] = start
    return found


def lives(graph: Graph) -> Mapping[Value, tuple[int, int]]:
    """The steps at which a value is made and last read; what lies inside another value is part of that one's life."""
    spans: dict[Value, list[int]] = {}
    for step, node in enumerate(graph.nodes):
        for value in [*node.outputs, *node.inputs]:
            while value is not None:
                span = spans.setdefault(value, [step, step])
                span[1] = step
                value = value.home
    return {value: (first, last) for value, (first, last) in spans.items()}


def _gap(buffers: list[Buffer], size: int, first: int, last: int) -> int:
    """The lowest place of `size` bytes that no buffer in use at the same time covers; the tightest fit wins."""
    busy = sorted((b.start, b.start + b.size) for b in buffers if b.first <= last and first <= b.last)
    best, room, end = None, 0, 0
    for start, stop in busy:
        if start - end >= size and (best is None or start - end < room):
            best, room = end, start - end
        end = max(end, stop)
    return end if best is None else best


def _up(size: int) -> int:
    return -(-size // ALIGN) * ALIGN
