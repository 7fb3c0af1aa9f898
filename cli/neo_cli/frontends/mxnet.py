"""MXNET: symbol.json and .params, read without MXNet, as a Model with the network's own names."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx

from neo_cli.base.errors import InputError
from neo_cli.frontends import mxnet_reference
from neo_cli.frontends.mxnet_convert import convert
from neo_cli.frontends.mxnet_files import pick_params, pick_symbol, written_shapes
from neo_cli.frontends.mxnet_params import read_params
from neo_cli.frontends.mxnet_symbol import FormatError, Symbol, read_symbol
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

DTYPES = {"0": "float32", "4": "int32", "6": "int64"}
EXPORT = (
    "Please use HybridBlock.export() or gluoncv.utils.export_block() to export your model instead of "
    "Block.save_parameters()."
)
NOT_DERIVED = (
    "We are unable to extract DataInputConfig from the model due to input_config_derivation_error. "
    "Please override by providing a DataInputConfig during compilation job creation."
)


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's network; label inputs of loss layers are accepted and left out."""
    symbol_file = pick_symbol(source.root)
    params_file = pick_params(source.root, symbol_file, source.log)
    try:
        symbol = read_symbol(symbol_file)
        source.log(f"Model Version found: MXNet {symbol.version}")
        params = _named(read_params(params_file))
        inputs, derived = _inputs(source, symbol, params, shapes)
    except FormatError as error:
        raise InputError(f"Framework can't load the MXNet model: {error}") from error
    try:
        graph = convert(symbol, params, inputs)
    except FormatError as error:
        raise InputError(
            f"TVM can't convert the MXNet model. {error}\nModel Version found: {symbol.version}."
        ) from error
    outputs = tuple(_tensor(value) for value in graph.graph.output)

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        found = mxnet_reference.run(symbol, params, arrays)
        return {o.name: y for o, y in zip(outputs, found)}

    return Model(graph, inputs, outputs, replace(source, path=symbol_file, inputs=inputs), oracle, derived)


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return Tensor(value.name, dtype, tuple(d.dim_value for d in kind.shape.dim))


def _named(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if any(not name.startswith(("arg:", "aux:")) for name in arrays):
        raise FormatError(EXPORT)
    return {name[4:]: array for name, array in arrays.items()}


def _inputs(
    source: Source, symbol: Symbol, params: dict[str, np.ndarray], shapes: Shapes | None
) -> tuple[tuple[Tensor, ...], str | None]:
    """The inputs in the order of the symbol, and the DataInputConfig text where it was derived."""
    used, labels = symbol.used(), symbol.labels()
    variables = [n for n, u in zip(symbol.nodes, used) if n.op == "null" and u and n.name not in params]
    names = list(dict.fromkeys(n.name for n in variables))
    if not names:
        raise FormatError("the network has no inputs; every variable is a parameter.")
    if shapes is None:
        given, derived = _derived(source, symbol, names), True
    else:
        given, derived = shapes.for_names(names), False
    missing = [n for n in names if n not in given]
    if missing:
        raise InputError(
            f"DataInputConfig gives no shape for {', '.join(missing)}; the MXNet model has the inputs {', '.join(names)}."
        )
    unknown = [n for n in given if n not in names and n not in labels and not n.endswith("label")]
    if unknown:
        raise InputError(
            f"DataInputConfig names {', '.join(unknown)}; the MXNet model has the inputs {', '.join(names)}."
        )
    kinds = {n.name: DTYPES.get(n.text("__dtype__", "0"), "float32") for n in variables}
    tensors = tuple(Tensor(n, kinds[n], _fixed(source, n, given[n])) for n in names)
    text = json.dumps({t.name: list(t.shape) for t in tensors}, separators=(",", ":")) if derived else None
    return tensors, text


def _derived(source: Source, symbol: Symbol, names: list[str]) -> dict[str, tuple[int, ...]]:
    found = written_shapes(source.root)
    for node in symbol.variables():
        shape = node.wholes("__shape__")
        if node.name in names and shape and all(shape[1:]):
            found.setdefault(node.name, (shape[0] or 1, *shape[1:]))
    if any(n not in found for n in names):
        raise InputError(NOT_DERIVED)
    return {n: found[n] for n in names}


def _fixed(source: Source, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if -1 in shape[1:]:
        raise InputError(
            f"DataInputConfig gives {list(shape)} for input '{name}'; only the first dimension of an MXNet input may be -1."
        )
    if shape and shape[0] == -1:
        source.log(f"Input '{name}': the free batch is compiled as 1.")
        return (1, *shape[1:])
    return shape
