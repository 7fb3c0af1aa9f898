"""What an ONNX file must not contain, each refused by name before anything runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import onnx

from neo_cli.base.errors import InputError, OperatorNotImplemented
from neo_cli.model import proto

OLDEST = 7
_FAILS = "Framework cannot load ONNX model."
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
_OPEN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")


def admit(graph: onnx.ModelProto, path: Path, root: Path) -> None:
    """Return when the file may be read on; InputError or OperatorNotImplemented with one sentence otherwise."""
    _opsets(graph)
    _types(graph.graph)
    _operators(graph)
    _external(graph, path, root)


def _opsets(graph: onnx.ModelProto) -> None:
    newest, version = onnx.defs.onnx_opset_version(), proto.opset(graph)
    if not version and not any(o.domain == "ai.onnx.ml" for o in graph.opset_import):
        raise InputError(f"{_FAILS} The file imports no ONNX operator set.")
    if version and not OLDEST <= version <= newest:
        raise InputError(
            f"{_FAILS} The model uses opset {version}; opsets {OLDEST} to {newest} are supported. ONNX Version running: {onnx.__version__}."
        )


def _types(graph: onnx.GraphProto) -> None:
    weights = {t.name for t in graph.initializer}
    for what, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            kind = value.type.WhichOneof("value")
            if value.name in weights or kind == "tensor_type":
                continue
            hint = (
                "; export the model with zipmap off"
                if what == "output" and kind in ("sequence_type", "map_type")
                else ""
            )
            raise InputError(
                f"{_FAILS} The {what} '{value.name}' is a {(kind or 'value without a type').replace('_type', '')}, not a tensor{hint}."
            )


def _operators(graph: onnx.ModelProto) -> None:
    own = {(f.domain, f.name) for f in graph.functions}
    contrib: set[str] | None = None
    for node in [*proto.nodes(graph.graph), *(n for f in graph.functions for n in f.node)]:
        if (node.domain, node.op_type) in own:
            continue
        label = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        if node.domain not in _OPEN_DOMAINS:
            raise OperatorNotImplemented(
                f"The operator {label} (node '{node.name}') belongs to the domain '{node.domain}', which neo-cli does not know; "
                "the ONNX front end takes the domains ai.onnx, ai.onnx.ml, com.microsoft and functions inside the model."
            )
        if node.domain == "com.microsoft":
            contrib = _contrib() if contrib is None else contrib
            if node.op_type not in contrib:
                raise OperatorNotImplemented(f"ONNX Runtime does not know the operator {label} (node '{node.name}').")
        elif not onnx.defs.has(node.op_type, node.domain if node.domain != "ai.onnx" else ""):
            raise OperatorNotImplemented(f"ONNX has no operator {label} (node '{node.name}').")
        _deterministic(node)


def _deterministic(node: onnx.NodeProto) -> None:
    if node.op_type in _RANDOM and not node.domain:
        raise OperatorNotImplemented(
            f"The operator {node.op_type} (node '{node.name}') draws random numbers, so a compiled model could not be checked "
            "against its source; make the random values an input of the model."
        )


def _contrib() -> set[str]:
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    return {schema.name for schema in get_all_operator_schema() if schema.domain == "com.microsoft"}


def _external(graph: onnx.ModelProto, path: Path, root: Path) -> None:
    """Weights apart lie inside the archive, are plain files, and are long enough."""
    for tensor in _tensors(graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        entry = {e.key: e.value for e in tensor.external_data}
        if len(entry) != len(tensor.external_data):  # readers differ on which one counts
            raise InputError(f"{_FAILS} The weights '{tensor.name}' name their place twice.")
        location = entry.get("location", "")
        if not location or re.match(r"([/\\]|[A-Za-z]:)", location) or ".." in re.split(r"[/\\]", location):
            raise InputError(f"{_FAILS} The weights '{tensor.name}' lie at '{location}', outside the archive.")
        file = path.parent / location
        if file.is_symlink() or not file.resolve().is_relative_to(root.resolve()):
            raise InputError(f"{_FAILS} The weights '{tensor.name}' lie at '{location}', outside the archive.")
        if not file.is_file():
            raise InputError(f"{_FAILS} The weights file '{location}' is not in the archive.")
        with file.open("rb") as stream:
            pointer = stream.read(22).startswith(b"version https://git-lf")
        if pointer:
            raise InputError(
                f"{_FAILS} {location} is a Git LFS pointer and not the weights themselves; run 'git lfs pull'."
            )
        texts = entry.get("offset", "0"), entry.get("length", str(proto.bytes_of(tensor)))
        if not all(re.fullmatch(r"-?[0-9]{1,18}", text) for text in texts):
            raise InputError(f"{_FAILS} The place of the weights '{tensor.name}' in '{location}' is not a number.")
        start, length = map(int, texts)
        if start < 0 or length != proto.bytes_of(tensor) or start + length > file.stat().st_size:
            raise InputError(
                f"{_FAILS} The weights file '{location}' is too short for '{tensor.name}', or its place is wrong."
            )


def _tensors(graph: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    def inside(inner: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
        yield from inner.initializer
        for sparse in inner.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in inner.node:
            yield from attributes(node)

    def attributes(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for body in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from inside(body)

    yield from inside(graph.graph)
    for function in graph.functions:
        for node in function.node:
            yield from attributes(node)
