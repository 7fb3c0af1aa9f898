"""An MXNet symbol and its parameters as an ONNX model of static shapes."""

from __future__ import annotations

import importlib
import math

import numpy as np
import onnx

from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.frontends.mxnet_symbol import FormatError, Symbol
from neo_cli.frontends.mxnet_table import OPERATORS, Conversion
from neo_cli.model.graph import GraphBuilder
from neo_cli.model.model import Tensor

MAX_VALUES = 2**28  # of one output: 1 GB, more than any published network has
for _part in ("layers", "math", "shape", "rnn"):  # they fill the table
    importlib.import_module(f"neo_cli.frontends.mxnet_ops_{_part}")


def convert(symbol: Symbol, params: dict[str, np.ndarray], inputs: tuple[Tensor, ...]) -> onnx.ModelProto:
    """The graph, its outputs named as MXNet names them."""
    used = symbol.used()
    _refuse_unknown(symbol, used)
    c = Conversion(GraphBuilder("mxnet"))
    fed = {t.name: _as_float(c, t) for t in inputs}
    values: list[list[str]] = []
    for node, wanted in zip(symbol.nodes, used):
        if not wanted:
            values.append([])
        elif node.op == "null":
            values.append([fed[node.name] if node.name in fed else _weight(c, node.name, params)])
        else:
            seen = [values[i][o] if o < len(values[i]) else "" for i, o in node.inputs]
            read = [v for v in seen if v]  # a label that nothing feeds is left out
            try:
                made = OPERATORS[node.op](c, node, *read)
                _limit(c, [made] if isinstance(made, str) else made)
            except OperatorNotImplemented:
                raise
            except (TypeError, ValueError, KeyError, IndexError, ArithmeticError, RuntimeError, MemoryError) as error:
                detail = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                raise FormatError(f"{node.op} '{node.name}' does not fit its inputs: {detail}") from error
            values.append([made] if isinstance(made, str) else made)
    for (index, output), name in zip(symbol.heads, symbol.names()):
        if output >= len(values[index]):
            raise OperatorNotImplemented(
                f"Output {output} of the MXNet operator {symbol.nodes[index].op} (node '{symbol.nodes[index].name}') is not supported."
            )
        c.g.output(values[index][output], name)
    try:
        return c.g.make()
    except onnx.checker.ValidationError as error:
        raise FormatError(f"its graph is not valid: {str(error).strip().splitlines()[0][:200]}") from error


def _refuse_unknown(symbol: Symbol, used: list[bool]) -> None:
    unknown = {n.op: n.name for n, u in zip(symbol.nodes, used) if u and n.op != "null" and n.op not in OPERATORS}
    if unknown:
        names = ", ".join(f"'{op}'" for op in sorted(unknown))
        first = sorted(unknown)[0]
        raise OperatorNotImplemented(
            f"The following operators are not implemented: {{{names}}} (MXNet, first at node '{unknown[first]}')."
        )


def _limit(c: Conversion, made: list[str]) -> None:
    for value in made:
        shape = c.g.shape(value)
        if math.prod(shape) > MAX_VALUES or min(shape, default=1) < 1:
            raise ValueError(f"its output would have the shape {list(shape)}")


def _as_float(c: Conversion, tensor: Tensor) -> str:
    value = c.g.input(tensor.name, tensor.shape, tensor.dtype)
    return value if tensor.dtype == "float32" else c.g.node("Cast", value, to=1)


def _weight(c: Conversion, name: str, params: dict[str, np.ndarray]) -> str:
    array = params[name]
    array = array if array.dtype == np.float32 else array.astype(np.float32)
    if not c.g.knows(name):
        c.g.const(array, name=name)
        c.arrays[name] = array
    return name
