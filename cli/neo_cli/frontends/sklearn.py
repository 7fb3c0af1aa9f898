"""SKLEARN: a fitted estimator or pipeline, as a Model with input `input` [batch, features]."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from neo_cli.base.errors import InputError, OperatorNotImplemented
from neo_cli.frontends.sklearn_columns import (
    Column,
    columns,
    features,
    migrate,
    parts,
    positional,
    unwrap,
    without_text_imputers,
)
from neo_cli.frontends.sklearn_convert import convert
from neo_cli.frontends.sklearn_files import cannot, pick, read
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

# What ONNX output is what method of the estimator, first one that exists.
METHODS = {
    "label": ("predict",),
    "probabilities": ("predict_proba", "decision_function"),
    "scores": ("decision_function", "transform"),
    "variable": ("predict", "transform"),
}


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's estimator; any number of rows. Columns of text are inputs of their own."""
    path = pick(source.root)
    estimator = unwrap(read(source, path))
    migrate(estimator)
    _refuse(estimator)
    count = features(estimator)
    if count is None:
        raise InputError(
            f"The Scikit-Learn estimator {type(estimator).__name__} is not fitted: it has no n_features_in_."
        )
    found = columns(estimator, count)
    text = any(c.text for c in found)
    derived = _check_shapes(source, shapes, found, text)
    estimator, dropped = without_text_imputers(positional(estimator))
    if dropped:
        source.log("Text inputs are never missing in a compiled model; the imputers of text columns are left out.")
    graph = convert(estimator, found)
    inputs = tuple(_tensor(value) for value in graph.graph.input)
    samples: dict[str, np.ndarray] = {"input": np.zeros((2, count), np.float32)}
    if text:
        samples = {
            c.name: np.full((2, 1), c.example, object) if c.text else np.zeros((2, 1), np.float32) for c in found
        }
    outputs = _outputs(graph, samples)
    oracle = _oracle(estimator, found if text else [], outputs)
    try:
        oracle(samples)
    except Exception as error:  # scikit-learn may load what it can no longer run
        raise InputError(cannot(error)) from error
    return Model(graph, inputs, outputs, replace(source, path=path, inputs=inputs), oracle, derived)


def _refuse(estimator: Any) -> None:
    """What skl2onnx would turn into something else than arrays of rows."""
    for part in parts(estimator):
        if hasattr(part, "vocabulary_"):
            raise OperatorNotImplemented(
                f"The Scikit-Learn estimator {type(part).__name__} reads documents, which is not supported."
            )
    if isinstance(getattr(estimator, "classes_", None), list):
        raise OperatorNotImplemented(
            f"The Scikit-Learn estimator {type(estimator).__name__} with several labels is not supported."
        )


def _check_shapes(source: Source, shapes: Shapes | None, found: list[Column], text: bool) -> str | None:
    """The DataInputConfig text where it was left out; Neo's words where the one given does not fit."""
    wanted = {c.name: [1, 1] for c in found} if text else {"input": [1, len(found)]}
    if shapes is None:
        return json.dumps(wanted, separators=(",", ":"))
    given = [*shapes.named.values(), *shapes.listed]
    for shape in given:
        if len(shape) != 2:
            raise InputError(f"InputShape for Sklearn model must have two dimensions, but got {len(shape)}.")
    if text:
        if set(shapes.for_names(list(wanted))) != set(wanted) or any(s[1] != 1 for s in given):
            example = json.dumps({name: [-1, 1] for name in wanted})
            raise InputError(f"The Scikit-Learn model has columns of text; DataInputConfig must be {example}.")
        return None
    if len(given) != 1:
        raise InputError(f"DataInputConfig gives {len(given)} shapes; a Scikit-Learn model has one input.")
    if given[0][1] == -1:
        raise InputError(
            "InputShape for Sklearn model must have a static value for the second dimension, equal to the number of input "
            "columns or features."
        )
    if given[0][1] != len(found):
        raise InputError(f"DataInputConfig gives {list(given[0])}; the Scikit-Learn model takes [-1, {len(found)}].")
    if list(shapes.named) not in ([], ["input"]):
        source.log(f"DataInputConfig: the name '{next(iter(shapes.named))}' is ignored; the input is called 'input'.")
    return None


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    text = kind.elem_type == onnx.TensorProto.STRING
    dtype = "str" if text else onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return Tensor(value.name, dtype, (-1, *(d.dim_value for d in kind.shape.dim[1:])))


def _outputs(graph: onnx.ModelProto, samples: dict[str, np.ndarray]) -> tuple[Tensor, ...]:
    """Names, types and shapes as they really come out: skl2onnx leaves dimensions open."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        values = session.run(names, samples)
    except Exception as error:  # the runtime has no common base class for its errors
        raise InputError(
            "TVM cannot convert Scikit-Learn model. Please make sure the framework you selected is correct. "
            f"{str(error).splitlines()[0][:300]}"
        ) from error
    if not all(isinstance(v, np.ndarray) for v in values):
        raise InputError("TVM cannot convert Scikit-Learn model. It gives lists of dictionaries instead of arrays.")
    for declared, value in zip(graph.graph.output, values):
        shape = declared.type.tensor_type.shape
        del shape.dim[:]
        shape.dim.add().dim_param = "batch"
        for size in value.shape[1:]:
            shape.dim.add().dim_value = size
    return tuple(
        Tensor(n, "str" if v.dtype == object else v.dtype.name, (-1, *v.shape[1:])) for n, v in zip(names, values)
    )


def _oracle(
    estimator: Any, by_column: list[Column], outputs: tuple[Tensor, ...]
) -> Callable[[Arrays], dict[str, np.ndarray]]:
    calls = {o.name: _method(estimator, o.name) for o in outputs}

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        if by_column:
            data = np.concatenate([np.asarray(arrays[c.name], object) for c in by_column], axis=1)
        else:
            data = np.asarray(next(iter(arrays.values())))
        found: dict[str, np.ndarray] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for output in outputs:
                value = calls[output.name](data)
                value = np.asarray(value.toarray() if hasattr(value, "toarray") else value)
                if output.dtype == "str":
                    found[output.name] = value.astype(str).astype(object)
                else:
                    found[output.name] = value.astype(output.dtype).reshape(len(data), *output.shape[1:])
        return found

    return oracle


def _method(estimator: Any, output: str) -> Callable[[Any], Any]:
    for name in METHODS.get(output, ("transform", "predict")):
        call = getattr(estimator, name, None)
        if call is not None:
            return call
    raise InputError(f"The Scikit-Learn estimator {type(estimator).__name__} has no method that gives '{output}'.")
