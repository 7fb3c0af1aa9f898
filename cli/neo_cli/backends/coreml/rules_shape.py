"""The rules of `mil.RULES` for operators that move, cut and look up elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from neo_cli.backends.coreml.mil import Scope, attributes, narrow, operator, refusal

Node = onnx.NodeProto


@operator("Identity", "Dropout")
def identity(scope: Scope, node: Node) -> Any:
    return scope[node.input[0]]


@operator("Constant")
def constant(scope: Scope, node: Node) -> Any:
    value = attributes(node).get("value")
    if value is None:
        raise refusal(node, "only tensor constants are understood")
    return narrow(onnx.numpy_helper.to_array(value))


@operator("Shape")
def shape(scope: Scope, node: Node) -> Any:
    return np.asarray(scope.shape(node.input[0]), np.int32)


@operator("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(scope: Scope, node: Node) -> Any:
    value, result = scope[node.input[0]], scope.shapes.get(node.output[0])
    if not result or not all(result):
        raise refusal(node, "its output has no fixed shape")
    if isinstance(value, np.ndarray):
        return value.reshape(result)
    return scope.mb.reshape(x=value, shape=np.asarray(result, np.int32))


@operator("Transpose")
def transpose(scope: Scope, node: Node) -> Any:
    value = scope[node.input[0]]
    perm = attributes(node).get("perm", list(range(len(value.shape)))[::-1])
    return value.transpose(perm) if isinstance(value, np.ndarray) else scope.mb.transpose(x=value, perm=perm)


@operator("Concat")
def concat(scope: Scope, node: Node) -> Any:
    values, axis = scope.args(node), attributes(node)["axis"]
    if all(isinstance(v, np.ndarray) for v in values):
        return np.concatenate(values, axis)
    return scope.mb.concat(values=values, axis=axis)


@operator("Split")
def split(scope: Scope, node: Node) -> Any:
    attrs, value = attributes(node), scope[node.input[0]]
    axis = attrs.get("axis", 0)
    sizes = scope.const(node, 1, np.asarray(attrs.get("split", []), np.int32))
    if not sizes.size:
        total, count = int(value.shape[axis]), len(node.output)
        part = -(-total // count)
        sizes = np.asarray([part] * (count - 1) + [total - part * (count - 1)], np.int32)
    return scope.mb.split(x=value, split_sizes=sizes.astype(np.int32), axis=axis)


@operator("Slice")
def slice_(scope: Scope, node: Node) -> Any:
    value = scope[node.input[0]]
    rank = len(value.shape)
    starts, ends = scope.const(node, 1), scope.const(node, 2)
    axes = scope.const(node, 3, np.arange(len(starts)))
    steps = scope.const(node, 4, np.ones(len(starts), np.int32))
    begin, end, step = [0] * rank, [int(n) for n in value.shape], [1] * rank
    for start, stop, axis, by in zip(starts, ends, axes, steps, strict=True):
        begin[int(axis)], end[int(axis)], step[int(axis)] = (
            int(n) for n in slice(int(start), int(stop), int(by)).indices(int(value.shape[axis]))
        )
    if any(s < 1 for s in step):
        raise refusal(node, "a negative step is not in Core ML")
    if isinstance(value, np.ndarray):
        return value[tuple(slice(b, e, s) for b, e, s in zip(begin, end, step, strict=True))]
    return scope.mb.slice_by_index(x=value, begin=begin, end=end, stride=step)


@operator("Gather")
def gather(scope: Scope, node: Node) -> Any:
    value, indices = scope.args(node)
    axis = attributes(node).get("axis", 0)
    if isinstance(value, np.ndarray) and isinstance(indices, np.ndarray):
        return np.take(value, indices, axis)
    return scope.mb.gather(x=value, indices=indices, axis=axis)


@operator("Pad")
def pad(scope: Scope, node: Node) -> Any:
    attrs, value = attributes(node), scope[node.input[0]]
    pads = scope.const(node, 1, np.asarray(attrs.get("pads", []), np.int32))
    fill = scope.const(node, 2, np.asarray(attrs.get("value", 0.0), np.float32))
    rank = len(value.shape)
    mode = attrs.get("mode", b"constant").decode()
    order = np.asarray([p for i in range(rank) for p in (pads[i], pads[i + rank])], np.int32)
    if mode not in ("constant", "reflect", "edge") or (order < 0).any():
        raise refusal(node, f"padding mode '{mode}' with these sizes is not in Core ML")
    return scope.mb.pad(x=value, pad=order, mode={"edge": "replicate"}.get(mode, mode), constant_val=np.float32(fill))


@operator("Cast")
def cast(scope: Scope, node: Node) -> Any:
    value = scope[node.input[0]]
    to = onnx.helper.tensor_dtype_to_np_dtype(attributes(node)["to"])
    if isinstance(value, np.ndarray):
        return narrow(value.astype(to))
    names = {
        "float64": "fp32",
        "float32": "fp32",
        "float16": "fp16",
        "int64": "int32",
        "int32": "int32",
        "bool": "bool",
    }
    if to.name not in names:
        raise refusal(node, f"Core ML has no {to.name}")
    return scope.mb.cast(x=value, dtype=names[to.name])


@operator("Where")
def where(scope: Scope, node: Node) -> Any:
    condition, a, b = scope.args(node)
    return scope.mb.select(cond=condition, a=a, b=b)


@operator("Expand")
def expand(scope: Scope, node: Node) -> Any:
    value, result = scope[node.input[0]], scope.shapes.get(node.output[0])
    if not result or not all(result):
        raise refusal(node, "its output has no fixed shape")
    if isinstance(value, np.ndarray):
        return np.broadcast_to(value, result).copy()
    padded = scope.mb.reshape(
        x=value, shape=np.asarray([1] * (len(result) - len(value.shape)) + [int(n) for n in value.shape], np.int32)
    )
    return scope.mb.tile(
        x=padded, reps=np.asarray([r // int(n) for r, n in zip(result, padded.shape, strict=True)], np.int32)
    )


@operator("Resize")
def resize(scope: Scope, node: Node) -> Any:
    attrs, value = attributes(node), scope[node.input[0]]
    result = scope.shapes.get(node.output[0])
    if not result or len(result) != 4 or tuple(int(n) for n in value.shape[:2]) != tuple(result[:2]):
        raise refusal(node, "only the two last dimensions of four may change")
    mode, where_ = (
        attrs.get("mode", b"nearest").decode(),
        attrs.get("coordinate_transformation_mode", b"half_pixel").decode(),
    )
    scales = {
        "scale_factor_height": result[2] / int(value.shape[2]),
        "scale_factor_width": result[3] / int(value.shape[3]),
    }
    if mode == "nearest" and all(float(s).is_integer() for s in scales.values()):
        return scope.mb.upsample_nearest_neighbor(x=value, **{k: np.float32(v) for k, v in scales.items()})
    if mode == "linear" and where_ in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        return scope.mb.upsample_bilinear(
            x=value, align_corners=where_ == "align_corners", **{k: np.float32(v) for k, v in scales.items()}
        )
    raise refusal(node, f"mode '{mode}' with '{where_}' coordinates is not in Core ML")


@operator("DepthToSpace")
def depth_to_space(scope: Scope, node: Node) -> Any:
    attrs = attributes(node)
    if attrs.get("mode", b"DCR") == b"CRD":
        return scope.mb.pixel_shuffle(x=scope[node.input[0]], upscale_factor=attrs["blocksize"])
    return scope.mb.depth_to_space(x=scope[node.input[0]], block_size=attrs["blocksize"])
