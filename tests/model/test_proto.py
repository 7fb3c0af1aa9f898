"""ONNX protobufs as data: shapes without weights, precision, files."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from compiling import loaded, one_node
from models.builders import BUILDERS
from neo_cli.base.errors import InternalError
from neo_cli.model import proto
from neo_cli.model.verify import verify


@pytest.mark.parametrize("name", BUILDERS)
def test_shapes_are_those_that_onnx_infers_with_the_weights(name: str) -> None:
    model = BUILDERS[name](True)
    reference = onnx.shape_inference.infer_shapes(model, data_prop=True)
    wanted = {v.name: proto.dims(v) for v in reference.graph.value_info}
    proto.infer(model, strict=True)
    assert {v.name: proto.dims(v) for v in model.graph.value_info} == wanted
    assert wanted


@pytest.mark.parametrize(
    ("kind", "element", "precision"),
    [
        ("Relu", TensorProto.FLOAT, "float32"),
        ("Relu", TensorProto.FLOAT16, "float16"),
        ("Relu", TensorProto.BFLOAT16, "bfloat16"),
    ],
)
def test_the_sources_own_precision(kind: str, element: int, precision: str) -> None:
    assert proto.precision_of(one_node(kind, {"x": ([1], element)}, {"y": ([1], element)})) == precision


def test_a_quantised_model_is_int8() -> None:
    scale, zero = {"s": np.array(0.1, np.float32)}, {"z": np.array(0, np.int8)}
    assert (
        proto.precision_of(one_node("QuantizeLinear", {"x": ([1],)}, {"y": ([1], TensorProto.INT8)}, scale | zero))
        == "int8"
    )


def test_weights_too_large_for_one_protobuf_lie_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = BUILDERS["mlp"](True)
    assert len(proto.save(model, tmp_path / "one" / "m.onnx")) == 1
    monkeypatch.setattr(proto, "PROTOBUF_LIMIT", 1000)
    monkeypatch.setattr(proto, "SMALL", 64)
    files = proto.save(model, tmp_path / "two" / "m.onnx")
    assert [f.name for f in files] == ["m.onnx", "m.onnx.data"]
    again = onnx.load(files[0])
    for own, other in zip(model.graph.initializer, again.graph.initializer):
        np.testing.assert_array_equal(proto.array(own), proto.array(other))
    assert model.graph.initializer[0].data_location == TensorProto.DEFAULT  # the model in memory is as it was


def break_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nothing"


def break_order(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, model.graph.node.pop())


def break_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "other"


def break_type(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE


def break_twice(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node[0])


@pytest.mark.parametrize("damage", [break_name, break_order, break_output, break_type, break_twice])
def test_verify_names_the_stage_that_broke_a_model(damage, tmp_path: Path) -> None:
    model = loaded(BUILDERS["mlp"](True), tmp_path)
    assert verify(model) is model
    damage(model.graph)
    with pytest.raises(InternalError, match="After the stage 'slim' the model is not well formed"):
        verify(model, "slim")
