"""Sequences of tensors, known by the names of their elements while a model is read: none is left when it runs."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

import numpy as np
import onnx

from neo_cli.backends.native.ops.expansions import Writer
from neo_cli.backends.native.ops.reading import axis_of

Sequences = MutableMapping[str, tuple[str, ...]]
Rule = Callable[[Writer, Sequences], None]


def lowered(writer: Writer, sequences: Sequences) -> list[onnx.NodeProto] | None:
    """The nodes for an operator that reads or makes a sequence, which is noted in `sequences`; None for any other."""
    node = writer.node
    if node.op_type in RULES and not node.domain:
        RULES[node.op_type](writer, sequences)
        return writer.written
    if node.op_type in ALIASES and node.input and node.input[0] in sequences:
        sequences[node.output[0]] = sequences[node.input[0]]
        return []
    if node.op_type == "Optional" and node.input:
        writer.op("Identity", node.input[0], out=node.output[0])
        return writer.written
    return None


ALIASES = ("Identity", "Optional", "OptionalGetElement")


def _elements(w: Writer, sequences: Sequences) -> tuple[str, ...]:
    found = sequences.get(w.name(0))
    if found is None:
        raise w.refuse(f"its sequence '{w.name(0)}' comes from outside")
    return found


def _position(w: Writer, at: int, length: int) -> int:
    """A place in a sequence that is known now."""
    found = w.constant(at)
    if found is None:
        raise w.refuse("its position is known only at run time")
    return axis_of(int(found.reshape(-1)[0]), length)


def _construct(w: Writer, sequences: Sequences) -> None:
    sequences[w.result(0)] = tuple(w.node.input)


def _insert(w: Writer, sequences: Sequences) -> None:
    found = _elements(w, sequences)
    place = _position(w, 2, len(found)) if w.name(2) else len(found)
    sequences[w.result(0)] = (*found[:place], w.name(1), *found[place:])


def _erase(w: Writer, sequences: Sequences) -> None:
    found = _elements(w, sequences)
    place = _position(w, 1, len(found)) if w.name(1) else len(found) - 1
    sequences[w.result(0)] = (*found[:place], *found[place + 1 :])


def _at(w: Writer, sequences: Sequences) -> None:
    found = _elements(w, sequences)
    place = _position(w, 1, len(found))
    if not 0 <= place < len(found):
        raise w.refuse(f"it takes element {place} of {len(found)}")
    w.op("Identity", found[place], out=w.result(0))


def _length(w: Writer, sequences: Sequences) -> None:
    value = onnx.numpy_helper.from_array(np.array(len(_elements(w, sequences)), np.int64))
    w.op("Constant", out=w.result(0), value=value)


def _split(w: Writer, sequences: Sequences) -> None:
    """Parts of one element (which lose the axis unless `keepdims`), of equal size, or of given sizes."""
    shape = list(w.value(0).shape)
    axis, sizes = axis_of(int(w.attribute("axis", 0)), len(shape)), w.constant(1)
    if w.name(1) and sizes is None:
        raise w.refuse("its sizes are known only at run time")
    if sizes is None or sizes.ndim == 0:
        step = 1 if sizes is None else int(sizes)
        parts = [min(step, shape[axis] - start) for start in range(0, shape[axis], step)]
    else:
        parts = [int(n) for n in sizes]
    names = w.split(w.name(0), axis, parts)
    if not w.name(1) and not w.attribute("keepdims", 1):
        names = [w.reshape(name, *shape[:axis], *shape[axis + 1 :]) for name in names]
    sequences[w.result(0)] = tuple(names)


def _concat(w: Writer, sequences: Sequences) -> None:
    found, axis = _elements(w, sequences), int(w.attribute("axis"))
    if not found:
        raise w.refuse("its sequence is empty")
    if w.attribute("new_axis", 0):
        shapes = [w.shape(name) for name in found]
        axis = axis_of(axis, len(shapes[0]) + 1)
        found = tuple(w.reshape(x, *s[:axis], 1, *s[axis:]) for x, s in zip(found, shapes))
    w.op("Concat", *found, out=w.result(0), axis=axis)


RULES: dict[str, Rule] = {
    "SequenceConstruct": _construct,
    "SequenceEmpty": _construct,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "SplitToSequence": _split,
    "ConcatFromSequence": _concat,
}
