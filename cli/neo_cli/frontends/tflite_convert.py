"""TensorFlow Lite operators as an ONNX graph: layouts and quantisation are tracked here, rules say what each operator is.

Images stay NCHW between operators that do not care, so that one transpose at each end is left of all. A quantised
tensor is computed in float between DequantizeLinear and QuantizeLinear (QDQ), as ONNX has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neo_cli.base.errors import InputError
from neo_cli.frontends.tflite_file import File, FileTensor, Operation

OPSET = 17
CONVERT = "TVM cannot convert TFLite model. Please make sure the framework you selected is correct."
Rule = Callable[["Converter", Operation], None]
RULES: dict[str, Rule] = {}
SIZES = {
    "RESHAPE": 1,
    "TRANSPOSE_CONV": 0,
    "BROADCAST_TO": 1,
    "FILL": 0,
    "EXPAND_DIMS": 1,
}  # the input that only says the output's shape
QUANTIZED = ("int8", "uint8", "int16")


def rule(*kinds: str) -> Callable[[Rule], Rule]:
    """Register what an operator becomes; a second registration is an error."""

    def register(function: Rule) -> Rule:
        for kind in kinds:
            if kind in RULES:
                raise ValueError(f"two rules for {kind}")
            RULES[kind] = function
        return function

    return register


class Converter:
    """The ONNX graph under construction. Values are ONNX names; a tensor may exist as NHWC and as NCHW."""

    def __init__(self, file: File, shapes: dict[int, tuple[int, ...]], names: dict[int, str]) -> None:
        self.file, self.shapes, self.names = file, shapes, names
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.plain: dict[int, str] = {}  # tensor -> its value in the file's own layout
        self.planar: dict[int, str] = {}  # tensor -> the same as NCHW, for rank 4
        self.stored: dict[int, str] = {}  # quantised tensor -> its integer value
        self.known: dict[int, np.ndarray] = {}  # tensor -> its value, where constants alone decide it
        self.count = 0
        self.within: tuple[int, ...] = ()  # the subgraphs around this one
        self.prefix = ""  # of the names made here; each run of another subgraph has its own

    def tensor(self, index: int) -> FileTensor:
        return self.file.tensors[index]

    def shape(self, index: int) -> tuple[int, ...]:
        return self.shapes.get(index, self.file.tensors[index].shape)

    def node(self, kind: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return the name of its (first) output."""
        self.count += 1
        names = [f"{self.prefix}{kind.lower()}_{self.count}" + (f"_{i}" if i else "") for i in range(outputs)]
        name = f"{self.prefix}{kind}_{self.count}"
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, **attributes))
        return names[0]

    def outputs_of(self, first: str, count: int) -> list[str]:
        """The names of all outputs of the node whose first output is `first`."""
        return [first] + [f"{first}_{i}" for i in range(1, count)]

    def const(self, value: np.ndarray | np.generic | float | int | list[int]) -> str:
        """An initialiser; lists are int64, numbers float32."""
        if isinstance(value, list):
            array = np.asarray(value, np.int64)
        elif isinstance(value, float | int):
            array = np.asarray(value, np.float32)
        else:
            array = np.asarray(value, value.dtype.newbyteorder("="), order="C")
        name = f"c_{len(self.initializers)}"
        self.initializers[name] = numpy_helper.from_array(array, name)
        return name

    def constant(self, index: int) -> np.ndarray | None:
        """The float (or integer) value of a constant tensor, dequantised; None for what is computed."""
        if index in self.known:
            return self.known[index]
        tensor = self.tensor(index)
        if tensor.data is None:
            return None
        if tensor.quantization is None or tensor.dtype not in (*QUANTIZED, "int32", "int64"):
            return tensor.data.astype(np.float32) if tensor.dtype == "float16" else tensor.data.astype(tensor.dtype)
        shape = [1] * tensor.data.ndim
        if len(tensor.quantization.scale) > 1:
            shape[tensor.quantization.axis] = -1
        scale, zero = tensor.quantization.scale.reshape(shape), tensor.quantization.zero.reshape(shape)
        return ((tensor.data.astype(np.int64) - zero) * scale.astype(np.float64)).astype(np.float32)

    def demand(self, op: Operation, position: int) -> np.ndarray:
        """The constant at an input; refused when it is computed."""
        found = self.constant(op.inputs[position]) if position < len(op.inputs) and op.inputs[position] >= 0 else None
        if found is None:
            raise InputError(
                f"{CONVERT} The operator {op.kind} takes a computed value where only a constant is understood (input {position})."
            )
        return found

    def ints(self, op: Operation, position: int) -> list[int]:
        return [int(v) for v in self.demand(op, position).reshape(-1)]

    def value(self, index: int) -> str:
        """The tensor as float (or its own type), in the file's layout."""
        if index not in self.plain:
            if index in self.planar:
                self.plain[index] = self.node("Transpose", [self.planar[index]], perm=[0, 2, 3, 1])
            else:
                found = self.constant(index)
                if found is None:
                    raise InputError(f"{CONVERT} The tensor '{self.tensor(index).name}' is read before it is made.")
                self.plain[index] = self.const(found)
        return self.plain[index]

    def image(self, index: int) -> str:
        """The tensor as NCHW."""
        if index not in self.planar:
            self.planar[index] = self.node("Transpose", [self.value(index)], perm=[0, 3, 1, 2])
        return self.planar[index]

    def is_planar(self, indices: list[int]) -> bool:
        """Whether an operator on these may stay NCHW: some are there, and the others can be had for nothing."""
        ready = [i for i in indices if i in self.planar]
        return bool(ready) and all(i in self.planar or self._spreads(i) for i in indices)

    def _spreads(self, index: int) -> bool:
        return self.constant(index) is not None and len(self.shape(index)) in (0, 1, 4)

    def spread(self, index: int) -> str:
        """A constant beside NCHW values: channels last become channels in place."""
        if index in self.planar:
            return self.planar[index]
        found = self.constant(index)
        assert found is not None
        if found.ndim == 4:
            return self.const(found.transpose(0, 3, 1, 2))
        return self.const(found.reshape(1, -1, 1, 1)) if found.ndim == 1 else self.const(found)

    def define(self, index: int, name: str, planar: bool = False) -> None:
        """Say which value an output tensor is; quantised tensors are rounded to their steps here."""
        tensor = self.tensor(index)
        if tensor.quantization is not None and tensor.dtype in QUANTIZED:
            name = self._quantized(index, name, planar)
        (self.planar if planar else self.plain)[index] = name

    def _quantized(self, index: int, name: str, planar: bool) -> str:
        tensor = self.tensor(index)
        assert tensor.quantization is not None
        if tensor.dtype == "int16":  # ONNX 17 quantises to 8 bits; 16-bit activations stay float, results are rounded
            return name
        scale, zero = self._steps(tensor)
        whole = self.node("QuantizeLinear", [name, scale, zero])
        self.stored[index] = whole if not planar else ""
        return self.node("DequantizeLinear", [whole, scale, zero])

    def _steps(self, tensor: FileTensor) -> tuple[str, str]:
        assert tensor.quantization is not None
        return self.const(np.float32(tensor.quantization.scale[0])), self.const(
            tensor.quantization.zero[:1].astype(tensor.dtype).reshape(())
        )

    def activation(self, name: str, code: int) -> str:
        """A fused activation."""
        if code == 0:
            return name
        if code == 1:
            return self.node("Relu", [name])
        if code in (2, 3):
            low, high = ((-1.0, 1.0), (0.0, 6.0))[code - 2]
            return self.node("Clip", [name, self.const(low), self.const(high)])
        if code == 4:
            return self.node("Tanh", [name])
        raise InputError(f"{CONVERT} A fused activation of the kind {code} is not known.")

    def run(self, inputs: list[onnx.ValueInfoProto]) -> onnx.ModelProto:
        """All operators in order; the graph with inputs and outputs in the file's types."""
        for index, value in zip(self.file.inputs, inputs, strict=True):
            tensor = self.tensor(index)
            self.plain[index] = value.name
            if tensor.quantization is not None and tensor.dtype in ("int8", "uint8"):
                self.stored[index] = value.name
                scale, zero = self._steps(tensor)
                self.plain[index] = self.node("DequantizeLinear", [value.name, scale, zero])
            elif tensor.quantization is not None and tensor.dtype == "int16":  # its zero point is 0
                whole = self.node("Cast", [value.name], to=onnx.TensorProto.FLOAT)
                self.plain[index] = self.node("Mul", [whole, self.const(np.float32(tensor.quantization.scale[0]))])
        self._operations()
        outputs = [self._output(i) for i in self.file.outputs]
        graph = helper.make_graph(self.nodes, "tflite", inputs, outputs, list(self.initializers.values()))
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="neo-cli"
        )

    def _operations(self) -> None:
        missing = sorted({op.kind for op in self._needed() if op.kind not in RULES})
        if missing:
            raise InputError(
                f"{CONVERT} The following operators are not implemented: {{{', '.join(map(repr, missing))}}}"
            )
        for op in self.file.operations:
            if self._decided(op):
                self._fold(op)
            else:
                RULES[op.kind](self, op)

    def part(self, number: int, inputs: list[str], nodes: list[onnx.NodeProto]) -> tuple[File, list[str]]:
        """Another subgraph on values of this one, its nodes added to `nodes`; the subgraph and its results."""
        if not 0 < number < len(self.file.graphs) or number in self.within:
            raise InputError(f"{CONVERT} An operator runs the subgraph {number}, which is not there or runs already.")
        if len(self.file.graphs[number].inputs) != len(inputs):
            raise InputError(f"{CONVERT} An operator gives the subgraph {number} {len(inputs)} inputs.")
        self.count += 1
        graph = replace(self.file.graphs[number], graphs=self.file.graphs)
        inner = Converter(graph, {}, {})
        inner.prefix, inner.nodes, inner.initializers = f"{self.prefix}{self.count}.", nodes, self.initializers
        inner.within = (*self.within, number)
        inner.plain = dict(zip(graph.inputs, inputs, strict=True))
        inner._operations()
        return graph, [inner.value(i) for i in graph.outputs]

    def _decided(self, op: Operation) -> bool:
        """Whether constants alone decide what the operator makes: widened float16 weights, arithmetic on shapes."""
        return op.kind == "SHAPE" or all(i < 0 or self.constant(i) is not None for i in op.inputs)

    def _fold(self, op: Operation) -> None:
        if op.kind == "SHAPE":
            kind = self.tensor(op.outputs[0]).dtype
            self.known[op.outputs[0]] = np.asarray(self.shape(op.inputs[0]), kind)
            return
        if op.kind in ("DEQUANTIZE", "DENSIFY"):
            found = self.constant(op.inputs[0])
            assert found is not None
            self.known[op.outputs[0]] = found
            return
        import onnxruntime

        part = Converter(self.file, self.shapes, self.names)
        part.known = self.known
        RULES[op.kind](part, op)
        values = [onnx.ValueInfoProto(name=part.value(i)) for i in op.outputs]
        graph = helper.make_graph(part.nodes, "constants", [], values, list(part.initializers.values()))
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
        self.known.update(zip(op.outputs, session.run(None, {}), strict=True))

    def _needed(self) -> list[Operation]:
        """The operators whose results count: sizes that the file computes are known, so what computes them is not needed."""
        wanted, kept = set(self.file.outputs), []
        for op in reversed(self.file.operations):
            if wanted.intersection(op.outputs):
                kept.append(op)
                sizes = SIZES.get(op.kind)
                wanted.update(i for position, i in enumerate(op.inputs) if position != sizes)
        return kept[::-1]

    def _output(self, index: int) -> onnx.ValueInfoProto:
        tensor = self.tensor(index)
        name = self.names[index]
        value = self.value(index)
        if tensor.quantization is not None and tensor.dtype in ("int8", "uint8"):
            value = self.stored.get(index) or self.node("QuantizeLinear", [value, *self._steps(tensor)])
        elif tensor.quantization is not None and tensor.dtype == "int16":
            steps = self.node("Div", [value, self.const(np.float32(tensor.quantization.scale[0]))])
            value = self.node("Clip", [self.node("Round", [steps]), self.const(-32768.0), self.const(32767.0)])
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        if tensor.dtype in ("int64", "int32", "int16", "bool", "float16") and tensor.data is None:
            value = self.node("Cast", [value], to=kind)
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"output_{name}"))
        return helper.make_tensor_value_info(name, kind, list(self.shape(index)))
