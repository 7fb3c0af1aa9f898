"""Activations as the kernels number them: from an ONNX node to (number, parameters)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context

INFINITY = float("inf")


@dataclass(frozen=True)
class Act:
    """An activation of kernels/vector.h with its two parameters."""

    kind: str = "NONE"
    a: float = -INFINITY
    b: float = INFINITY

    def fields(self, ctx: Context) -> str:
        """Initialisers of the kernels' structs; the clip's limits stand in `low` and `high`."""
        if self.kind not in ("NONE", "CLIP"):
            ctx.define(f"USE_ACT_{self.kind}")
        limits = (self.a, self.b) if self.kind == "CLIP" else (-INFINITY, INFINITY)
        a, b = (self.a, self.b) if self.kind not in ("NONE", "CLIP") else (0.0, 0.0)
        kind = self.kind if self.kind != "CLIP" else "NONE"
        return f".act = ACT_{kind}, .a = {number(a)}, .b = {number(b)}, .low = {number(limits[0])}, .high = {number(limits[1])}"


NONE = Act()
RELU = Act("CLIP", 0.0, INFINITY)


def number(value: float) -> str:
    """A float as C writes it."""
    if value in (INFINITY, -INFINITY):
        return "__builtin_inff()" if value > 0 else "-__builtin_inff()"
    return f"{float(np.float32(value))!r}f"


def act_of(node: Node) -> Act | None:
    """The activation an ONNX node is, or None."""
    if node.domain not in ("", "com.microsoft") or not node.inputs or node.outputs[0].dtype != "float32":
        return None
    attrs = node.attrs
    simple = {
        "Relu": RELU,
        "Sigmoid": Act("SIGMOID", 0, 0),
        "Tanh": Act("TANH", 0, 0),
        "HardSwish": Act("HARDSWISH", 0, 0),
        "Erf": Act("ERF", 0, 0),
        "fast.Silu": Act("SILU", 0, 0),
        "fast.Gelu": Act("GELU", 0, 0),
        "LeakyRelu": Act("LEAKY", attrs.get("alpha", 0.01), 0),
        "Elu": Act("ELU", attrs.get("alpha", 1.0), 0),
        "HardSigmoid": Act("HARDSIGMOID", attrs.get("alpha", 0.2), attrs.get("beta", 0.5)),
    }
    if node.op in simple:
        return simple[node.op]
    if node.op == "Gelu" and attrs.get("approximate", "none") == "none":
        return Act("GELU", 0, 0)
    if node.op == "Clip":
        return _clip(node)
    return None


def _clip(node: Node) -> Act | None:
    if node.version < 11 and len(node.inputs) == 1:
        return Act("CLIP", float(node.attrs.get("min", -INFINITY)), float(node.attrs.get("max", INFINITY)))
    limits = [*node.inputs[1:], None, None][:2]
    found = [_scalar(value, default) for value, default in zip(limits, (-INFINITY, INFINITY))]
    return None if None in found else Act("CLIP", *found)  # type: ignore[arg-type]


def _scalar(value: Value | None, default: float) -> float | None:
    if value is None:
        return default
    return float(value.const.reshape(-1)[0]) if value.const is not None and value.size == 1 else None
