"""An ONNX model as the compiler's graph: every shape a number, everything that can be known already computed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neo_cli.backends.native.ir import C_TYPES, Graph, Levels, Node, Value
from neo_cli.backends.native.ops import expand, shapes
from neo_cli.base.errors import CompileError, OperatorNotImplemented
from neo_cli.model import proto
from neo_cli.model.model import Model

FOLD = 64 << 20  # bytes; larger results are made at run time unless their inputs are as large
_RANDOM = {
    "RandomNormal",
    "RandomUniform",
    "RandomNormalLike",
    "RandomUniformLike",
    "Multinomial",
    "Bernoulli",
    "Dropout",
}


def load(model: Model, batch: int = 1) -> Graph:
    """The model's graph; a free batch becomes `batch`. CompileError when a shape stays unknown."""
    return Importer(model, batch).graph()


class Importer:
    """Reads the nodes in order, with the values known so far."""

    def __init__(self, model: Model, batch: int) -> None:
        self.proto, self.batch = _named(model.graph), batch
        self.opsets = {o.domain if o.domain != "ai.onnx" else "": o.version for o in self.proto.opset_import}
        self.values: dict[str, Value] = {}
        self.sequences: dict[str, tuple[str, ...]] = {}
        self.types = {
            v.name: v.type for v in (*self.proto.graph.value_info, *self.proto.graph.input, *self.proto.graph.output)
        }
        self.tensors = (model.inputs, model.outputs)

    def graph(self) -> Graph:
        graph = self.proto.graph
        for tensor in graph.initializer:
            self._constant(tensor.name, numpy_helper.to_array(tensor))
        inputs = []
        for tensor in self.tensors[0]:
            shape = tuple(self.batch if size == proto.FREE else size for size in tensor.shape)
            inputs.append(self._value(tensor.name, tensor.dtype, shape))
        nodes = [node for source in graph.node for node in self._node(source)]
        outputs = []
        for tensor in self.tensors[1]:
            found = self.values[tensor.name]
            told = tuple(self.batch if size == proto.FREE else size for size in tensor.shape)
            if told != found.shape:  # whoever runs the library makes room for what the model says
                raise CompileError(
                    f"The model says that the output '{tensor.name}' is {list(told)}; its nodes make {list(found.shape)}."
                )
            if found.const is not None or found in inputs or found in outputs:
                copy = Value(f"{found.name}.out", found.dtype, found.shape)
                nodes.append(Node("Identity", f"output {tensor.name}", [found], [copy], version=13))
                found = copy
            outputs.append(found)
        made = Graph(graph.name or "model", inputs, outputs, nodes)
        made.prune()
        return made

    def _value(self, name: str, dtype: str, shape: tuple[int, ...], const: np.ndarray | None = None) -> Value:
        if dtype not in C_TYPES:
            raise OperatorNotImplemented(f"The back end native does not compute with {dtype} ('{name}').")
        self.values[name] = Value(name, dtype, shape, const)
        return self.values[name]

    def _constant(self, name: str, array: np.ndarray) -> None:
        if array.dtype.name not in C_TYPES:
            raise OperatorNotImplemented(f"The back end native does not compute with {array.dtype.name} ('{name}').")
        self._value(name, array.dtype.name, array.shape, array)

    def _node(self, source: onnx.NodeProto) -> list[Node]:
        """The node, or nothing when its results are known now."""
        parts = expand.of_sequences(source, self.values.get, self.opsets, self.sequences)
        tensors = [] if parts is not None else [n if n not in self.sequences else "" for n in source.input]
        used = [self.values[name] if name else None for name in tensors]
        if parts is None and self._known(source, used):
            return []
        parts = parts or expand.lowered(source, self.values.get, self.opsets)
        if parts is not None:
            return [node for part in parts for node in self._node(part)]
        inferred = None
        outputs: list[Value] = []
        for name in source.output:
            dtype, shape = self._type(name)
            if name and shape is None:
                inferred = inferred if inferred is not None else self._infer(source, used)
                dtype, shape = inferred.get(name, (dtype, None))
            if name and shape is None:
                raise CompileError(
                    f"The back end native needs the shape of '{name}', which {source.op_type} (node '{source.name}') "
                    "decides only when it runs."
                )
            outputs.append(
                self._value(
                    name or f"{source.name}.unused{len(outputs)}", dtype or "float32", (0,) if shape is None else shape
                )
            )
        domain = "" if source.domain == "ai.onnx" else source.domain
        attrs = {a.name: attribute(a) for a in source.attribute}
        version = self.opsets.get(domain, 1)
        return [Node(source.op_type, source.name, used, outputs, attrs, domain, version, (source.name,))]

    def _type(self, name: str) -> tuple[str | None, tuple[int, ...] | None]:
        kind = self.types.get(name)
        return _static(kind, self.batch) if kind is not None else (None, None)

    def _known(self, source: onnx.NodeProto, used: list[Value | None]) -> bool:
        """Compute the node now when its inputs are constants, or when it asks for a shape."""
        if source.op_type in ("Shape", "Size") and not source.domain and used[0] is not None:
            shape = np.array(used[0].shape, np.int64)
            attrs = proto.attributes(source)
            start, end = attrs.get("start", 0), attrs.get("end")
            found = shape[start:end] if source.op_type == "Shape" else np.array(math.prod(used[0].shape), np.int64)
            self._constant(source.output[0], found)
            return True
        constants = all(v is None or v.const is not None for v in used)
        inner = any(a.HasField("g") or a.graphs for a in source.attribute)
        if not constants or inner or source.op_type in _RANDOM:
            return False
        results = self._evaluate(source, [v for v in used if v is not None])
        if results is None:
            return False
        for name, array in zip(source.output, results):
            if name:
                self._constant(name, np.asarray(array))
        if source.op_type == "DequantizeLinear":
            self.values[source.output[0]].levels = _levels(source, used)
        return True

    def _evaluate(self, source: onnx.NodeProto, used: list[Value]) -> list[np.ndarray] | None:
        """ONNX Runtime's answer for one node of constants; None when it has none or it is too large."""
        if source.op_type == "Constant" and source.attribute[0].name == "value":
            return [numpy_helper.to_array(source.attribute[0].t)]
        import onnxruntime as ort

        names = [n for n in source.output if n]
        inputs = {v.name: v for v in used}
        graph = helper.make_graph(
            [source],
            "fold",
            [helper.make_tensor_value_info(v.name, _onnx_type(v.dtype), v.shape) for v in inputs.values()],
            [helper.make_empty_tensor_value_info(n) for n in names],
        )
        model = helper.make_model(graph, opset_imports=list(self.proto.opset_import))
        model.ir_version = min(self.proto.ir_version or 8, 10)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        try:
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            found = dict(zip(names, session.run(names, {n: v.const for n, v in inputs.items()})))
        except Exception:  # whatever it lacks is done by our own operators at run time
            return _by_reference(model, used, names) if any(v.dtype == "bfloat16" for v in used) else None
        if sum(f.nbytes for f in found.values()) > max(FOLD, sum(v.const.nbytes for v in used if v.const is not None)):
            return None
        return [found.get(n, np.zeros(0)) for n in source.output]

    def _infer(self, source: onnx.NodeProto, used: list[Value | None]) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Shapes by ONNX's inference of this node alone, with the constants that are known."""
        domain = "" if source.domain == "ai.onnx" else source.domain
        attrs = {a.name: attribute(a) for a in source.attribute} if domain else {}
        own = shapes.infer(domain, source.op_type, attrs, used, len(source.output))
        if own is not None:
            return dict(zip(source.output, own))
        try:
            schema = onnx.defs.get_schema(source.op_type, self.opsets.get(source.domain, 1), source.domain)
            values = {v.name: v for v in used if v is not None}
            found = onnx.shape_inference.infer_node_outputs(
                schema,
                source,
                {n: helper.make_tensor_type_proto(_onnx_type(v.dtype), v.shape) for n, v in values.items()},
                {
                    n: numpy_helper.from_array(v.const, n)
                    for n, v in values.items()
                    if v.const is not None and v.size < 4096
                },
                opset_imports=list(self.proto.opset_import),
            )
        except Exception:  # the caller says which shape is unknown
            return {}
        static = {name: _static(kind, self.batch) for name, kind in found.items()}
        return {name: (dtype, shape) for name, (dtype, shape) in static.items() if dtype and shape is not None}


