"""Inputs to check a model with: seeded, within the ranges its graph allows, and the archive's own samples."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neo_cli.base.errors import InputError
from neo_cli.model import proto
from neo_cli.model.model import Model, Tensor
from neo_cli.model.ranges import Limits, allowed, known_words

SAMPLE_BYTES = 2 << 30
MAX_SAMPLES = 16  # rows of samples.npz that the check runs
BATCH = 3  # a free batch is checked at this size and at 1
ALWAYS = 2  # seeded feeds that every check uses; the rest are for outputs that these leave unjudged
_SPREADS = (("uniform", BATCH), ("normal", 1), ("wide", 1), ("pixel", 1), ("smooth", 1))


def seeded(model: Model, seed: int = 0) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Feeds named by how their floats are spread: uniform in [0, 1), normal, then rarer ones."""
    random = np.random.default_rng(seed)
    ranges = {t.name: allowed(model.graph.graph, t) for t in model.inputs}
    words = known_words(model.graph.graph)
    for spread, batch in _SPREADS:
        yield spread, {t.name: _draw(t, random, spread, batch, ranges[t.name], words) for t in model.inputs}


def nudged(inputs: dict[str, np.ndarray], steps: int = 1, seed: int = 1) -> dict[str, np.ndarray] | None:
    """The same inputs with every float moved to a neighbour, `steps` times; None where there is no float to move."""
    random = np.random.default_rng(seed)
    moved = dict(inputs)
    for name, array in inputs.items():
        if array.dtype.kind == "f":
            end = np.where(random.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
            for _ in range(steps):
                moved[name] = np.nextafter(moved[name], end)
    return moved if any(moved[n] is not inputs[n] for n in inputs) else None


def samples(model: Model) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """The feeds in the archive's samples.npz: arrays by input name, each of the input's shape or with rows of it."""
    if model.samples is None:
        return
    arrays = _read(model.samples, [t.name for t in model.inputs])
    rows: dict[str, list[np.ndarray]] = {}
    for tensor in model.inputs:
        rows[tensor.name] = _rows(tensor, arrays[tensor.name])
    counts = {len(found) for found in rows.values()}
    if len(counts) != 1:
        told = ", ".join(f"{n}: {len(r)}" for n, r in rows.items())
        raise InputError(f"samples.npz holds different numbers of samples by input ({told}).")
    for index in range(min(counts.pop(), MAX_SAMPLES)):
        yield f"sample {index}", {name: found[index] for name, found in rows.items()}


def _read(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(i.file_size for i in archive.infolist()) > SAMPLE_BYTES:
                raise InputError(f"samples.npz unpacks to more than {SAMPLE_BYTES >> 30} GiB.")
        with np.load(path, allow_pickle=False) as file:
            if sorted(file.files) != sorted(names):
                raise InputError(
                    f"samples.npz holds {', '.join(file.files)}; the model's inputs are {', '.join(names)}."
                )
            return {name: file[name] for name in names}
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"samples.npz cannot be read: {error}") from error


def _rows(tensor: Tensor, array: np.ndarray) -> list[np.ndarray]:
    if array.dtype.kind in "US":
        array = array.astype(object)
    elif tensor.dtype != array.dtype.name:
        if array.dtype.kind == "f" and np.dtype(tensor.dtype).kind not in "fV":
            raise InputError(
                f"samples.npz gives '{tensor.name}' as {array.dtype.name}; the model wants {tensor.dtype}."
            )
        array = array.astype(tensor.dtype)
    shape, rank = tensor.shape, len(tensor.shape)
    if array.ndim == rank and _fits(shape, array.shape):
        return [array]
    if array.ndim == rank + 1 and _fits(shape, array.shape[1:]):
        return list(array)
    if array.ndim == rank and rank and shape[0] == 1 and _fits(shape[1:], array.shape[1:]):
        return [row[None] for row in array]
    raise InputError(
        f"samples.npz gives '{tensor.name}' the shape {list(array.shape)}; the model wants {list(shape)}, or rows of it."
    )


def _fits(shape: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return len(shape) == len(found) and all(w in (proto.FREE, s) for w, s in zip(shape, found))


def _draw(
    tensor: Tensor,
    random: np.random.Generator,
    spread: str,
    batch: int,
    limits: Limits | None,
    words: list[str],
) -> np.ndarray:
    shape = tuple(batch if size == proto.FREE else size for size in tensor.shape)
    if tensor.dtype == "str":
        return random.choice(np.array(words, object), shape)
    if tensor.dtype == "bool":
        return random.random(shape) < 0.5
    dtype = _dtype(tensor.dtype)
    if dtype.kind in "iu":
        return _integers(tensor, dtype, random, shape, limits)
    if limits is not None:
        return random.uniform(*limits, shape).astype(dtype)
    return _floats(random, spread, shape).astype(dtype)


def _floats(random: np.random.Generator, spread: str, shape: tuple[int, ...]) -> np.ndarray:
    if spread in ("uniform", "pixel"):
        return random.random(shape) * (255 if spread == "pixel" else 1)
    drawn = random.standard_normal(shape)
    if spread == "smooth":
        for axis in range(max(0, len(shape) - 2), len(shape)):
            drawn = np.cumsum(drawn, axis)
        return drawn / (np.abs(drawn).max(initial=0) or 1) * 2
    return drawn * (4 if spread == "wide" else 1)


def _dtype(name: str) -> np.dtype:
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        return np.dtype(getattr(ml_dtypes, name))


def _integers(
    tensor: Tensor,
    dtype: np.dtype,
    random: np.random.Generator,
    shape: tuple[int, ...],
    limits: Limits | None,
) -> np.ndarray:
    if limits is not None:
        return random.integers(
            np.floor(limits[0]).astype(np.int64), np.ceil(limits[1]).astype(np.int64) + 1, shape
        ).astype(dtype)
    if dtype.itemsize == 1 or len(shape) >= 4:  # pixels
        info = np.iinfo(dtype)
        return random.integers(max(info.min, -128), min(info.max, 255) + 1, shape).astype(dtype)
    drawn = random.integers(0, 2, shape)  # masks, segments, flags
    if drawn.ndim:
        drawn[..., 0] = 1
    return drawn.astype(dtype)
