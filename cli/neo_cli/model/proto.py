"""ONNX graphs as data: their tensors, their shapes inferred without copying weights, their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from neo_cli.model.model import Tensor

SMALL = 4096  # elements; larger initialisers never steer a shape
PROTOBUF_LIMIT = 1 << 30  # protobuf ends at 2 GiB, and a message needs room for what is not weights
FREE = -1


def tensors(values: Iterable[onnx.ValueInfoProto]) -> tuple[Tensor, ...]:
    """Named tensors of a graph; unknown and symbolic dimensions are -1."""
    return tuple(Tensor(v.name, dtype_name(v.type.tensor_type.elem_type), dims(v)) for v in values)


def dtype_name(elem_type: int) -> str:
    """numpy's name of an ONNX element type; "str" for strings."""
    if elem_type == onnx.TensorProto.STRING:
        return "str"
    return np.dtype(helper.tensor_dtype_to_np_dtype(elem_type)).name


def dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape of a value, -1 where the graph does not say a number."""
    sizes = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else FREE for d in sizes)


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of branches and loop bodies too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from nodes(inner)


def constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Initialisers and Constant nodes' tensors by name."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = node.attribute[0].t
    return found


def opset(model: onnx.ModelProto, domain: str = "") -> int:
    """The version of an operator set the model imports; 0 when it does not."""
    alias = ("", "ai.onnx") if domain in ("", "ai.onnx") else (domain,)
    return max((o.version for o in model.opset_import if o.domain in alias), default=0)


def pin(value: onnx.ValueInfoProto, shape: Iterable[int]) -> None:
    """Give a value this shape; -1 stays free under the name "batch"."""
    kind = value.type.tensor_type.elem_type
    sizes = ["batch" if size == FREE else size for size in shape]
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, sizes))


def infer(model: onnx.ModelProto, strict: bool = False) -> onnx.ModelProto:
    """The same model with shapes of values and outputs inferred; weights are neither copied nor serialised.

    `strict=True` raises onnx.shape_inference.InferenceError where the graph contradicts itself.
    """
    inferred = onnx.shape_inference.infer_shapes(_light(model), strict_mode=strict, data_prop=True)
    del model.graph.value_info[:]
    model.graph.value_info.extend(inferred.graph.value_info)
    for own, found in zip(model.graph.output, inferred.graph.output):
        if found.type.HasField("tensor_type") and found.type.tensor_type.HasField("shape"):
            own.type.CopyFrom(found.type)
    return model


def _light(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the data of large initialisers."""
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) <= SMALL and tensor.data_location != onnx.TensorProto.EXTERNAL:
            graph.initializer.append(tensor)
        else:
            graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    return light


def forget_shapes(model: onnx.ModelProto) -> None:
    """Drop what the file says about inner values and outputs, so that stale shapes do not fight pinned ones."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        if value.type.HasField("tensor_type"):
            for dim in value.type.tensor_type.shape.dim:
                dim.Clear()


def statistics(model: onnx.ModelProto) -> dict[str, Any]:
    """Nodes, weights and their bytes; the most frequent operators."""
    kinds = Counter(node.op_type for node in nodes(model.graph))
    size = sum(bytes_of(tensor) for tensor in constants(model.graph).values())
    return {"nodes": sum(kinds.values()), "weight_bytes": size, "operators": dict(kinds.most_common())}


def bytes_of(tensor: onnx.TensorProto) -> int:
    """The size of a tensor's data."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return sum(len(s) for s in tensor.string_data)
    bits = 4 if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4) else 0
    count = int(np.prod(tensor.dims, dtype=np.int64))
    return (count * bits + 7) // 8 if bits else count * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def precision_of(model: onnx.ModelProto) -> str:
    """The lowest precision the source itself computes in: float32, bfloat16, float16 or int8."""
    if any(_quantises(node) or node.op_type in _INTEGER for node in nodes(model.graph)):
        return "int8"
    types = {tensor.data_type for tensor in constants(model.graph).values()}
    types |= {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}
    if onnx.TensorProto.BFLOAT16 in types:
        return "bfloat16"
    return "float16" if onnx.TensorProto.FLOAT16 in types else "float32"


def roundings(model: onnx.ModelProto) -> int:
    """How many tensors are rounded to whole numbers one behind or beside the other."""
    return sum(map(_quantises, nodes(model.graph)))


def _quantises(node: onnx.NodeProto) -> bool:
    return node.op_type.startswith(("QLinear", "Quantize", "DynamicQuantize"))


_INTEGER = {"ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QAttention", "MatMulNBits", "QMoE"}


def save(model: onnx.ModelProto, path: Path) -> tuple[Path, ...]:
    """Write the model, weights apart when one protobuf cannot hold them; returns the files, the model first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if sum(bytes_of(t) for t in model.graph.initializer) < PROTOBUF_LIMIT:
        path.write_bytes(model.SerializeToString(deterministic=True))
        return (path,)
    data = path.with_name(path.name + ".data")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    onnx.save(copy, path, save_as_external_data=True, location=data.name, size_threshold=SMALL)
    return path, data


def array(tensor: onnx.TensorProto) -> np.ndarray:
    """The tensor's data as numpy."""
    return numpy_helper.to_array(tensor)


def attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    """A node's attributes as Python values."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


_SQUASHING = {"Sigmoid", "Softmax", "HardSigmoid"}
_MOVING = {"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Cast", "Concat", "Slice", "Split"}


def probabilities(model: onnx.ModelProto) -> set[str]:
    """Outputs that are between 0 and 1 by their making, whatever moved them afterwards."""
    producers = {name: node for node in model.graph.node for name in node.output}

    def squashed(name: str, depth: int = 0) -> bool:
        node = producers.get(name)
        if node is None or depth > 20:
            return False
        if node.op_type in _SQUASHING:
            return True
        read = node.input if node.op_type == "Concat" else node.input[:1]
        return node.op_type in _MOVING and all(squashed(n, depth + 1) for n in read)

    return {value.name for value in model.graph.output if squashed(value.name)}
