"""OpenVINO: the model as an IR, which its CPU plug-in compiles for the very machine that loads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neo_cli.base.errors import CompileError, OperatorNotImplemented
from neo_cli.model import proto
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target

NAME = "openvino"
FILE = "compiled.xml"
HINTS = {"float32": "f32", "bfloat16": "bf16", "auto": None}  # None: OpenVINO takes the fastest this CPU computes well
_LAYER = re.compile(r'<layer id="(\d+)" name="[^"]*" type="(\w+)"')


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """compiled.xml and compiled.bin; OperatorNotImplemented where OpenVINO has no operation for a node."""
    import openvino

    _tensors(model)
    source = proto.save(model.graph, work / "model.onnx")
    try:
        converted = openvino.Core().read_model(str(source[0]))
        _dtypes(converted, model)
        openvino.save_model(converted, str(work / FILE), compress_to_fp16=False)
    except RuntimeError as error:
        raise _refusal(error) from error
    _settle_names(work / FILE)
    wanted = str(options.get("precision", "float32"))
    precision = "float32" if wanted == "float32" else "bfloat16"
    return Build(
        backend=NAME,
        engine="openvino",
        files={FILE: work / FILE, "compiled.bin": work / "compiled.bin"},
        settings={"file": FILE, "precision": HINTS[wanted]},
        precision=precision,
        notes=(f"OpenVINO {openvino.__version__.split('-')[0]}, {wanted} inference",),
    )


def _tensors(model: Model) -> None:
    for tensor in (*model.inputs, *model.outputs):
        if tensor.dtype == "str":
            raise OperatorNotImplemented(f"The back end {NAME} does not take strings; '{tensor.name}' is one.")


def _dtypes(converted: Any, model: Model) -> None:
    """OpenVINO kept the number, order and types of inputs and outputs."""
    for what, ports, tensors in (
        ("input", converted.inputs, model.inputs),
        ("output", converted.outputs, model.outputs),
    ):
        if len(ports) != len(tensors):
            raise CompileError(f"The back end {NAME} turned {len(tensors)} {what}s into {len(ports)}.")
        for port, tensor in zip(ports, tensors):
            found = port.get_element_type().to_dtype().name
            if found != tensor.dtype or tensor.name not in port.get_names():
                raise CompileError(
                    f"The back end {NAME} turned the {what} '{tensor.name}' {tensor.dtype} into {port.any_name} {found}."
                )


def _settle_names(path: Path) -> None:
    """Layers are called by kind and number: OpenVINO's own names hold a counter that differs from run to run."""
    text = path.read_text(encoding="utf-8")

    def renamed(match: re.Match[str]) -> str:
        number, kind = match.groups()
        return (
            match[0]
            if kind in ("Parameter", "Result")
            else f'<layer id="{number}" name="{kind}_{number}" type="{kind}"'
        )

    path.write_text(_LAYER.sub(renamed, text), encoding="utf-8")


def _refusal(error: Exception) -> CompileError:
    text = " ".join(str(error).split())
    lacking = re.search(r"(?:No conversion rule|not supported|unsupported|OpConversion)", text, re.IGNORECASE)
    kind = OperatorNotImplemented if lacking else CompileError
    return kind(f"The back end {NAME} cannot compile the model: {text[:400]}")
