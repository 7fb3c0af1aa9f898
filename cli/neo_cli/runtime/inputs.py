"""Inputs fit the model, or one sentence says which of its inputs the model wants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neo_cli.runtime.errors import RunError

FREE = -1


def describe(tensors: list[dict[str, Any]]) -> str:
    """`x float32[1,3,224,224], mask int64[1,128]`."""
    return ", ".join(_one(t["name"], t["dtype"], t["shape"]) for t in tensors)


def check(inputs: Mapping[str, Any], wanted: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The inputs as arrays, in the model's order; RunError when a name, dtype or shape does not fit."""
    names = [t["name"] for t in wanted]
    unknown = [n for n in inputs if n not in names]
    absent = [n for n in names if n not in inputs]
    if unknown or absent:
        fault = f"has no input '{unknown[0]}'" if unknown else f"needs the input '{absent[0]}'"
        raise RunError(f"The model {fault}; its inputs are {describe(wanted)}.")
    arrays = {}
    for tensor in wanted:
        array = np.asarray(inputs[tensor["name"]])
        found = "str" if array.dtype.kind in "UO" else array.dtype.name
        shape = tensor["shape"]
        fits = len(shape) == array.ndim and all(w in (FREE, s) for w, s in zip(shape, array.shape))
        if found != tensor["dtype"] or not fits:
            raise RunError(
                f"The input '{tensor['name']}' is {_one('', found, array.shape)}; "
                f"the model wants {_one('', tensor['dtype'], shape)}. Its inputs are {describe(wanted)}."
            )
        arrays[tensor["name"]] = array
    return arrays


def _one(name: str, dtype: str, shape: Any) -> str:
    sizes = ",".join("?" if s == FREE else str(s) for s in shape)
    return f"{name} {dtype}[{sizes}]".strip()


def drawn(wanted: list[dict[str, Any]], seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays that fit: floats in [0, 1), integers 0 or 1, which is an index everywhere."""
    random = np.random.default_rng(seed)
    found = {}
    for tensor in wanted:
        shape = [1 if size == FREE else size for size in tensor["shape"]]
        if tensor["dtype"] == "str":
            found[tensor["name"]] = np.full(shape, "a", object)
        else:
            dtype = np.dtype(tensor["dtype"])
            array = random.random(shape) if dtype.kind == "f" else random.integers(0, 2, shape)
            found[tensor["name"]] = np.asarray(array).astype(dtype)
    return found
