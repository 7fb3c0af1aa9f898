"""TFLITE: one .tflite file, read and converted without TensorFlow, run by LiteRT's interpreter as the oracle."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from neo_cli.base.errors import InputError
from neo_cli.frontends.tflite_convert import Converter
from neo_cli.frontends.tflite_file import TYPES, Broken, File, read
from neo_cli.model import proto
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

PIP = "pip install 'neo-cli[tflite]'"
WRONG = "Please make sure the framework you selected is correct."
CANNOT = "Framework cannot load TFLite model:"
ROOMS = ("tflite_flow", "tflite_layers", "tflite_math", "tflite_shapes")


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's one .tflite file; InputError in Neo's words where it cannot be had."""
    path = _file(source.root)
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise InputError(f"TFLITE models are checked with LiteRT's interpreter: {PIP}.")
    try:
        file = read(path)
    except Broken as error:
        raise InputError(f"{CANNOT} {path.name} is no TensorFlow Lite model: {error}.") from error
    for room in ROOMS:
        importlib.import_module(f"neo_cli.frontends.{room}")
    names = _names(file)
    inputs, derived = _pinned(file, names, shapes)
    oracle = _Oracle(path, [t.name for t in inputs], [names[i] for i in file.outputs], [t.shape for t in inputs])
    sizes = oracle.sizes(inputs)
    values = [
        helper.make_tensor_value_info(t.name, helper.np_dtype_to_tensor_dtype(np.dtype(t.dtype)), list(t.shape))
        for t in inputs
    ]
    graph = Converter(file, sizes, names).run(values)
    proto.forget_shapes(graph)
    proto.infer(graph)
    source.log(f"TensorFlow Lite model {path.name}: {len(file.operations)} operators")
    if derived:
        source.log(f"DataInputConfig derived from the model: {derived}")
    samples = source.root / "samples.npz"
    source = replace(source, path=path, inputs=inputs)
    return Model(
        graph,
        inputs,
        proto.tensors(graph.graph.output),
        source,
        oracle,
        derived,
        samples if samples.is_file() else None,
    )


class _Oracle:
    """LiteRT's interpreter on the untouched file."""

    def __init__(self, path: Path, inputs: list[str], outputs: list[str], shapes: list[tuple[int, ...]]) -> None:
        self.path, self.inputs, self.outputs, self.shapes = path, inputs, outputs, shapes
        self.interpreter: Any = None

    def __call__(self, arrays: Arrays) -> dict[str, np.ndarray]:
        with _silent():
            from ai_edge_litert.interpreter import Interpreter, OpResolverType

            if self.interpreter is None:  # without delegates, whose insides would hide the sizes of tensors
                kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                self.interpreter = Interpreter(str(self.path), experimental_op_resolver_type=kind)
                for detail, shape in zip(self.interpreter.get_input_details(), self.shapes, strict=True):
                    if tuple(detail["shape"]) != shape:
                        self.interpreter.resize_tensor_input(detail["index"], shape)
                self.interpreter.allocate_tensors()
            for detail, name in zip(self.interpreter.get_input_details(), self.inputs, strict=True):
                self.interpreter.set_tensor(detail["index"], np.ascontiguousarray(arrays[name]))
            self.interpreter.invoke()
        details = self.interpreter.get_output_details()
        return {
            name: self.interpreter.get_tensor(detail["index"])
            for name, detail in zip(self.outputs, details, strict=True)
        }

    def sizes(self, inputs: tuple[Tensor, ...]) -> dict[int, tuple[int, ...]]:
        """The shape of every tensor after a run on zeros: sizes that the graph computes are known then."""
        try:
            self({t.name: np.zeros(t.shape, t.dtype) for t in inputs})
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{CANNOT} {' '.join(str(error).split())[:300]}") from error
        with _silent():
            return {d["index"]: tuple(int(n) for n in d["shape"]) for d in self.interpreter.get_tensor_details()}

    def release(self) -> None:
        """Give back the interpreter; the next run starts another."""
        self.interpreter = None


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """LiteRT writes to the process's standard error itself."""
    keep, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(keep, 2)
        os.close(keep)
        os.close(null)


def _file(root: Path) -> Path:
    found = sorted(p for p in root.rglob("*.tflite") if p.is_file())
    if not found:
        raise InputError(f"No valid TFLite model found in input file. {WRONG}")
    if len(found) > 1:
        raise InputError("Exactly one .tflite file is allowed for TFLite models.")
    if found[0].read_bytes()[:12] == b"version http":
        raise InputError(
            f"{CANNOT} {found[0].name} is a Git LFS pointer and not the model itself; run 'git lfs pull' and make the archive again."
        )
    return found[0]


def _names(file: File) -> dict[int, str]:
    """The tensors' own names without ":0"; inputs and outputs never share one."""
    taken: set[str] = set()
    names = {}
    for index in [*file.inputs, *(i for i in file.outputs if i not in file.inputs)]:
        name = file.tensors[index].name.removesuffix(":0")
        while name in taken:
            name += "_"
        taken.add(name)
        names[index] = name
    return names


def _pinned(file: File, names: dict[int, str], shapes: Shapes | None) -> tuple[tuple[Tensor, ...], str | None]:
    """Every input with a fixed shape, and the derived DataInputConfig when the request gave none."""
    for index in file.inputs:
        tensor = file.tensors[index]
        if tensor.dtype not in TYPES.values():
            raise InputError(
                f"{CANNOT} Unsupported input data type for input {tensor.name} with tflite tensor type {tensor.dtype}"
            )
    aliases = {
        alias: names[i] for i in file.inputs for alias in (names[i], file.tensors[i].name, file.names.get(i, names[i]))
    }
    given = {} if shapes is None else shapes.for_names([names[i] for i in file.inputs])
    mine = (
        "The model's inputs are "
        + ", ".join(f"{names[i]} {file.tensors[i].dtype}{list(file.tensors[i].signature)}" for i in file.inputs)
        + "."
    )
    unknown = [name for name in given if name not in aliases]
    if unknown:
        raise InputError(f"DataInputConfig names the input '{unknown[0]}', which the model does not have. {mine}")
    wanted = {aliases[name]: shape for name, shape in given.items()}
    tensors = []
    for index in file.inputs:
        own, name = file.tensors[index], names[index]
        if shapes is not None and name not in wanted:
            raise InputError(f"Please specify all input layers in data_shape. {mine}")
        shape = wanted.get(name, tuple(max(1, n) for n in own.shape))
        fits = len(shape) == len(own.shape) and all(
            s in (-1, n) or n == f for n, s, f in zip(shape, own.signature, own.shape, strict=True)
        )
        if not fits or -1 in shape:
            raise InputError(f"DataInputConfig gives '{name}' {list(shape)}, which does not fit. {mine}")
        tensors.append(Tensor(name, own.dtype, shape))
    text = json.dumps({t.name: list(t.shape) for t in tensors}, separators=(",", ":")) if shapes is None else None
    return tuple(tensors), text
