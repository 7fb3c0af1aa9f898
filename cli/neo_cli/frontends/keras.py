"""KERAS: .keras and .h5 of Keras 3 and Keras 2, run by Keras itself as the oracle.

DataInputConfig is NCHW although the file is NHWC, as Neo has it; the compiled model takes NCHW.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.base.errors import InputError
from neo_cli.frontends import keras_files as files
from neo_cli.model import proto, tf_graph
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

CONVERT = "TVM cannot convert the Keras model."


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's one Keras file; InputError in Neo's words where it cannot be had."""
    path = files.find(source.root)
    tf_graph.require("KERAS")
    tf_graph.tensorflow()
    config, version = files.configuration(path)
    if not source.trusted:
        raise InputError(
            f"{path.name} may hold code, and no sandbox works on this machine: give --trust-model to load it all the same."
        )
    source.log(f"Keras model {path.name}, written by Keras {version}")
    keras_model = _read(path, config)
    pinned, derived = _pinned(keras_model, shapes)
    images = [t.name for t in pinned if len(t.shape) == 4]
    own = tuple(replace(t, shape=_nhwc(t.shape)) if t.name in images else t for t in pinned)
    names = _names(keras_model)

    def call(*arguments: Any) -> list[Any]:
        results = keras_model(list(arguments) if len(arguments) > 1 else arguments[0], training=False)
        return _listed(results)

    graph = tf_graph.convert(call, own, names, images, CONVERT)
    proto.forget_shapes(graph)
    proto.infer(graph)

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        given = [
            np.moveaxis(np.asarray(arrays[t.name]), 1, -1) if t.name in images else np.asarray(arrays[t.name])
            for t in pinned
        ]
        with tf_graph.quiet():
            results = call(*(tf_graph.tensorflow().constant(a) for a in given))
        return {name: value.numpy() for name, value in zip(names, results, strict=True)}

    samples = source.root / "samples.npz"
    if derived:
        source.log(f"DataInputConfig derived from the model: {derived}")
    source = replace(source, path=path, inputs=pinned, handle=keras_model)
    return Model(
        graph,
        pinned,
        proto.tensors(graph.graph.output),
        source,
        oracle,
        derived,
        samples if samples.is_file() else None,
    )


def _read(path: Path, config: dict[str, Any]) -> Any:
    with tf_graph.quiet():
        import keras

        with tempfile.TemporaryDirectory() as folder:
            readable = files.for_keras_3(path, config, Path(folder)) if path.suffix != ".keras" else path
            try:
                return keras.models.load_model(str(readable), compile=False, safe_mode=True)
            except Exception as error:  # Keras raises many kinds
                raise InputError(
                    f"{files.LOAD} {type(error).__name__}: {' '.join(str(error).split())[:300]}"
                ) from error


def _pinned(model: Any, shapes: Shapes | None) -> tuple[tuple[Tensor, ...], str | None]:
    """The inputs as the compiled model takes them (NCHW images), and the derived DataInputConfig."""
    own = {t.name: (tuple(-1 if n is None else n for n in t.shape), str(t.dtype)) for t in model.inputs}
    if shapes is None:
        tensors = []
        for name, (shape, dtype) in own.items():
            if any(n < 1 for n in shape[1:]):
                raise InputError(
                    f"The model leaves sizes of '{name}' open, {list(shape)}; give DataInputConfig, images as NCHW."
                )
            tensors.append(Tensor(name, dtype, _nchw((1, *shape[1:]))))
        return tuple(tensors), json.dumps({t.name: list(t.shape) for t in tensors}, separators=(",", ":"))
    given = shapes.for_names(list(own))
    missing = [name for name in own if name not in given]
    if missing:
        raise InputError(
            f"Model contains input layer ({missing[0]}) not specified in data_shape. Please specify all input layers in data_shape."
        )
    unknown = [name for name in given if name not in own]
    if unknown:
        raise InputError(
            f"DataInputConfig names the input '{unknown[0]}', which the model does not have. The model's inputs are {', '.join(own)}."
        )
    return tuple(Tensor(name, dtype, _fitting(name, given[name], shape)) for name, (shape, dtype) in own.items()), None


def _fitting(name: str, given: tuple[int, ...], own: tuple[int, ...]) -> tuple[int, ...]:
    wanted = _nchw(own)
    if given and own and own[0] > 0 and given[0] != own[0]:
        raise InputError(f"Input {name} has wrong batch size in Input Shape dictionary.")
    if len(given) != len(wanted) or any(w > 0 and g != w for g, w in zip(given[1:], wanted[1:], strict=False)):
        example = ",".join(str(max(1, n)) for n in wanted)
        layout = " Input shapes should be provided in NCHW format." if len(own) == 4 else ""
        raise InputError(f"Input {name} has wrong shape in Input Shape dictionary.{layout} For example, ({example})")
    if -1 in given:
        raise InputError(
            f"DataInputConfig leaves a size of '{name}' open, {list(given)}; Keras models are compiled for fixed sizes."
        )
    return given


def _nchw(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[3], shape[1], shape[2]) if len(shape) == 4 else shape


def _nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else shape


def _listed(results: Any) -> list[Any]:
    if isinstance(results, dict):
        return [results[k] for k in results]
    return list(results) if isinstance(results, list | tuple) else [results]


def _names(model: Any) -> list[str]:
    """Unique names of the outputs: the dictionary's keys, else the output layers'."""
    structure: Any = getattr(model, "_outputs_struct", None)
    names: Sequence[str] = (
        list(structure)
        if isinstance(structure, dict)
        else list(getattr(model, "output_names", None) or [model.layers[-1].name])
    )
    return [n if list(names).index(n) == i else f"{n}_{i}" for i, n in enumerate(names)]
