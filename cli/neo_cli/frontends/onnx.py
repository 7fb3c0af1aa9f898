"""ONNX: one .onnx file of the archive as a Model, its shapes pinned, its source run by ONNX Runtime untouched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from neo_cli.base.errors import InputError
from neo_cli.frontends.onnx_checks import admit
from neo_cli.model import proto
from neo_cli.model.inputs import Shapes
from neo_cli.model.model import Arrays, Model, Source

_WRONG = "Please make sure the framework you select is correct."
LFS = b"version https://git-lfs"


def load(source: Source, shapes: Shapes | None) -> Model:
    """The Model of the archive's one .onnx file; InputError in Neo's words where it cannot be had."""
    path = _file(source.root)
    try:
        return _model(path, source, shapes)
    except onnx.shape_inference.InferenceError as error:
        raise InputError(
            f"Framework cannot load ONNX model. {_WRONG} The graph contradicts itself: {_short(error)}"
        ) from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError) as error:
        # what protobuf's and onnx's own readers raise for values that no exporter writes
        text = f"{path.name} holds values that are no ONNX: {type(error).__name__}: {_short(error)}"
        raise InputError(f"Framework cannot load ONNX model. {_WRONG} {text}") from error


def _model(path: Path, source: Source, shapes: Shapes | None) -> Model:
    graph = _read(path)
    admit(graph, path, source.root)
    source.log(
        f"ONNX model {path.name}: IR {graph.ir_version}, opset {proto.opset(graph)}, {len(graph.graph.node)} nodes"
    )
    onnx.load_external_data_for_model(graph, str(path.parent))
    graph = _plain(graph)
    source.log(f"inputs: {', '.join(_told(v) for v in graph.graph.input)}")
    pinned, derived = _pinned(graph.graph, shapes)
    if derived:
        source.log(f"DataInputConfig derived from the model: {derived}")
    proto.forget_shapes(graph)
    for value in graph.graph.input:
        proto.pin(value, pinned[value.name])
    try:
        proto.infer(graph, strict=True)
    except onnx.shape_inference.InferenceError as error:
        source.log(f"strict shape inference: {_short(error)}")
        proto.infer(graph)
    _completed(graph)
    inputs, outputs = proto.tensors(graph.graph.input), proto.tensors(graph.graph.output)
    source = replace(source, path=path, inputs=inputs)
    return Model(
        graph, inputs, outputs, source, _Oracle(path, [t.name for t in outputs]), derived, _samples(source.root)
    )


class _Oracle:
    """Runs the untouched file with ONNX Runtime, its optimisations off; the session starts with the first run."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self.path, self.names = path, names
        self.session: Any = None

    def __call__(self, inputs: Arrays) -> dict[str, np.ndarray]:
        import onnxruntime

        try:
            if self.session is None:
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
                options.log_severity_level = 4
                options.add_session_config_entry("session.disable_prepacking", "1")
                self.session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
            return dict(zip(self.names, self.session.run(self.names, dict(inputs))))
        except Exception as error:  # onnxruntime's exceptions have no common parent of their own
            raise InputError(
                f"Framework cannot load ONNX model. {_WRONG} ONNX Runtime says: {_short(error)}"
            ) from error

    def release(self) -> None:
        """Give back the session's memory; the next run starts another."""
        self.session = None


def _completed(graph: onnx.ModelProto) -> None:
    """Shapes of outputs behind operators of other domains than ONNX's: ONNX Runtime infers through its own."""
    size = sum(proto.bytes_of(t) for t in graph.graph.initializer)
    unknown = any(proto.FREE in proto.dims(v) or not v.type.tensor_type.HasField("shape") for v in graph.graph.output)
    if not unknown or size > proto.PROTOBUF_LIMIT or not any(n.domain for n in proto.nodes(graph.graph)):
        return
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # the source's own run says what is wrong
        return
    for value, found in zip(graph.graph.output, session.get_outputs(), strict=True):
        free = found.shape[:1] == ["batch"]
        if all(isinstance(n, int) for n in found.shape[free:]):
            proto.pin(value, [proto.FREE if n == "batch" else n for n in found.shape])


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:400]


def _file(root: Path) -> Path:
    visible = [
        p for p in sorted(root.rglob("*")) if not any(part.startswith(".") for part in p.relative_to(root).parts)
    ]
    if not any(p.is_file() for p in visible):
        raise InputError("No model file found.")
    found = [p for p in visible if p.suffix == ".onnx" and p.is_file()]
    if not found:
        raise InputError(f"No .onnx file found for ONNX model. {_WRONG}")
    if len(found) > 1:
        raise InputError("Exactly one .onnx file is allowed for ONNX models.")
    return found[0]