def _levels(source: onnx.NodeProto, used: list[Value | None]) -> Levels | None:
    """What a constant was dequantised from; None where the scale varies in blocks."""
    attrs = proto.attributes(source)
    array, scale, zero = ([*used, None])[:3]
    assert array is not None and array.const is not None and scale is not None and scale.const is not None
    if attrs.get("block_size", 0) or array.const.dtype.name not in ("int8", "uint8", "int32"):
        return None
    none = np.zeros(scale.shape, array.const.dtype)
    return Levels(array.const, scale.const, none if zero is None else zero.array, attrs.get("axis", 1))


def _by_reference(model: onnx.ModelProto, used: list[Value], names: list[str]) -> list[np.ndarray] | None:
    """The answer of ONNX's own evaluator for a few numbers (the length of a loop); None when there are more."""
    if any(v.size > 16 for v in used) or len(names) != len(model.graph.node[0].output):
        return None
    from onnx.reference import ReferenceEvaluator

    try:
        return list(ReferenceEvaluator(model).run(None, {v.name: v.const for v in used}))
    except Exception:  # it has not every operator either
        return None


def _static(kind: onnx.TypeProto, batch: int) -> tuple[str | None, tuple[int, ...] | None]:
    """dtype and shape of a type; the shape is None when it is not all numbers (a leading free size is the batch)."""
    if not kind.HasField("tensor_type"):
        return None, None
    tensor = kind.tensor_type
    dtype = proto.dtype_name(tensor.elem_type) if tensor.elem_type else None
    if not tensor.HasField("shape"):
        return dtype, None
    shape = []
    for axis, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            shape.append(dim.dim_value)
        elif axis == 0 and dim.dim_param == "batch":
            shape.append(batch)
        else:
            return dtype, None
    return dtype, tuple(shape)


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with shapes inferred and a name for every node."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    proto.infer(copy)
    taken = {node.name for node in copy.graph.node}
    for index, node in enumerate(copy.graph.node):
        if not node.name:
            name = f"{node.op_type}_{index}"
            node.name = name if name not in taken else f"{name}_unnamed"
    return copy


def attribute(source: onnx.AttributeProto) -> Any:
    """An attribute as Python has it: text as str, tensors as arrays, graphs as they are."""
    value = helper.get_attribute_value(source)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list | tuple) or hasattr(value, "append"):
        return [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in value]
    return value


def _onnx_type(dtype: str) -> int:
    if dtype == "bfloat16":
        return onnx.TensorProto.BFLOAT16
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
