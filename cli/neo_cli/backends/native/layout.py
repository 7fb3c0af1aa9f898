"""Blocked layouts where they pay: chains of convolutions and products keep their channels in vectors, others row-major.

Each value may exist in several forms; a node takes the form it wants, and a "fast.Reorder" is put in where it is not
there yet. Borders are settled last, when all readers of a value are known.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neo_cli.backends.native import layout_quantised
from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.ir import ROW, Graph, Layout, Node, Value
from neo_cli.backends.native.layout_rules import VIEWS, blocked_form, needs, needs_slices


def lay_out(graph: Graph, cpu: Cpu) -> Graph:
    """The graph with every node's inputs and outputs in the layouts it computes in."""
    made = Layouter(graph, cpu)
    made.run()
    borders(graph)
    homes(graph)
    return graph


class Layouter:
    """Goes through the nodes once, remembering the forms of each value."""

    def __init__(self, graph: Graph, cpu: Cpu) -> None:
        self.graph, self.cpu = graph, cpu
        self.forms: dict[Value, dict[Layout, Value]] = {v: {ROW: v} for v in graph.inputs}
        self.nodes: list[Node] = []

    def run(self) -> None:
        for node in self.graph.nodes:
            if not self._view(node) and not self._parts(node):
                self._place(node)
        for value in self.graph.outputs:
            self.form(value, ROW)
        self.graph.nodes = self.nodes
        self.graph.prune()

    def forms_of(self, value: Value) -> dict[Layout, Value]:
        return self.forms.setdefault(value, {ROW: value} if value.const is not None else {})

    def form(self, value: Value, layout: Layout) -> Value:
        """The value in a layout, reordered when it is not there yet."""
        forms = self.forms_of(value)
        if layout in forms:
            return forms[layout]
        if layout == ROW:
            source = next(iter(forms.values()))
            target = value
        else:
            twin = _same_bytes(value, layout, forms)
            if twin is not None:
                found = Value(f"{value.name}.{layout}", twin.dtype, value.shape, layout=layout, home=twin)
                forms[layout] = found
                return found
            source = self.form(value, ROW)
            target = Value(f"{value.name}.{layout}", stored(value.dtype, layout, self.cpu), value.shape, layout=layout)
        forms[layout] = target
        self.nodes.append(Node("fast.Reorder", f"{value.name} to {layout}", [source], [target]))
        return target

    def _place(self, node: Node) -> None:
        wanted = (layout_quantised.rule_of(node) or blocked_form)(node, self.cpu, self.forms_of)
        if wanted is None:
            node.inputs = [None if v is None else v if v.const is not None else self.form(v, ROW) for v in node.inputs]
            for value in node.outputs:
                self.forms[value] = {ROW: value}
            self.nodes.append(node)
            return
        inputs = [v if v is None or lay is None else self.form(v, lay) for v, lay in zip(node.inputs, wanted.inputs)]
        outputs = []
        for value in node.outputs:
            dtype = stored(value.dtype, wanted.output, self.cpu)
            found = value if wanted.output == ROW else Value(value.name, dtype, value.shape, layout=wanted.output)
            self.forms[value] = {wanted.output: found}
            outputs.append(found)
        self.nodes.append(
            Node(wanted.op, node.name, [*inputs, *wanted.extra], outputs, {**node.attrs, **wanted.attrs}, origin=node.origin or (node.name,))
        )  # fmt: skip

    def _view(self, node: Node) -> bool:
        """Reshape and its kin move nothing: the result lies where the input lies, unless the caller wants it apart."""
        if node.op not in VIEWS or node.domain or node.outputs[0] in self.graph.outputs:
            return False
        x, y = node.inputs[0], node.outputs[0]
        if x is None or x.const is not None or (len(node.outputs) > 1 and node.op != "Dropout"):
            return False
        forms = self.forms_of(x)
        kept = {layout: form for layout, form in forms.items() if _survives(layout, x, y)}
        if not kept:
            kept = {ROW: self.form(x, ROW)}
        self.forms[y] = {
            layout: Value(y.name, form.dtype, y.shape, layout=layout, home=form) for layout, form in kept.items()
        }
        if ROW in kept:
            y.home = kept[ROW]
            self.forms[y][ROW] = y
        return True

    def _parts(self, node: Node) -> bool:
        """A Split of one sample's channels at whole blocks moves nothing: the parts lie in the input."""
        x = node.inputs[0] if node.inputs else None
        if node.op != "Split" or node.domain or x is None or len(x.shape) < 3 or x.shape[0] != 1 or x.const is not None:
            return False
        if node.attrs.get("axis", 0) % len(x.shape) != 1 or set(node.outputs) & set(self.graph.outputs):
            return False
        source = next((form for lay, form in self.forms_of(x).items() if lay.block > 1 and not lay.last), None)
        if source is None or any(y.shape[1] % source.layout.block for y in node.outputs[:-1]):
            return False
        offset = 0
        for y in node.outputs:
            part = Value(y.name, source.dtype, y.shape, layout=source.layout, home=source, offset=-1 - offset)
            self.forms[y] = {source.layout: part}
            offset += y.shape[1] // source.layout.block
        return True


