"""Every named tensor of a compiled model beside ONNX Runtime's, not the outputs alone."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from neo_cli.backends.native import build
from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.emit import Program
from neo_cli.backends.native.ir import Value
from neo_cli.base.errors import AccuracyError
from neo_cli.model.model import Model
from neo_cli.runtime.engines.native import close_library, open_library
from neo_cli.targets.devices import Target

TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2}  # of the largest value of a tensor, by the products' precision


def check_all(
    model: Model, program: Program, target: Target, cpu: Cpu, feeds: Mapping[str, np.ndarray], work: Path,
    tolerance: float = TOLERANCES["float32"],
) -> dict[str, float]:  # fmt: skip
    """Run `program` (lowered with keep=True) here; the error of each tensor, AccuracyError names the first that is off."""
    found = tensors(program, target, cpu, feeds, work)
    wanted = _reference(model, [name for name in found], feeds)
    errors = {}
    for name, array in wanted.items():
        errors[name] = _difference(found[name], array)
        if not errors[name] <= tolerance:
            raise AccuracyError(
                f"The tensor '{name}' of the native build is off by {errors[name]:.1e} of its largest value."
            )
    return errors


def tensors(
    program: Program, target: Target, cpu: Cpu, feeds: Mapping[str, np.ndarray], work: Path
) -> dict[str, np.ndarray]:
    """What every value holds after one run on one thread in a scratch full of NaN."""
    named, scratch = run(program, target, cpu, feeds, work)
    for value in program.graph.values():
        place = place_of(program, value)
        if place is not None and value.name not in named:
            named[value.name] = unpack(value, scratch[place : place + value.bytes])
    return named


def run(
    program: Program, target: Target, cpu: Cpu, feeds: Mapping[str, np.ndarray], work: Path
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The outputs of one run on one thread and the scratch it leaves; both were full of NaN."""
    library = open_library(build.library(program.text, target, cpu, work))
    params = work / "check.params"
    offset = program.weights.write(params)
    blob = _aligned(np.fromfile(params, np.uint8)[offset:])
    inputs = [np.ascontiguousarray(feeds[v.name]) for v in program.graph.inputs]
    outputs = [_aligned(np.full(v.size * v.itemsize, 0xFF, np.uint8)) for v in program.graph.outputs]
    scratch = _aligned(np.full(program.scratch(1), 0xFF, np.uint8))
    pointers = [(ctypes.c_void_p * max(1, len(a)))(*(x.ctypes.data for x in a)) for a in (inputs, outputs)]
    library.neo_run(*pointers, blob.ctypes.data, scratch.ctypes.data, 0, 1, None, None)
    close_library(library)
    made = {v.name: data.view(_dtype(v)).reshape(v.shape) for v, data in zip(program.graph.outputs, outputs)}
    return made, scratch


def check_plan(
    program: Program, whole: Program, target: Target, cpu: Cpu, feeds: Mapping[str, np.ndarray], work: Path
) -> None:
    """AccuracyError when `program` and `whole`, where no buffer is used twice, differ in a bit of an output.

    The arithmetic is the same: only a value that was overwritten while it was needed can make the difference.
    """
    (one, _), (two, _) = (run(p, target, cpu, feeds, work) for p in (program, whole))
    for name, array in one.items():
        if array.tobytes() != two[name].tobytes():
            raise AccuracyError(f"The native build's plan of memory changes the output '{name}'.")


def unpack(value: Value, data: np.ndarray) -> np.ndarray:
    """The tensor in ONNX's order from the bytes of its buffer."""
    flat = data.view(_dtype(value))
    layout = value.layout
    if not layout.block:
        return flat.reshape(value.shape)
    n, c, h, w = value.image
    top, left, _, _ = layout.border
    front, blocks, (_, plane, row) = layout.slices[0], -(-c // layout.block), value.pitch
    if value.volume:  # [N][block][slice]
        cube = flat.reshape(value.shape[0], blocks, -1, value.pitch[0] // row, row // layout.block, layout.block)
        cube = cube[:, :, front : front + n, top : top + h, left : left + w].transpose(0, 1, 5, 2, 3, 4)
        return cube.reshape(value.shape[0], blocks * layout.block, -1)[:, :c].reshape(value.shape)
    cube = flat.reshape(n, blocks, plane // row, row // layout.block, layout.block)
    cube = cube[:, :, top : top + h, left : left + w]
    if layout.last:
        return cube.transpose(0, 2, 3, 1, 4).reshape(w, -1)[:, :c].reshape(value.shape)
    return cube.transpose(0, 1, 4, 2, 3).reshape(n, -1, h, w)[:, :c].reshape(value.shape)


def place_of(program: Program, value: Value) -> int | None:
    """Where a value lies in the scratch; None when it is the caller's or a constant."""
    offset, home = 0, value
    while home.home is not None:
        offset, home = offset + home.offset, home.home
    start = program.plan.places.get(home)
    return None if start is None else start + offset


def _reference(model: Model, names: list[str], feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """ONNX Runtime's values, without its own fusions but of quantised steps, of the tensors that both graphs know."""
    import onnxruntime as ort

    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    made = {name for node in graph.graph.node for name in node.output if name}
    shared = [name for name in dict.fromkeys(names) if name in made]
    known = {output.name for output in graph.graph.output}
    graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in shared if name not in known)
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    whole = any(node.op_type == "QuantizeLinear" for node in graph.graph.node)  # in float, ties fall otherwise
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if whole else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(shared, session.run(shared, dict(feeds))))


def _difference(found: np.ndarray, wanted: np.ndarray) -> float:
    if not wanted.size:
        return 0.0
    if {found.dtype.name, wanted.dtype.name} == {"int8", "uint8"}:  # blocks have the sign that the CPU multiplies with
        found = (found.view(np.uint8) ^ np.uint8(128)).view(wanted.dtype)
    one, two = found.astype(np.float64), wanted.astype(np.float64)
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    if same.all():
        return 0.0
    off = np.abs(np.where(same, 0.0, one - two))
    return float(off.max() / max(np.abs(two[np.isfinite(two)]).max(initial=0.0), 1e-30))


def _dtype(value: Value) -> np.dtype:
    if value.dtype == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(value.dtype)


def _aligned(data: np.ndarray) -> np.ndarray:
    """The same bytes at a multiple of 64."""
    raw = np.empty(data.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    raw[start : start + data.nbytes] = data
    return raw[start : start + data.nbytes]
