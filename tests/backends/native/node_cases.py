"""The ONNX project's own node tests as static models: which of them the native compiler may be asked to run."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

REFUSED = {
    TensorProto.STRING: "strings",
    TensorProto.COMPLEX64: "complex numbers",
    TensorProto.COMPLEX128: "complex numbers",
}
RANDOM = {"Bernoulli", "RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial"}


SHAPES = "the shape of the result depends on the data"
ROUNDING = "ONNX Runtime, with which models are compared, takes the rounded size here and not the exact one"
DEPENDENT = ("test_nonmaxsuppression", "test_unique", "test_nonzero")
EXCEPTIONS = {
    "test_resize_downsample_scales_linear_align_corners": ROUNDING,
    "test_resize_downsample_scales_cubic_align_corners": ROUNDING,
}


@dataclass(frozen=True)
class NodeCase:
    """One test: a model with the shapes of its data, inputs, expected outputs; `why` it does not apply, if so."""

    name: str
    operator: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    rtol: float
    atol: float
    why: str = ""


@functools.cache
def load() -> tuple[NodeCase, ...]:
    """Every node test of the installed onnx."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    kinds = {t.name: t.model.graph.node[0].op_type for t in found}
    return tuple(_case(test, kinds) for test in found)


@functools.cache
def applicable() -> tuple[NodeCase, ...]:
    """Those with static shapes and numbers."""
    return tuple(case for case in load() if not case.why)


def _case(test, kinds: dict[str, str]) -> NodeCase:
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    inputs, outputs = test.data_sets[0]
    why = _why(test.name, model)
    named_in: dict[str, np.ndarray] = {}
    named_out: dict[str, np.ndarray] = {}
    if not why:
        named_in = {v.name: _array(a) for v, a in zip(model.graph.input, inputs)}
        named_out = {v.name: _array(a) for v, a in zip(model.graph.output, outputs)}
        for values, arrays in ((model.graph.input, named_in), (model.graph.output, named_out)):
            for value in values:
                _pin(value, arrays[value.name])
        _freeze(model, named_in, kinds.get(test.name.split("_expanded")[0], ""))
    names = {n.op_type for n in model.graph.node}
    operator = model.graph.node[0].op_type if len(names) == 1 else test.name.removeprefix("test_").split("_")[0]
    return NodeCase(test.name, operator, model, named_in, named_out, test.rtol, test.atol, why)


def _array(value) -> np.ndarray:
    return onnx.numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def _why(name: str, model: onnx.ModelProto) -> str:
    for node in model.graph.node:
        if "training" in node.domain:
            return "training operators"
        if node.op_type in RANDOM:
            return "random numbers"
        if node.op_type == "Dropout" and "training" in name:
            return "random numbers"
        if node.op_type == "ImageDecoder":
            return "image files"
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.WhichOneof("value")
        if kind != "tensor_type":
            return "sequences and optionals"
        if value.type.tensor_type.elem_type in REFUSED:
            return REFUSED[value.type.tensor_type.elem_type]
    return ""


def _pin(value: onnx.ValueInfoProto, array: np.ndarray) -> None:
    shape = value.type.tensor_type.shape
    shape.ClearField("dim")
    for size in array.shape:
        shape.dim.add().dim_value = size


SHAPING = {
    "Reshape": (1,), "Expand": (1,), "Tile": (1,), "Pad": (1, 2, 3), "Slice": (1, 2, 3, 4), "Squeeze": (1,), "Unsqueeze": (1,),
    "Split": (1,), "ConstantOfShape": (0,), "Resize": (1, 2, 3), "Upsample": (1,), "Range": (0, 1, 2), "TopK": (1,),
    "OneHot": (1,), "CenterCropPad": (1,), "Col2Im": (1, 2), "AffineGrid": (1,), "CumSum": (1,), "CumProd": (1,),
    "MaxUnpool": (2,), "NonMaxSuppression": (2, 3, 4), "DFT": (1, 2), "STFT": (1, 3), "Trilu": (1,), "If": (0,), "Loop": (0, 1),
    "HannWindow": (0,), "HammingWindow": (0,), "BlackmanWindow": (0,), "MelWeightMatrix": (0, 1, 2, 3, 4), "Compress": (1,),
    "Dropout": (1, 2), "ReduceSum": (1,), "TensorScatter": (),
}  # fmt: skip
REDUCTIONS = ("Max", "Min", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
SHAPING |= {f"Reduce{name}": (1,) for name in REDUCTIONS}


def _freeze(model: onnx.ModelProto, inputs: dict[str, np.ndarray], kind: str) -> None:
    """Make the inputs that decide shapes constants, as they are in exported networks; `kind` is what an expansion is of."""
    order = [v.name for v in model.graph.input]
    names = {order[i] for i in SHAPING.get(kind, ()) if i < len(order)} if len(model.graph.node) > 1 else set()
    for node in model.graph.node:
        names |= {node.input[i] for i in SHAPING.get(node.op_type, ()) if i < len(node.input)}
    for value in [v for v in model.graph.input if v.name in names]:
        model.graph.initializer.append(onnx.numpy_helper.from_array(inputs.pop(value.name), value.name))
        model.graph.input.remove(value)


def _exceptions() -> None:
    for case in load():
        if case.name.startswith(DEPENDENT):
            EXCEPTIONS[case.name] = SHAPES


_exceptions()
