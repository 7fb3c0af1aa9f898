"""ONNX nodes as operations of Core ML's intermediate language (MIL), one small function an operator.

`build(graph)` returns a MIL program of one function "main" with the ONNX graph's own input and output names.
Constants stay numpy arrays until an operation takes them, so shape arithmetic is done here and not in the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from neo_cli.base.errors import OperatorNotImplemented

Rule = Callable[["Scope", onnx.NodeProto], Any]
RULES: dict[str, Rule] = {}


def operator(*names: str) -> Callable[[Rule], Rule]:
    """Register the rule for ONNX operators; a second registration is an error."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if name in RULES:
                raise ValueError(f"two rules for {name}")
            RULES[name] = rule
        return rule

    return register


class Scope:
    """Values by ONNX name while a program is being built: numpy constants or MIL variables."""

    def __init__(self, builder: Any, shapes: dict[str, tuple[int, ...]]) -> None:
        self.mb = builder
        self.shapes = shapes
        self.values: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def args(self, node: onnx.NodeProto) -> list[Any]:
        return [self.values[n] if n else None for n in node.input]

    def const(self, node: onnx.NodeProto, position: int, default: Any = None) -> Any:
        """The constant at an input; refused when it is computed at run time."""
        if position >= len(node.input) or not node.input[position]:
            return default
        value = self.values[node.input[position]]
        if not isinstance(value, np.ndarray):
            raise refusal(node, f"its input {position} is not a constant")
        return value

    def shape(self, name: str) -> tuple[int, ...]:
        value = self.values[name]
        return tuple(int(n) for n in value.shape)


def refusal(node: onnx.NodeProto, why: str) -> OperatorNotImplemented:
    return OperatorNotImplemented(f"coreml: {node.op_type} (node '{node.name or node.output[0]}'): {why}.")


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def narrow(array: np.ndarray) -> np.ndarray:
    """The array in a type Core ML has: 64-bit numbers become 32-bit ones."""
    if array.dtype == np.int64:
        return np.clip(array, -(2**31), 2**31 - 1).astype(np.int32)
    return array.astype(np.float32) if array.dtype in (np.float64, np.float16) else array


def build(model: onnx.ModelProto) -> Any:
    """Translate the graph; raises OperatorNotImplemented naming the operator and the node."""
    import coremltools as ct
    from coremltools.converters.mil.mil import Builder, Function, Program, types

    import neo_cli.backends.coreml.rules
    import neo_cli.backends.coreml.rules_shape
    import neo_cli.backends.coreml.rules_trees  # noqa: F401  the rules register themselves

    kinds = {"float32": types.fp32, "int64": types.int32, "int32": types.int32, "float16": types.fp16}
    constants = {i.name: narrow(numpy_helper.to_array(i)) for i in model.graph.initializer}
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim)
        for v in [*inferred.graph.value_info, *inferred.graph.output, *inferred.graph.input]
    }
    places = {}
    for value in model.graph.input:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
        if dtype not in kinds:
            raise OperatorNotImplemented(f"coreml: the input '{value.name}' is {dtype}; Core ML takes float and int32.")
        if 0 in shapes[value.name] or not shapes[value.name]:
            raise OperatorNotImplemented(f"coreml: the input '{value.name}' needs a fixed shape of rank 1 or more.")
        places[value.name] = Builder.placeholder(shape=shapes[value.name], dtype=kinds[dtype])
    program = Program()
    with Function(places, opset_version=ct.target.iOS16) as function:
        scope = Scope(Builder, shapes)
        scope.values.update(constants)
        scope.values.update(function.inputs)
        for node in model.graph.node:
            emit(scope, node)
        function.set_outputs([_output(scope, o.name) for o in model.graph.output])
    program.add_function("main", function)
    return program


def emit(scope: Scope, node: onnx.NodeProto) -> None:
    """Add one node; its outputs are in `scope` afterwards."""
    rule = RULES.get(node.op_type) if node.domain in ("", "ai.onnx", "ai.onnx.ml") else None
    if rule is None:
        raise refusal(node, "Core ML's language has no rule for this operator here")
    result = rule(scope, node)
    results = result if isinstance(result, list | tuple) else [result]
    for name, value in zip(node.output, results, strict=False):
        scope.values[name] = value


def _output(scope: Scope, name: str) -> Any:
    value = scope[name]
    return scope.mb.identity(x=value, name=name)
