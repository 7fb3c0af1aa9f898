"""A fitted scikit-learn estimator as ONNX through skl2onnx, with plain arrays as outputs."""

from __future__ import annotations

import warnings
from typing import Any

import onnx

from neo_cli.base.errors import InputError, OperatorNotImplemented
from neo_cli.frontends.sklearn_columns import Column, parts
from neo_cli.frontends.sklearn_forest import undivided
from neo_cli.model.graph import ML_OPSET, OPSET

NOT_CONVERTED = "TVM cannot convert Scikit-Learn model. Please make sure the framework you selected is correct. {}"


def convert(estimator: Any, columns: list[Column]) -> onnx.ModelProto:
    """The model; input `input` [batch, n], or one input for each column where some are text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    from sklearn.base import is_classifier

    if any(c.text for c in columns):
        kinds = [(c.name, (StringTensorType if c.text else FloatTensorType)([None, 1])) for c in columns]
    else:
        kinds = [("input", FloatTensorType([None, len(columns)]))]

    def attempt(options: dict[int, dict[str, Any]] | None) -> onnx.ModelProto:
        opsets = {"": OPSET, "ai.onnx.ml": ML_OPSET}
        with warnings.catch_warnings():  # skl2onnx warns of what scikit-learn and protobuf will change
            warnings.simplefilter("ignore")
            return convert_sklearn(estimator, "sklearn", kinds, options=options, target_opset=opsets)

    last = _last(estimator)
    try:
        try:  # without the option, classifiers give a list of dictionaries; those that do not know it give arrays
            model = attempt({id(last): {"zipmap": False}} if is_classifier(last) else None)
        except (NameError, RuntimeError, ValueError) as error:
            if "zipmap" not in str(error):
                raise
            model = attempt({id(last): {}})  # an entry of its own, else a pipeline sets the option by itself
    except (MissingConverter, MissingShapeCalculator) as error:
        raise OperatorNotImplemented(
            f"The Scikit-Learn estimator {_named(estimator, error)} is not supported."
        ) from error
    except Exception as error:  # skl2onnx raises what the estimator's own code raises
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        raise InputError(NOT_CONVERTED.format((lines or [type(error).__name__])[0][:300])) from error
    if type(last).__name__ == "SGDClassifier":
        _label_from_scores(model.graph)
    undivided(model.graph, last)
    for value in (*model.graph.input, *model.graph.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    return model


def _label_from_scores(graph: onnx.GraphProto) -> None:
    """skl2onnx takes the label from the probabilities, which are all 0 or 1 far from the data; scikit-learn does not."""
    scores = [n.output[0] for n in graph.node if n.op_type == "Add" and any(v.startswith("intercept") for v in n.input)]
    for node in graph.node:
        if node.op_type == "ArgMax" and scores:
            node.input[0] = scores[-1]


def _last(estimator: Any) -> Any:
    while hasattr(estimator, "steps"):
        estimator = estimator.steps[-1][1]
    return estimator


def _named(estimator: Any, error: Exception) -> str:
    text = str(error)
    named = [type(part).__name__ for part in parts(estimator) if type(part).__name__ in text]
    return max(named, key=len) if named else type(estimator).__name__
