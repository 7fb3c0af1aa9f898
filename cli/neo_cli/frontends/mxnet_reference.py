"""MXNet's operators in numpy, from their documentation and in double precision: the oracle of an MXNET job.

Nothing of the converter is used here, except what reads a node's attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from neo_cli.frontends import mxnet_reference_layers, mxnet_reference_shape
from neo_cli.frontends.mxnet_reference_layers import erf, sigmoid
from neo_cli.frontends.mxnet_symbol import Node, Symbol

Rule = Callable[..., "np.ndarray | list[np.ndarray]"]


def run(symbol: Symbol, params: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of the network, in the order of the symbol's heads."""
    used = symbol.used()
    values: list[list[np.ndarray]] = []
    last: dict[int, int] = {}
    for at, node in enumerate(symbol.nodes):
        for source, _ in node.inputs:
            last[source] = at
    heads = {index for index, _ in symbol.heads}
    for at, (node, wanted) in enumerate(zip(symbol.nodes, used)):
        if not wanted:
            values.append([])
        elif node.op == "null":
            values.append([np.asarray(inputs[node.name] if node.name in inputs else params[node.name])])
        else:
            seen = [values[i][o] for i, o in node.inputs if o < len(values[i])]
            made = RULES[node.op](node, *[v.astype(np.float64) if v.size < 2**20 else v for v in seen])
            values.append(made if isinstance(made, list) else [made])
            for source, _ in node.inputs:  # what nobody reads any more is let go
                if last[source] == at and source not in heads and symbol.nodes[source].op != "null":
                    values[source] = []
    return [values[index][output].astype(np.float32) for index, output in symbol.heads]


def _axes(node: Node, x: np.ndarray) -> tuple[int, ...]:
    asked = node.wholes("axis")
    if node.flag("exclude") and asked:
        return tuple(a for a in range(x.ndim) if a not in [b % x.ndim for b in asked])
    return tuple(asked) or tuple(range(x.ndim))


def _reduce(call: Callable[..., np.ndarray]) -> Rule:
    return lambda node, x: call(x, axis=_axes(node, x), keepdims=node.flag("keepdims"))


def _norm(node: Node, x: np.ndarray) -> np.ndarray:
    order, axes, keep = node.whole("ord", 2), _axes(node, x), node.flag("keepdims")
    return np.abs(x).sum(axes, keepdims=keep) if order == 1 else np.sqrt((x * x).sum(axes, keepdims=keep))


def _arg(call: Callable[..., np.ndarray]) -> Rule:
    return lambda node, x: call(x, axis=node.whole("axis"), keepdims=node.flag("keepdims")).astype(np.float64)


def _unary(call: Callable[[np.ndarray], np.ndarray]) -> Rule:
    return lambda node, x, *label: call(x)


def _binary(call: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Rule:
    return lambda node, x, y: np.asarray(call(x, y)).astype(np.float64)


def _scalar(call: Callable[[np.ndarray, float], np.ndarray]) -> Rule:
    return lambda node, x: np.asarray(call(x, node.number("scalar"))).astype(np.float64)


def _dot(node: Node, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x = np.swapaxes(x, -1, -2) if node.flag("transpose_a") else x
    y = np.swapaxes(y, -1, -2) if node.flag("transpose_b") else y
    return x @ y


def _where(node: Node, condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if condition.ndim == 1 and x.ndim > 1:
        condition = condition.reshape(-1, *[1] * (x.ndim - 1))
    return np.where(condition != 0, x, y)


def _scores(node: Node, x: np.ndarray) -> np.ndarray:
    length, batch, width = x.shape
    heads = node.whole("heads", 1)
    query, key, _ = np.moveaxis(x.reshape(length, batch * heads, 3, -1), 2, 0)
    return np.einsum("ibd,jbd->bij", query, key) / np.sqrt(width // heads // 3)


def _mix(node: Node, x: np.ndarray, attention: np.ndarray) -> np.ndarray:
    length, batch, _ = x.shape
    value = x.reshape(length, batch * node.whole("heads", 1), 3, -1)[:, :, 2]
    return np.einsum("bij,jbd->ibd", attention, value).reshape(length, batch, -1)


_COMPARE: dict[str, Callable] = {
    "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater, "lesser": np.less,
    "greater_equal": np.greater_equal, "lesser_equal": np.less_equal,
}  # fmt: skip
_TWO: dict[str, Callable] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "maximum": np.maximum, "minimum": np.minimum,
    "power": np.power,
}  # fmt: skip
RULES: dict[str, Rule] = {
    **mxnet_reference_layers.RULES,
    **mxnet_reference_shape.RULES,
    **{f"elemwise_{k}": _binary(_TWO[k]) for k in ("add", "sub", "mul", "div")},
    **{f"broadcast_{k}": _binary(v) for k, v in (_TWO | _COMPARE).items()},
    **{f"_{k}": _binary(v) for k, v in _COMPARE.items()},
    **{f"_{k}_scalar": _scalar(v) for k, v in (_TWO | _COMPARE | {"plus": np.add, "minus": np.subtract}).items()},
    "_rminus_scalar": _scalar(lambda x, s: s - x),
    "_rdiv_scalar": _scalar(lambda x, s: s / x),
    "_rpower_scalar": _scalar(lambda x, s: s**x),
    "relu": _unary(lambda x: np.maximum(x, 0)),
    "sigmoid": _unary(sigmoid),
    "LogisticRegressionOutput": _unary(sigmoid),
    "tanh": _unary(np.tanh),
    "exp": _unary(np.exp),
    "log": _unary(np.log),
    "sqrt": _unary(np.sqrt),
    "rsqrt": _unary(lambda x: 1 / np.sqrt(x)),
    "square": _unary(np.square),
    "abs": _unary(np.abs),
    "negative": _unary(np.negative),
    "floor": _unary(np.floor),
    "ceil": _unary(np.ceil),
    "sin": _unary(np.sin),
    "cos": _unary(np.cos),
    "sign": _unary(np.sign),
    "erf": _unary(erf),
    "reciprocal": _unary(lambda x: 1 / x),
    "softsign": _unary(lambda x: x / (1 + np.abs(x))),
    "hard_sigmoid": lambda node, x: np.clip(node.number("alpha", 0.2) * x + node.number("beta", 0.5), 0, 1),
    "clip": lambda node, x: np.clip(x, node.number("a_min"), node.number("a_max")),
    "add_n": lambda node, *x: np.add.reduce(list(x)),
    "sum": _reduce(np.sum),
    "mean": _reduce(np.mean),
    "max": _reduce(np.max),
    "min": _reduce(np.min),
    "prod": _reduce(np.prod),
    "norm": _norm,
    "argmax": _arg(np.argmax),
    "argmin": _arg(np.argmin),
    "dot": _dot,
    "batch_dot": _dot,
    "where": _where,
    "_contrib_div_sqrt_dim": lambda node, x: x / np.sqrt(x.shape[-1]),
    "_contrib_interleaved_matmul_selfatt_qk": _scores,
    "_contrib_interleaved_matmul_selfatt_valatt": _mix,
}
