"""What a fitted scikit-learn model takes: one matrix of numbers, or named columns where some are text."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Column:
    """A column's name, and for text a value it is known to hold."""

    name: str
    example: str | None = None

    @property
    def text(self) -> bool:
        return self.example is not None


def unwrap(estimator: Any) -> Any:
    """The estimator that predicts: a search's best one."""
    while hasattr(estimator, "best_estimator_"):
        estimator = estimator.best_estimator_
    return estimator


def features(estimator: Any) -> int | None:
    """The number of columns it was fitted on; None where it does not say."""
    count = getattr(estimator, "n_features_in_", None)
    if count is None and hasattr(estimator, "steps"):
        return features(estimator.steps[0][1])
    return int(count) if count is not None else None


def positional(estimator: Any) -> Any:
    """A copy whose ColumnTransformers select by position: then it takes plain arrays, and no frame is needed."""
    estimator = copy.deepcopy(estimator)
    for transformer in parts(estimator):
        places = getattr(transformer, "_transformer_to_input_indices", None)
        if places is None or not hasattr(transformer, "transformers_"):
            continue
        transformer.transformers_ = [
            (name, step, list(places.get(name, columns))) for name, step, columns in transformer.transformers_
        ]
        if hasattr(transformer, "feature_names_in_"):
            del transformer.feature_names_in_
    for part in parts(estimator):
        if "feature_names_in_" in vars(part):
            del part.feature_names_in_
    return estimator


def without_text_imputers(estimator: Any) -> tuple[Any, int]:
    """A copy without the imputers of text columns, and how many there were: a text input is never missing in ONNX."""
    estimator, count = copy.deepcopy(estimator), 0
    for part in parts(estimator):
        if not hasattr(part, "steps"):
            continue
        kept = [(name, step) for name, step in part.steps if not _imputes_text(step)]
        if kept and len(kept) < len(part.steps):
            count += len(part.steps) - len(kept)
            part.steps = kept
    return estimator, count


def _imputes_text(step: Any) -> bool:
    statistics = getattr(step, "statistics_", None)
    return statistics is not None and len(statistics) > 0 and all(isinstance(v, str) for v in statistics)


def columns(estimator: Any, count: int) -> list[Column]:
    """The columns in order, each number or text, as the encoders of a ColumnTransformer have learned them."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None and hasattr(estimator, "steps"):
        names = getattr(estimator.steps[0][1], "feature_names_in_", None)
    labels = [str(n) for n in names] if names is not None else [f"input{i}" for i in range(count)]
    first = estimator.steps[0][1] if hasattr(estimator, "steps") else estimator
    texts: dict[int, str] = {}
    places = getattr(first, "_transformer_to_input_indices", None)
    if places is None:
        texts |= {i: found for i in range(count) if (found := _text(first, i)) is not None}
    else:
        for name, step, _ in first.transformers_:
            for position, index in enumerate(places.get(name, [])):
                if (found := _text(step, position)) is not None:
                    texts[int(index)] = found
    return [Column(label, texts.get(i)) for i, label in enumerate(labels)]


def _text(step: Any, position: int) -> str | None:
    """A text that column `position` of what `step` was fitted on held; None where it held numbers."""
    if hasattr(step, "steps"):
        found = [_text(part, position) for _, part in reversed(step.steps)]
        return next((f for f in found if f is not None), None)
    categories = getattr(step, "categories_", None)
    if categories is not None and position < len(categories):
        return next((str(v) for v in np.asarray(categories[position], dtype=object) if isinstance(v, str)), None)
    statistics = getattr(step, "statistics_", None)
    if statistics is not None and position < len(statistics) and isinstance(statistics[position], str):
        return str(statistics[position])
    return None


def migrate(estimator: Any) -> None:
    """Adds what today's scikit-learn expects in objects that an older version pickled."""
    for part in parts(estimator):
        if type(part).__name__ == "SimpleImputer" and not hasattr(part, "_fill_dtype") and hasattr(part, "_fit_dtype"):
            part._fill_dtype = part._fit_dtype  # since 1.6 the type of what is filled in is kept beside the data's


def parts(estimator: Any) -> list[Any]:
    """The estimator and those it holds, each once."""
    found: list[Any] = []
    waiting, seen = [estimator], set()
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, list | tuple):
            waiting += list(part)
        elif isinstance(part, dict):
            waiting += list(part.values())
        elif type(part).__module__.startswith("sklearn.") and hasattr(part, "__dict__"):
            found.append(part)
            waiting += list(vars(part).values())
    return found
