"""The rules of `mil.RULES` for operators that compute: what each ONNX operator is in MIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from neo_cli.backends.coreml.mil import Scope, attributes, operator, refusal

Node = onnx.NodeProto

_BINARY = {
    "Add": ("add", np.add), "Sub": ("sub", np.subtract), "Mul": ("mul", np.multiply), "Pow": ("pow", np.power),
    "Max": ("maximum", np.maximum), "Min": ("minimum", np.minimum), "Less": ("less", np.less), "Greater": ("greater", np.greater),
    "LessOrEqual": ("less_equal", np.less_equal), "GreaterOrEqual": ("greater_equal", np.greater_equal), "Equal": ("equal", np.equal),
    "And": ("logical_and", np.logical_and), "Or": ("logical_or", np.logical_or),
}  # fmt: skip
_UNARY = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Exp": "exp", "Abs": "abs", "Floor": "floor", "Ceil": "ceil",
    "Sqrt": "sqrt", "Erf": "erf", "Sin": "sin", "Cos": "cos", "Sign": "sign", "Softplus": "softplus", "Softsign": "softsign",
    "Round": "round", "Not": "logical_not",
}  # fmt: skip
_REDUCE = {
    "ReduceMean": "reduce_mean",
    "ReduceSum": "reduce_sum",
    "ReduceMax": "reduce_max",
    "ReduceMin": "reduce_min",
    "ReduceProd": "reduce_prod",
}


def _binary(scope: Scope, node: Node) -> Any:
    name, calculate = _BINARY[node.op_type]
    result, *rest = scope.args(node)
    for other in rest or [None]:
        if other is None:
            return result
        if isinstance(result, np.ndarray) and isinstance(other, np.ndarray):
            result = np.asarray(calculate(result, other))
        else:
            result = getattr(scope.mb, name)(x=result, y=other)
    return result


def _unary(scope: Scope, node: Node) -> Any:
    return getattr(scope.mb, _UNARY[node.op_type])(x=scope[node.input[0]])


for _name in _BINARY:
    operator(_name)(_binary)
for _name in _UNARY:
    operator(_name)(_unary)


@operator("Div")
def div(scope: Scope, node: Node) -> Any:
    a, b = scope.args(node)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.asarray(a // b if a.dtype.kind == "i" else a / b)
    return scope.mb.real_div(x=a, y=b)


@operator("Neg")
def neg(scope: Scope, node: Node) -> Any:
    value = scope[node.input[0]]
    return -value if isinstance(value, np.ndarray) else scope.mb.mul(x=value, y=np.float32(-1))


@operator("Reciprocal")
def reciprocal(scope: Scope, node: Node) -> Any:
    return scope.mb.real_div(x=np.float32(1), y=scope[node.input[0]])


@operator("Log")
def log(scope: Scope, node: Node) -> Any:
    return scope.mb.log(x=scope[node.input[0]], epsilon=np.float32(0))


@operator("Clip")
def clip(scope: Scope, node: Node) -> Any:
    attrs = attributes(node)
    low = scope.const(node, 1, np.asarray(attrs.get("min", -3.4e38), np.float32))
    high = scope.const(node, 2, np.asarray(attrs.get("max", 3.4e38), np.float32))
    return scope.mb.clip(x=scope[node.input[0]], alpha=np.float32(low), beta=np.float32(high))


@operator("LeakyRelu", "Elu")
def leaky(scope: Scope, node: Node) -> Any:
    alpha = np.float32(attributes(node).get("alpha", 0.01 if node.op_type == "LeakyRelu" else 1.0))
    rule = scope.mb.leaky_relu if node.op_type == "LeakyRelu" else scope.mb.elu
    return rule(x=scope[node.input[0]], alpha=alpha)


@operator("HardSigmoid")
def hard_sigmoid(scope: Scope, node: Node) -> Any:
    attrs = attributes(node)
    return scope.mb.sigmoid_hard(
        x=scope[node.input[0]], alpha=np.float32(attrs.get("alpha", 0.2)), beta=np.float32(attrs.get("beta", 0.5))
    )


@operator("HardSwish")
def hard_swish(scope: Scope, node: Node) -> Any:
    value = scope[node.input[0]]
    return scope.mb.mul(x=value, y=scope.mb.sigmoid_hard(x=value, alpha=np.float32(1 / 6), beta=np.float32(0.5)))


@operator("Gelu")
def gelu(scope: Scope, node: Node) -> Any:
    mode = "TANH_APPROXIMATION" if attributes(node).get("approximate", b"none") == b"tanh" else "EXACT"
    return scope.mb.gelu(x=scope[node.input[0]], mode=mode)


@operator("PRelu")
def prelu(scope: Scope, node: Node) -> Any:
    slope = scope.const(node, 1)
    return scope.mb.prelu(x=scope[node.input[0]], alpha=slope.reshape(-1))


def _pads(node: Node, rank: int) -> dict[str, Any]:
    attrs = attributes(node)
    auto = attrs.get("auto_pad", b"NOTSET").decode()
    if auto in ("NOTSET", ""):
        pads = attrs.get("pads", [0] * 2 * rank)
        return {
            "pad_type": "custom",
            "pad": np.asarray([p for i in range(rank) for p in (pads[i], pads[i + rank])], np.int32),
        }
    return {"pad_type": {"VALID": "valid", "SAME_UPPER": "same", "SAME_LOWER": "same_lower"}[auto]}


@operator("Conv")
def conv(scope: Scope, node: Node) -> Any:
    attrs, weight = attributes(node), scope.const(node, 1)
    rank = weight.ndim - 2
    options: dict[str, Any] = {} if len(node.input) < 3 else {"bias": scope.const(node, 2)}
    return scope.mb.conv(
        x=scope[node.input[0]], weight=weight, strides=attrs.get("strides", [1] * rank),
        dilations=attrs.get("dilations", [1] * rank), groups=attrs.get("group", 1), **_pads(node, rank), **options,
    )  # fmt: skip


@operator("ConvTranspose")
def conv_transpose(scope: Scope, node: Node) -> Any:
    attrs, weight = attributes(node), scope.const(node, 1)
    rank = weight.ndim - 2
    options: dict[str, Any] = {} if len(node.input) < 3 else {"bias": scope.const(node, 2)}
    shape = scope.shapes.get(node.output[0])
    if shape and all(shape):
        options["output_shape"] = np.asarray(shape, np.int32)
    return scope.mb.conv_transpose(
        x=scope[node.input[0]], weight=weight, strides=attrs.get("strides", [1] * rank),
        dilations=attrs.get("dilations", [1] * rank), groups=attrs.get("group", 1), **_pads(node, rank), **options,
    )  # fmt: skip


@operator("BatchNormalization")
def batch_norm(scope: Scope, node: Node) -> Any:
    gamma, beta, mean, variance = (scope.const(node, i) for i in range(1, 5))
    epsilon = np.float32(attributes(node).get("epsilon", 1e-5))
    return scope.mb.batch_norm(
        x=scope[node.input[0]], mean=mean, variance=variance, gamma=gamma, beta=beta, epsilon=epsilon
    )


@operator("LayerNormalization")
def layer_norm(scope: Scope, node: Node) -> Any:
    attrs, value = attributes(node), scope[node.input[0]]
    rank = len(value.shape)
    axes = list(range(attrs.get("axis", -1) % rank, rank))
    options: dict[str, Any] = {} if len(node.input) < 3 or not node.input[2] else {"beta": scope.const(node, 2)}
    return scope.mb.layer_norm(
        x=value, axes=axes, gamma=scope.const(node, 1), epsilon=np.float32(attrs.get("epsilon", 1e-5)), **options
    )


@operator("MaxPool", "AveragePool")
def pool(scope: Scope, node: Node) -> Any:
    attrs = attributes(node)
    kernel = attrs["kernel_shape"]
    if any(d != 1 for d in attrs.get("dilations", [])) or len(node.output) > 1:
        raise refusal(node, "dilated pooling and pooling indices are not in Core ML")
    options: dict[str, Any] = {
        "kernel_sizes": kernel,
        "strides": attrs.get("strides", [1] * len(kernel)),
        **_pads(node, len(kernel)),
    }
    if attrs.get("ceil_mode", 0):
        options["ceil_mode"] = True
    if node.op_type == "MaxPool":
        return scope.mb.max_pool(x=scope[node.input[0]], **options)
    return scope.mb.avg_pool(
        x=scope[node.input[0]], exclude_padding_from_average=not attrs.get("count_include_pad", 0), **options
    )


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pool(scope: Scope, node: Node) -> Any:
    value = scope[node.input[0]]
    rule = scope.mb.reduce_mean if node.op_type == "GlobalAveragePool" else scope.mb.reduce_max
    return rule(x=value, axes=list(range(2, len(value.shape))), keep_dims=True)


def _reduce(scope: Scope, node: Node) -> Any:
    attrs, value = attributes(node), scope[node.input[0]]
    axes = scope.const(node, 1, np.asarray(attrs.get("axes", []), np.int32))
    if not axes.size and attrs.get("noop_with_empty_axes", 0):
        return value
    chosen = [int(a) for a in axes] or list(range(len(value.shape)))
    return getattr(scope.mb, _REDUCE[node.op_type])(x=value, axes=chosen, keep_dims=bool(attrs.get("keepdims", 1)))


for _name in _REDUCE:
    operator(_name)(_reduce)


@operator("ArgMax", "ArgMin")
def arg(scope: Scope, node: Node) -> Any:
    attrs = attributes(node)
    rule = scope.mb.reduce_argmax if node.op_type == "ArgMax" else scope.mb.reduce_argmin
    return rule(x=scope[node.input[0]], axis=attrs.get("axis", 0), keep_dims=bool(attrs.get("keepdims", 1)))


@operator("Softmax")
def softmax(scope: Scope, node: Node) -> Any:
    return scope.mb.softmax(x=scope[node.input[0]], axis=attributes(node).get("axis", -1))


@operator("MatMul")
def matmul(scope: Scope, node: Node) -> Any:
    a, b = scope.args(node)
    return scope.mb.matmul(x=a, y=b)


@operator("Gemm")
def gemm(scope: Scope, node: Node) -> Any:
    attrs = attributes(node)
    a, b, *c = scope.args(node)
    result = scope.mb.matmul(
        x=a, y=b, transpose_x=bool(attrs.get("transA", 0)), transpose_y=bool(attrs.get("transB", 0))
    )
    if attrs.get("alpha", 1.0) != 1.0:
        result = scope.mb.mul(x=result, y=np.float32(attrs["alpha"]))
    if c and c[0] is not None:
        beta = np.float32(attrs.get("beta", 1.0))
        result = scope.mb.add(x=result, y=c[0] * beta if isinstance(c[0], np.ndarray) else scope.mb.mul(x=c[0], y=beta))
    return result
