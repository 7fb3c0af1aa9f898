"""XGBOOST: any file XGBoost ever wrote, as a Model with input `data` and output `output_0` [batch, columns]."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.base.errors import InputError
from neo_cli.frontends import xgboost_graph
from neo_cli.frontends.xgboost_files import NOT_CONVERTED, binary_names, kind, pick
from neo_cli.frontends.xgboost_model import BrokenModel, Ensemble, link_of, read_json, read_treelite
from neo_cli.model import unpickle
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

MISSING = "XGBOOST needs xgboost and treelite, which are not installed. Type: pip install 'neo-cli[xgboost]'"
UNTRUSTED = (
    "{} is a pickle, which can carry code. Save the model with Booster.save_model('xgboost-model.json') instead, or give "
    "--trust-model if you trust its origin."
)
Predict = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Read:
    """What a reader found: the ensemble, the framework's own prediction, and the version that wrote the file."""

    ensemble: Ensemble
    predict: Predict
    version: str
    best: int | None = None


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's booster; any number of rows, NaN is a missing value."""
    path = pick(source.root)
    form = kind(path)
    if form == "pickle" and not source.trusted:
        raise InputError(UNTRUSTED.format(path.name))
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = _read_binary(path) if form == "binary" else _read_booster(path, form)
    except BrokenModel as error:
        raise InputError(NOT_CONVERTED.format(error)) from error
    except ImportError as error:
        raise InputError(MISSING) from error
    for warning in heard:
        source.log(f"XGBoost: {str(warning.message).splitlines()[0]}")
    source.log(f"Model Version found: XGBoost {found.version} ({form})")
    ensemble = found.ensemble
    if found.best is not None and 0 <= found.best + 1 < ensemble.rounds:
        source.log(
            f"The model has {ensemble.rounds} rounds, its best was {found.best + 1}; all are compiled, as Booster.predict uses all."
        )
    _check_shape(source, shapes, ensemble.features)
    graph = xgboost_graph.build(ensemble)
    inputs = (Tensor(xgboost_graph.INPUT, "float32", (-1, ensemble.features)),)
    columns = 1 if ensemble.link == "argmax" else ensemble.targets
    outputs = (Tensor(xgboost_graph.OUTPUT, "float32", (-1, columns)),)

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        data = np.ascontiguousarray(arrays[xgboost_graph.INPUT], np.float32)
        return {xgboost_graph.OUTPUT: np.asarray(found.predict(data), np.float32).reshape(len(data), columns)}

    derived = None if shapes is not None else f'{{"data":[1,{ensemble.features}]}}'
    return Model(graph, inputs, outputs, replace(source, path=path, inputs=inputs), oracle, derived)


def _check_shape(source: Source, shapes: Shapes | None, features: int) -> None:
    if shapes is None:
        return
    given = [*shapes.named.values(), *shapes.listed]
    if len(given) != 1 or len(given[0]) != 2 or given[0][1] not in (-1, features):
        text = ", ".join(str(list(s)) for s in given) or "no shape"
        raise InputError(f"DataInputConfig gives {text}; the XGBoost model takes [-1, {features}].")
    if given[0][0] != -1:
        source.log("DataInputConfig: the compiled model takes any number of rows.")


def _read_booster(path: Path, form: str) -> Read:
    import xgboost

    if form == "pickle":
        booster = _unpickled(path)
    else:
        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray(path.read_bytes()))
        except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
            raise BrokenModel(_first_line(error)) from error
    saved = json.loads(bytes(booster.save_raw("json")))
    ensemble = read_json(saved)
    version = _written_by(path) if form == "json" else "unknown"
    names, types = booster.feature_names, booster.feature_types

    def predict(data: np.ndarray) -> np.ndarray:
        matrix = xgboost.DMatrix(data, feature_names=names, feature_types=types, enable_categorical=True, nthread=1)
        return booster.predict(matrix)

    best = saved["learner"].get("attributes", {}).get("best_iteration")
    return Read(ensemble, predict, version, int(best) if str(best).isdigit() else None)


def _written_by(path: Path) -> str:
    """The version in the JSON text itself; XGBoost has put its own there once the model is loaded."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        match = re.search(rb'"version":\s*\[(\d+),\s*(\d+),\s*(\d+)\]', file.read())
    return ".".join(part.decode() for part in match.groups()) if match else "unknown"


def _unpickled(path: Path) -> Any:
    import xgboost

    try:
        found = unpickle.load(path, ("python", "numpy", "xgboost"))
    except unpickle.Forbidden as error:
        raise InputError(f"{path.name} was not loaded: {error}.") from error
    except ImportError:
        raise
    except Exception as error:  # a broken pickle can raise anything at all
        raise BrokenModel(_first_line(error)) from error
    if isinstance(found, xgboost.Booster):
        return found
    if isinstance(found, xgboost.XGBModel):
        try:
            return found.get_booster()
        except Exception as error:  # not fitted
            raise BrokenModel(_first_line(error)) from error
    raise InputError(f"{path.name} holds a {type(found).__name__}, not an XGBoost Booster or XGBModel.")


def _read_binary(path: Path) -> Read:
    import treelite

    objective, booster = binary_names(path)
    if booster == "gblinear":
        raise BrokenModel(f"{path.name} is a gblinear model in the binary format, which only XGBoost before 2 reads.")
    try:
        model = treelite.frontend.load_xgboost_model_legacy_binary(str(path))
    except Exception as error:  # treelite raises its own and plain errors
        raise BrokenModel(_first_line(error)) from error
    ensemble = read_treelite(json.loads(model.dump_as_json(pretty_print=False)), model.num_feature)
    ensemble = replace(ensemble, link=link_of(objective)[0])  # treelite takes multi:softmax for multi:softprob

    def predict(data: np.ndarray) -> np.ndarray:
        found = np.asarray(treelite.gtil.predict(model, data, nthread=1))
        return found.argmax(axis=-1) if ensemble.link == "argmax" else found

    return Read(ensemble, predict, "before 2")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and "Stack trace" not in line]
    text = lines[0] if lines else type(error).__name__
    return text[:200] + ("" if text.endswith(".") else ".")