def _read(path: Path) -> onnx.ModelProto:
    data = path.read_bytes()
    if data.startswith(LFS):
        raise InputError(
            f"Framework cannot load ONNX model. {path.name} is a Git LFS pointer and not the model itself; "
            "run 'git lfs pull' and make the archive again."
        )
    graph = onnx.ModelProto()
    try:
        graph.ParseFromString(data)
    except DecodeError as error:
        raise InputError(
            f"Framework cannot load ONNX model. {_WRONG} {path.name} ({len(data)} bytes) is no complete protobuf: {_short(error)}"
        ) from error
    if not graph.ir_version or not graph.HasField("graph") or not graph.graph.output:
        raise InputError(
            f"Framework cannot load ONNX model. {_WRONG} {path.name} ({len(data)} bytes) holds no ONNX graph."
        )
    return graph


def _plain(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Functions of the model inlined, initialisers no longer listed as inputs, nodes named, opset in one spelling."""
    if graph.functions:
        from onnx import inliner

        graph = inliner.inline_local_functions(graph)
    weights = {t.name for t in graph.graph.initializer} | {t.values.name for t in graph.graph.sparse_initializer}
    kept = [v for v in graph.graph.input if v.name not in weights]
    del graph.graph.input[:]
    graph.graph.input.extend(kept)
    taken = {n.name for n in graph.graph.node}
    for index, node in enumerate(graph.graph.node):
        if not node.name:
            name = f"{node.op_type}_{index}"
            node.name = name if name not in taken else f"{name}_"
        if node.domain == "ai.onnx":
            node.domain = ""
    versions = {o.domain if o.domain != "ai.onnx" else "": o.version for o in graph.opset_import}
    del graph.opset_import[:]
    graph.opset_import.extend(onnx.helper.make_opsetid(d, v) for d, v in versions.items())
    graph.ir_version = max(graph.ir_version, 4)  # from IR 4 on, initialisers need not be inputs
    return graph


def _told(value: onnx.ValueInfoProto) -> str:
    sizes = (
        str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in value.type.tensor_type.shape.dim
    )
    return f"{value.name} {proto.dtype_name(value.type.tensor_type.elem_type)}[{','.join(sizes)}]"


def _pinned(graph: onnx.GraphProto, shapes: Shapes | None) -> tuple[dict[str, tuple[int, ...]], str | None]:
    """The shape of every input, and the DataInputConfig text when the file alone decided."""
    mine = f"The model's inputs are {', '.join(_told(v) for v in graph.input)}."
    if shapes is None:
        return _derived(graph, mine)
    given = shapes.for_names([v.name for v in graph.input])
    unknown = [name for name in given if name not in {v.name for v in graph.input}]
    if unknown:
        raise InputError(f"DataInputConfig names the input '{unknown[0]}', which the model does not have. {mine}")
    pinned = {}
    for value in graph.input:
        own = proto.dims(value)
        if value.name not in given:
            if any(size < 1 for size in own):
                raise InputError(f"DataInputConfig does not give the input '{value.name}'. {mine}")
            pinned[value.name] = own
            continue
        pinned[value.name] = _fitting(value, given[value.name], own, mine)
    return pinned, None


def _fitting(value: onnx.ValueInfoProto, given: tuple[int, ...], own: tuple[int, ...], mine: str) -> tuple[int, ...]:
    """The given shape where it agrees with what the file fixes."""
    said = value.type.tensor_type.HasField("shape")
    if said and len(given) != len(own):
        raise InputError(
            f"DataInputConfig gives '{value.name}' {len(given)} dimensions, {list(given)}; the model has {len(own)}. {mine}"
        )
    for position, (wanted, fixed) in enumerate(zip(given, own)):
        if fixed > 0 and wanted != fixed:
            raise InputError(
                f"DataInputConfig gives '{value.name}' the size {wanted} at position {position}; the model fixes it to {fixed}. {mine}"
            )
    if proto.FREE in given[1:]:
        raise InputError(
            f"DataInputConfig leaves a size of '{value.name}' open, {list(given)}; only the first may be -1. {mine}"
        )
    return given


def _derived(graph: onnx.GraphProto, mine: str) -> tuple[dict[str, tuple[int, ...]], str]:
    """Shapes of a file that says them all; a free first size alone becomes 1."""
    pinned, missing = {}, []
    for value in graph.input:
        own = proto.dims(value)
        complete = value.type.tensor_type.HasField("shape") and all(size > 0 for size in own[1:])
        if not complete:
            missing.append(value.name)
        pinned[value.name] = tuple(1 if size < 1 and not position else size for position, size in enumerate(own))
    if missing:
        example = json.dumps({v.name: [max(s, 1) if s > 0 else "?" for s in proto.dims(v)] for v in graph.input})
        raise InputError(
            f"The model leaves sizes of {', '.join(missing)} open; give DataInputConfig with a number for each '?': "
            f"{example}. {mine}"
        )
    return pinned, json.dumps({name: list(shape) for name, shape in pinned.items()}, separators=(",", ":"))


def _samples(root: Path) -> Path | None:
    path = root / "samples.npz"
    return path if path.is_file() else None
