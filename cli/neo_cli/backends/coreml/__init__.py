"""The coreml back end: an ML program for iOS and macOS, translated from ONNX, or from a PyTorch or TensorFlow source.

Shape ranges and enumerated shapes need the source's own shape arithmetic, so they are taken by coremltools from the
framework's live object; everything else goes node by node from the ONNX graph, for every framework. The saved
program is read back and evaluated (`interpret`) for the check; prediction by Core ML itself needs macOS.
Behaviour of DataInputConfig and class_labels: API reference, InputConfig and OutputConfig of CreateCompilationJob.
"""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from neo_cli.base.errors import InputError, NeoError, OperatorNotImplemented, TargetUnavailable
from neo_cli.base.quiet import quiet as silence
from neo_cli.model.build import Build
from neo_cli.model.model import Model, Tensor
from neo_cli.runtime.engines.coreml import by_rows
from neo_cli.targets.devices import Target

PACKAGE = "model.mlpackage"


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """Write model.mlpackage under `work`; its files stand in the artifact's root under that folder's name."""
    try:
        with _silence():
            import coremltools as ct
    except ImportError:
        raise TargetUnavailable("the coreml target needs coremltools: pip install 'neo-cli[coreml]'.") from None
    extras = model.source.options.get("input_extras") or {}
    labels = _labels(model, options)
    free = any(-1 in t.shape for t in model.inputs)
    with _silence():
        mlmodel = _convert(ct, _pinned(model) if free else model, extras, labels)
        folder = work / PACKAGE
        mlmodel.user_defined_metadata.pop("com.github.apple.coremltools.conversion_date", None)
        mlmodel.save(str(folder))
    _settle(folder / "Manifest.json")
    files = {f"{PACKAGE}/{f.relative_to(folder).as_posix()}": f for f in sorted(folder.rglob("*")) if f.is_file()}
    names = {t.name: _identifier(t.name) for t in (*model.inputs, *model.outputs)}
    plain = not extras and not labels

    def emulate(inputs: Mapping[str, Any]) -> dict[str, Any]:
        from neo_cli.backends.coreml.interpret import run

        with _silence():
            found = run(folder, {names[k]: _narrow(v) for k, v in inputs.items()})
        return {t.name: found[names[t.name]].astype(t.dtype) for t in model.outputs}

    told = (
        (free, "The batch is free: the program takes one row, and the runtime calls it for each."),
        (not plain, "Image inputs, flexible shapes and class labels are set as asked; they were not evaluated."),
    )
    notes = tuple(text for holds, text in told if holds)
    return Build(
        backend="coreml", engine="coreml", files=files, settings={"package": PACKAGE, "names": names} | ({"labels": labels} if labels else {}), notes=notes,
        emulate=(lambda inputs: by_rows(emulate, inputs, free)) if plain else None, emulator="numpy evaluation of the saved ML program" if plain else "",
    )  # fmt: skip


def _settle(manifest: Path) -> None:
    """The package's table of contents with identifiers made of its paths, not drawn: the same model, the same bytes."""
    record = json.loads(manifest.read_text(encoding="utf-8"))
    names = {k: str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])) for k, item in record["itemInfoEntries"].items()}
    record["itemInfoEntries"] = {names[k]: item for k, item in record["itemInfoEntries"].items()}
    record["rootModelIdentifier"] = names[record["rootModelIdentifier"]]
    manifest.write_text(json.dumps(record, indent=4, sort_keys=True), encoding="utf-8")


