"""An ONNX graph under construction that knows the type of every value as soon as it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, shape_inference

OPSET = 18
ML_OPSET = 3
IR_VERSION = 9
PROTOBUF_LIMIT = 2**31  # a larger model cannot be serialised in one piece, which the checker does
SMALL = 4096  # constants up to this many bytes are given to shape inference by value


class GraphBuilder:
    """Adds nodes and weights straight into one ModelProto, so that 500 MB of weights are copied once.

    Shapes come from ONNX's own inference, node by node; `shape(value)` is what a converter asks where its
    framework's operator depends on the rank. `ml` adds the ai.onnx.ml domain.
    """

    def __init__(self, name: str, *, ml: bool = False, producer: str = "neo-cli") -> None:
        opsets = [helper.make_opsetid("", OPSET)] + ([helper.make_opsetid("ai.onnx.ml", ML_OPSET)] if ml else [])
        self.model = onnx.ModelProto(ir_version=IR_VERSION, producer_name=producer, opset_import=opsets)
        self.model.graph.name = name
        self._types: dict[str, onnx.TypeProto] = {}
        self._small: dict[str, TensorProto] = {}
        self._cache: dict[tuple[Any, ...], str] = {}
        self._count = 0

    def input(self, name: str, shape: Sequence[int | str], dtype: str = "float32") -> str:
        """Declare a graph input; a string in `shape` is a free dimension of that name."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        value = helper.make_tensor_value_info(name, kind, list(shape))
        self.model.graph.input.append(value)
        self._types[name] = value.type
        return name

    def output(self, value: str, name: str | None = None) -> str:
        """Declare `value` a graph output, under `name` through an Identity when the names differ."""
        if name is not None and name != value:
            value = self.node("Identity", value, name=name)
        self.model.graph.output.append(onnx.ValueInfoProto(name=value, type=self._types[value]))
        return value

    def const(self, array: np.ndarray | memoryview, stem: str = "w", name: str | None = None) -> str:
        """Add an initializer; equal small constants are added once."""
        array = np.ascontiguousarray(array) if np.ndim(array) else np.asarray(array)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.nbytes <= 64 and name is None else None
        if key is not None and key in self._cache:
            return self._cache[key]
        value = name or self._fresh(stem)
        tensor = self.model.graph.initializer.add()
        tensor.name, tensor.data_type = value, helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.dims.extend(array.shape)
        tensor.raw_data = array.tobytes()
        self._types[value] = helper.make_tensor_type_proto(tensor.data_type, list(array.shape))
        if array.nbytes <= SMALL:
            self._small[value] = tensor
        if key is not None:
            self._cache[key] = value
        return value

    def ints(self, *values: int) -> str:
        return self.const(np.array(values, np.int64), "shape")

    def scalar(self, value: float) -> str:
        return self.const(np.array(value, np.float32), "scalar")

    def node(self, kind: str, *inputs: str, name: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output, called `name` where given, and return that output."""
        return self.nodes(kind, *inputs, names=[name or self._fresh(kind.lower())], domain=domain, **attributes)[0]

    def nodes(self, kind: str, *inputs: str, names: Sequence[str], domain: str = "", **attributes: Any) -> list[str]:
        """Add a node with one output for each of `names`. Raises ValueError where the inputs' types do not fit."""
        node = helper.make_node(kind, list(inputs), list(names), name=f"{kind}_{names[0]}", domain=domain, **attributes)
        schema = onnx.defs.get_schema(kind, ML_OPSET if domain else OPSET, domain)
        used = [v for v in inputs if v]
        try:
            found = shape_inference.infer_node_outputs(
                schema,
                node,
                {v: self._types[v] for v in used},
                {v: self._small[v] for v in used if v in self._small},
                opset_imports=list(self.model.opset_import),
            )
        except shape_inference.InferenceError as error:
            raise ValueError(f"{kind}: {str(error).removeprefix('[ShapeInferenceError] ')}") from error
        self._types.update(found)
        self.model.graph.node.append(node)
        return list(names)

    def shape(self, value: str) -> tuple[int, ...]:
        """The shape of a value; -1 where a dimension is free. Raises KeyError where nothing is known."""
        kind = self._types[value].tensor_type
        if not kind.HasField("shape"):
            raise KeyError(f"the rank of {value} is unknown")
        return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)

    def declare(self, value: str, shape: Sequence[int | str], dtype: str = "float32") -> None:
        """State the type of a value whose operator has no inference of its own."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._types[value] = helper.make_tensor_type_proto(kind, list(shape))

    def knows(self, value: str) -> bool:
        return value in self._types

    def make(self) -> onnx.ModelProto:
        """The finished model, checked, without weights that no node reads."""
        graph = self.model.graph
        read = {v for node in graph.node for v in node.input} | {o.name for o in graph.output}
        for index in reversed([i for i, tensor in enumerate(graph.initializer) if tensor.name not in read]):
            del graph.initializer[index]
        if self.model.ByteSize() < PROTOBUF_LIMIT:
            onnx.checker.check_model(self.model)
        return self.model

    def _fresh(self, stem: str) -> str:
        self._count += 1
        return f"{stem}_{self._count}"