def stored(dtype: str, layout: Layout, cpu: Cpu) -> str:
    """The type of a value's elements in a layout: blocks of 8-bit numbers have the sign that the CPU multiplies with."""
    return cpu.int8.dtype if layout.block and dtype in ("int8", "uint8") else dtype


def _survives(layout: Layout, x: Value, y: Value) -> bool:
    """Does the layout mean the same bytes for both shapes?"""
    if layout == ROW:
        return True
    if layout.last:
        return bool(x.shape and y.shape) and x.shape[-1] == y.shape[-1]
    ends = x.shape[:2] == y.shape[:2] if len(y.shape) >= 2 else False
    return ends and x.size == x.shape[0] * x.shape[1]


def _same_bytes(value: Value, layout: Layout, forms: dict[Layout, Value]) -> Value | None:
    """A single pixel lies alike in both blocked layouts."""
    twin = replace(layout, border=(0, 0, 0, 0), last=not layout.last)
    if (
        twin in forms
        and value.size == (value.shape[-1] if value.shape else 0)
        and value.size == value.shape[1 if len(value.shape) > 1 else 0]
    ):
        return forms[twin]
    return None


def borders(graph: Graph) -> None:
    """Every blocked image gets the widest border that a reader of it needs."""
    for node in graph.nodes:
        for value, border in (*needs(node), *layout_quantised.needs(node)):
            widen(value, border)
        for value, depth in needs_slices(node):
            widen(value, (0, 0, 0, 0), depth)
    changed = True
    while changed:  # a view or a part of a concatenation lies in another value's buffer, border and all
        changed = False
        for value in _with_homes(graph):
            if value.home is not None and value.layout.block:
                home = value.home
                changed |= widen(value, home.layout.border, home.layout.slices)
                changed |= widen(home, value.layout.border, value.layout.slices)


def _with_homes(graph: Graph) -> list[Value]:
    """The graph's values and those that nobody reads, but in which others lie."""
    found = dict.fromkeys(graph.values())
    for value in list(found):
        while value.home is not None:
            value = value.home
            found[value] = None
    return list(found)


def widen(value: Value, border: tuple[int, int, int, int], slices: tuple[int, int] = (0, 0)) -> bool:
    """Make a value's border at least as wide; was it narrower?"""
    old = value.layout
    wide = replace(
        old,
        border=tuple(np.maximum(old.border, border).tolist()),
        slices=tuple(np.maximum(old.slices, slices).tolist()),
    )
    if wide == old:
        return False
    value.layout = wide
    return True


def homes(graph: Graph) -> None:
    """Parts of a concatenation are made where they are wanted, so that it has nothing left to copy."""
    outside = {*graph.inputs, *graph.outputs}
    for node in graph.nodes:
        if node.op != "fast.Concat":
            continue
        y, offset = node.outputs[0], 0
        if y.shape[0] != 1 or y.home is not None:
            continue
        parts = [v for v in node.inputs if v is not None]
        for x in parts:
            if x.home is None and x.const is None and x not in outside and parts.count(x) == 1 and x.layout.block:
                x.home = y
                x.offset = -1 - offset  # settled below, when borders are
            offset += x.image[1] // y.layout.block
    _settle(graph)


def _settle(graph: Graph) -> None:
    borders(graph)
    for value in _with_homes(graph):
        if value.offset < 0 and value.home is not None:
            value.offset = (-1 - value.offset) * value.home.pitch[1] * value.itemsize