def _pinned(model: Model) -> Model:
    """The model for one row: every free dimension is 1."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    del graph.graph.value_info[:]
    for value in (*graph.graph.input, *graph.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_value < 1:
                dimension.dim_value = 1
    inputs = tuple(Tensor(t.name, t.dtype, tuple(1 if n == -1 else n for n in t.shape)) for t in model.inputs)
    return replace(model.with_graph(graph), inputs=inputs)


def _convert(ct: Any, model: Model, extras: Mapping[str, Any], labels: list[str] | None) -> Any:
    classifier = ct.ClassifierConfig(labels) if labels else None
    common = {
        "convert_to": "mlprogram",
        "minimum_deployment_target": ct.target.iOS16,
        "compute_precision": ct.precision.FLOAT32,
        "skip_model_load": True,
    }
    flexible = any("shape" in extra for extra in extras.values())
    inputs = [_input_type(ct, tensor, extras.get(tensor.name, {})) for tensor in model.inputs]
    try:
        if flexible:
            if model.source.handle is None:
                raise OperatorNotImplemented(
                    "coreml: shape ranges and enumerated shapes need a PYTORCH or TENSORFLOW model."
                )
            handle = model.source.handle
            if type(handle).__module__.startswith("torch"):  # elsewhere the framework's own names are kept
                common["outputs"] = [ct.TensorType(name=_identifier(t.name)) for t in model.outputs]
            return ct.convert(handle, inputs=inputs, classifier_config=classifier, **common)
        from neo_cli.backends.coreml.mil import build

        program = build(model.graph)
        images = inputs if any(extra.get("type") == "Image" for extra in extras.values()) else None
        return ct.convert(program, source="milinternal", inputs=images, classifier_config=classifier, **common)
    except NeoError:
        raise
    except Exception as error:  # coremltools raises many kinds; all mean that it cannot convert this model
        raise OperatorNotImplemented(
            f"coreml: coremltools cannot convert the model: {str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}."
        ) from error


def _input_type(ct: Any, tensor: Tensor, extra: Mapping[str, Any]) -> Any:
    """The coremltools input of one DataInputConfig entry, as the API reference describes the members."""
    shape: Any = tensor.shape
    if "shape" in extra:
        given, default = extra["shape"], extra.get("default_shape")
        if any(isinstance(v, list) for v in given):
            shape = ct.EnumeratedShapes(shapes=given, default=default)
        else:
            shape = ct.Shape(shape=[_dimension(ct, v) for v in given], default=default)
    if extra.get("type", "Tensor") == "Tensor":
        return ct.TensorType(
            name=_identifier(tensor.name), shape=shape, dtype=np.int32 if tensor.dtype.startswith("int") else np.float32
        )
    if extra["type"] != "Image":
        raise InputError(
            f"DataInputConfig gives the type '{extra['type']}' for input '{tensor.name}'; Core ML knows Image and Tensor."
        )
    if "bias" not in extra or "scale" not in extra:
        raise InputError(f"DataInputConfig must give bias and scale for the Image input '{tensor.name}'.")
    first = ct.colorlayout.RGB if 3 in (tensor.shape[1], tensor.shape[-1]) else ct.colorlayout.GRAYSCALE
    return ct.ImageType(
        name=_identifier(tensor.name), shape=shape, bias=extra["bias"], scale=extra["scale"], color_layout=first
    )


def _dimension(ct: Any, value: Any) -> Any:
    if isinstance(value, str):
        low, high = (int(v) for v in value.split(".."))
        return ct.RangeDim(low, high)
    return value


def _labels(model: Model, options: Mapping[str, Any]) -> list[str] | None:
    name = options.get("class_labels")
    if not name:
        return None
    file = model.source.root / str(name)
    if not file.is_file():
        raise InputError(f"CompilerOptions names the class_labels file '{name}', which is not in the input archive.")
    return file.read_text(encoding="utf-8").splitlines()


def _identifier(name: str) -> str:
    """The name coremltools gives a value: letters, digits and underscores, no digit first."""
    plain = re.sub(r"\W", "_", name)
    return f"_{plain}" if plain[:1].isdigit() else plain


def _narrow(value: Any) -> Any:
    array = np.asarray(value)
    return array.astype(np.int32) if array.dtype == np.int64 else array


def _silence() -> contextlib.AbstractContextManager[None]:
    """coremltools prints progress bars and warns about versions it has not seen; the check is what counts here."""
    return silence("coremltools")
