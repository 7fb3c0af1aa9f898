"""Many rows through a model of a fixed batch, and outputs compared with what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neo_cli.runtime.errors import RunError
from neo_cli.runtime.model import Model


def run_rows(model: Model, inputs: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], int]:
    """The outputs, and how many runs they took.

    Inputs of the model's own shapes are one run. Where every input has `k` times the model's first size, the model
    runs `k` times and the outputs are joined.
    """
    count = _repeats(model, inputs)
    if count == 1:
        return model.run(inputs), 1
    sizes = {t["name"]: t["shape"][0] for t in model.inputs}
    parts: list[dict[str, np.ndarray]] = []
    for index in range(count):
        cut = {n: a[index * sizes[n] : (index + 1) * sizes[n]] for n, a in inputs.items()}
        parts.append(model.run(cut))
    return {n: np.concatenate([np.atleast_1d(p[n]) for p in parts]) for n in parts[0]}, count


def _repeats(model: Model, inputs: Mapping[str, np.ndarray]) -> int:
    """How many times the fixed batch goes into every input alike; 1 where it does not, and `run` says what is wrong."""
    counts = set()
    for tensor in model.inputs:
        array, shape = inputs.get(tensor["name"]), tensor["shape"]
        if array is None or not shape or shape[0] < 1 or array.ndim != len(shape) or len(array) % shape[0]:
            return 1
        counts.add(len(array) // shape[0])
    return counts.pop() if len(counts) == 1 and counts != {0} else 1


def compare(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """For each expected array: the largest difference, or for whole-number labels the share of rows they name."""
    found: dict[str, dict[str, Any]] = {}
    for name, wanted in expected.items():
        if name not in outputs:
            raise RunError(f"The model has no output '{name}'; its outputs are {', '.join(outputs)}.")
        array = outputs[name]
        if array.shape == wanted.shape and array.dtype.kind not in "OUSb":
            found[name] = {"MaxError": float(np.abs(array.astype(np.float64) - wanted).max(initial=0))}
        elif wanted.dtype.kind in "iu" and array.ndim == 2 and wanted.shape == array.shape[:1]:
            found[name] = {"Accuracy": float(np.mean(array.argmax(1) == wanted))}
        else:
            raise RunError(
                f"The output '{name}' is {list(array.shape)}; what is expected is {list(wanted.shape)}: "
                "give the same shape, or a whole number a row for labels."
            )
    return found
