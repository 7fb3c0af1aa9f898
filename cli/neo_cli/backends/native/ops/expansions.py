"""EXPANSIONS: operators that become ordinary nodes of ONNX, written with a Writer; fusion and the kernels see only those.

    @expansion("FusedMatMul")
    def fused_matmul(w: Writer) -> None:
        w.op("MatMul", w.name(0), w.name(1), out=w.result(0))

Shapes of the inputs and arrays of constant ones are known when a rule runs; what it writes is read in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neo_cli.backends.native.ir import Value
from neo_cli.base.errors import OperatorNotImplemented

MICROSOFT = "com.microsoft"
NUMBERS_AS_INPUTS = 11  # from this opset on, Slice and Clip take their numbers as inputs

Find = Callable[[str], Value | None]


Rule = Callable[["Writer"], None]
EXPANSIONS: dict[tuple[str, str], Rule] = {}


def expansion(*names: str, domain: str = MICROSOFT) -> Callable[[Rule], Rule]:
    """Register the decorated rule for the operators `names`; a second rule for one raises."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if (domain, name) in EXPANSIONS:
                raise ValueError(f"the operator {domain}.{name} has two expansions")
            EXPANSIONS[domain, name] = rule
        return rule

    return register


class Writer:
    """The node that is expanded, what is known of its inputs, and the nodes written for it."""

    def __init__(self, node: onnx.NodeProto, find: Find, opset: int, scope: str) -> None:
        self.node, self.opset, self._find, self._scope = node, opset, find, scope
        self.written: list[onnx.NodeProto] = []

    def refuse(self, why: str) -> OperatorNotImplemented:
        return OperatorNotImplemented(
            f"The back end native does not do {self.node.op_type} so: {why} (node '{self.node.name}')."
        )

    def name(self, position: int) -> str:
        """The input's name, "" when it is left out."""
        return self.node.input[position] if position < len(self.node.input) else ""

    def result(self, position: int) -> str:
        """The output's name, "" when nobody asks for it."""
        return self.node.output[position] if position < len(self.node.output) else ""

    def value(self, position: int) -> Value:
        """Type and shape of an input that must be there."""
        found = self._find(self.name(position))
        if found is None:
            raise self.refuse(f"its input {position} is left out")
        return found

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of any tensor that has been read."""
        found = self._find(name)
        if found is None:
            raise self.refuse(f"'{name}' is no tensor")
        return found.shape

    def constant(self, position: int) -> np.ndarray | None:
        """The array of an input, None when it is left out or computed."""
        found = self._find(self.name(position)) if self.name(position) else None
        return None if found is None else found.const

    def attribute(self, name: str, default: Any = None) -> Any:
        found = next((a for a in self.node.attribute if a.name == name), None)
        value = default if found is None else helper.get_attribute_value(found)
        return value.decode() if isinstance(value, bytes) else value

    def attributes(self, *names: str) -> dict[str, Any]:
        """Those of `names` that the node has."""
        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute if a.name in names}

    def need(self, opset: int) -> None:
        """Refuse older models, in which what is written next would mean something else."""
        if self.opset < opset:
            raise self.refuse(f"in a model of opset {self.opset}")

    def fresh(self, part: str) -> str:
        """A name for a result that nothing else has."""
        return f"{self._scope}{len(self.written)}.{part}"

    def op(self, kind: str, *inputs: str, out: str | Sequence[str] = "", domain: str = "", **attributes: Any) -> str:
        """Write a node; the name of its (first) result, which is `out` where that is given."""
        name = f"{self._scope}{len(self.written)}"
        targets = [out or name] if isinstance(out, str) else list(out)
        kept = {k: v for k, v in attributes.items() if v is not None}
        made = helper.make_node(kind, list(inputs), targets, name=f"{name}.{kind}", domain=domain, **kept)
        self.written.append(made)
        return targets[0]

    def const(self, array: Any, dtype: str = "float32") -> str:
        name = f"{self._scope}{len(self.written)}"
        value = numpy_helper.from_array(np.asarray(array, np.dtype(dtype)))
        self.written.append(helper.make_node("Constant", [], [name], name=name, value=value))
        return name

    def reshape(self, x: str, *shape: int, out: str = "") -> str:
        return self.op("Reshape", x, self.const(shape, "int64"), out=out)

    def turn(self, x: str, *perm: int, out: str = "") -> str:
        return self.op("Transpose", x, out=out, perm=perm)

    def cut(self, x: str, axis: int, first: int, behind: int) -> str:
        """Elements [first, behind) of an axis."""
        self.need(NUMBERS_AS_INPUTS)
        numbers = [self.const([n], "int64") for n in (first, behind, axis)]
        return self.op("Slice", x, *numbers)

    def split(self, x: str, axis: int, sizes: Sequence[int]) -> list[str]:
        """An axis cut into parts of the given sizes."""
        parts = [self.fresh(f"part{k}") for k in range(len(sizes))]
        if self.opset < 13:
            self.op("Split", x, out=parts, axis=axis, split=sizes)
        else:
            self.op("Split", x, self.const(sizes, "int64"), out=parts, axis=axis)
        return parts

    def scaled(self, x: str, factor: float, dtype: str, out: str = "") -> str:
        """x * factor; nothing is written for 1 unless the result has a name."""
        if factor == 1.0:
            return self.op("Identity", x, out=out) if out else x
        return self.op("Mul", x, self.const(factor, dtype), out=out)

    def cast(self, x: str, dtype: str, out: str = "") -> str:
        return self.op("Cast", x, out=out, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
