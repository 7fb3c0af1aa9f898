"""TENSORFLOW: SavedModels of both generations and frozen graphs, run by TensorFlow itself as the oracle. NHWC stays NHWC."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.base.errors import InputError
from neo_cli.frontends import tensorflow_files as files
from neo_cli.model import proto, tf_graph, tf_outside
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source, Tensor

CONVERT = f"TVM cannot convert Tensorflow model. {files.WRONG}"


@dataclass(frozen=True)
class Function:
    """A callable graph: its inputs as the file has them (-1 unknown; None where not even the rank is known)."""

    inputs: list[tuple[str, tuple[int, ...] | None, str]]
    outputs: list[str]
    call: Callable[..., Sequence[Any]]
    handle: Any


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's SavedModel or frozen graph; InputError in Neo's words where it cannot be had."""
    path = files.find(source.root)
    tf_graph.require("TENSORFLOW")
    function = _saved(path, source) if path.is_dir() else _frozen(path, source)
    inputs, derived = _pinned(function, shapes)
    graph = tf_graph.convert(function.call, inputs, function.outputs, (), CONVERT)
    proto.forget_shapes(graph)
    proto.infer(graph)
    outputs = proto.tensors(graph.graph.output)

    def oracle(arrays: Arrays) -> dict[str, np.ndarray]:
        tf = tf_graph.tensorflow()
        results = function.call(*(tf.constant(arrays[t.name]) for t in inputs))
        return {name: value.numpy() for name, value in zip(function.outputs, results, strict=True)}

    if derived:
        source.log(f"DataInputConfig derived from the model: {derived}")
    samples = source.root / "samples.npz"
    source = replace(source, path=path, inputs=inputs, handle=function.handle)
    return Model(graph, inputs, outputs, source, oracle, derived, samples if samples.is_file() else None)


def _saved(folder: Path, source: Source) -> Function:
    tf = tf_graph.tensorflow()
    meta = files.saved_model(folder)
    tf_outside.refuse_saved(meta)
    if not source.trusted:
        raise InputError(
            "A SavedModel may hold code, and no sandbox works on this machine: give --trust-model to load it all the same."
        )
    key = files.signature(meta, source.options.get("signature_def_key"))
    source.log(f"SavedModel of TensorFlow {meta.meta_info_def.tensorflow_version or 'unknown'}, signature {key}")
    try:
        with tf_graph.quiet(), tempfile.TemporaryDirectory() as scratch:
            readable = files.without_slots(folder, Path(scratch))
            held = tf.saved_model.load(str(readable), tags=list(meta.meta_info_def.tags) or None)
            function = held.signatures[key]
    except Exception as error:  # TensorFlow raises many kinds
        raise InputError(f"{files.LOAD} {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    specs = function.structured_input_signature[1]
    names, outputs = sorted(specs), sorted(function.structured_outputs)

    def call(*arguments: Any) -> list[Any]:
        results = function(**dict(zip(names, arguments, strict=True)))
        return [results[name] for name in outputs]

    call.keep = held  # type: ignore[attr-defined]  # the variables live as long as the object that owns them
    return Function(
        [(n, _shape(specs[n].shape), specs[n].dtype.as_numpy_dtype.__name__) for n in names], outputs, call, function
    )


def _frozen(path: Path, source: Source) -> Function:
    tf = tf_graph.tensorflow()
    graph = files.graph_def(path)
    tf_outside.refuse_frozen(graph, path.name)
    places = [node for node in graph.node if node.op == "Placeholder"]
    if not places:
        raise InputError(f"{files.LOAD} {path.name} has no Placeholder, so it has no inputs.")
    outputs = [tf_graph.plain(n) for n in source.options.get("output_names") or _leaves(graph)]
    known = {node.name for node in graph.node}
    missing = [n for n in outputs if n.split(":")[0] not in known]
    if missing:
        raise InputError(f"CompilerOptions names the output '{missing[0]}', which the graph does not have.")
    tensors = [n if ":" in n else f"{n}:0" for n in outputs]
    names = [node.name for node in places]
    try:
        with tf_graph.quiet():
            wrapped = tf.compat.v1.wrap_function(lambda: tf.compat.v1.import_graph_def(graph, name=""), [])
            function = wrapped.prune([f"{n}:0" for n in names], tensors)
    except Exception as error:  # TensorFlow raises many kinds
        raise InputError(f"{files.LOAD} {type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    own = []
    for node in places:
        known_rank = not node.attr["shape"].shape.unknown_rank
        shape = tuple(d.size if d.size > 0 else -1 for d in node.attr["shape"].shape.dim) if known_rank else None
        own.append((node.name, shape, tf.dtypes.as_dtype(node.attr["dtype"].type).as_numpy_dtype.__name__))
    return Function(own, outputs, lambda *arguments: list(function(*arguments)), function)


def _leaves(graph: Any) -> list[str]:
    """Nodes that no other node reads, and that make something."""
    read = {name.lstrip("^").split(":")[0] for node in graph.node for name in node.input}
    return [n.name for n in graph.node if n.name not in read and n.op not in ("NoOp", "Placeholder", "Const", "Assert")]


def _shape(shape: Any) -> tuple[int, ...] | None:
    return None if shape.rank is None else tuple(-1 if n is None else n for n in shape.as_list())


def _pinned(function: Function, shapes: Shapes | None) -> tuple[tuple[Tensor, ...], str | None]:
    """Every input with a fixed shape, and the derived DataInputConfig when the request gave none."""
    mine = (
        "The model's inputs are "
        + ", ".join(f"{n} {d}{list(s) if s is not None else ' of unknown rank'}" for n, s, d in function.inputs)
        + "."
    )
    given = (
        {}
        if shapes is None
        else {tf_graph.plain(k): v for k, v in shapes.for_names([n for n, _, _ in function.inputs]).items()}
    )
    unknown = [name for name in given if name not in {n for n, _, _ in function.inputs}]
    if unknown:
        raise InputError(f"DataInputConfig names the input '{unknown[0]}', which the model does not have. {mine}")
    tensors = []
    for name, own, dtype in function.inputs:
        wanted = given.get(name)
        if wanted is None:
            if own is None or any(n < 1 for n in own[1:]) or (shapes is not None and -1 in own):
                raise InputError(f"DataInputConfig does not give the input '{name}'. {mine}")
            wanted = tuple(max(1, n) for n in own)
        if own is not None and (
            len(own) != len(wanted) or any(a not in (-1, b) for a, b in zip(own, wanted, strict=True))
        ):
            raise InputError(f"DataInputConfig gives '{name}' {list(wanted)}, which does not fit. {mine}")
        if -1 in wanted:
            raise InputError(
                f"DataInputConfig leaves a size of '{name}' open, {list(wanted)}; TensorFlow models are compiled for fixed sizes."
            )
        tensors.append(Tensor(name, dtype, wanted))
    text = json.dumps({t.name: list(t.shape) for t in tensors}, separators=(",", ":")) if shapes is None else None
    return tuple(tensors), text
