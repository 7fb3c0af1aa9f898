"""Core ML: programs equal their source when the saved package is read back, and DataInputConfig's extras arrive."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.coreml import compile
from neo_cli.base.errors import InputError, OperatorNotImplemented
from neo_cli.targets.devices import targets

pytest.importorskip("coremltools", reason="the coreml extra is not installed")
COREML = targets()["coreml"]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_a_network_equals_its_source(name: str, tmp_path: Path) -> None:
    model = as_model(BUILDERS[name](small=True), tmp_path)
    build = compile(model, COREML, {}, tmp_path)
    assert build.emulate is not None and "model.mlpackage/Manifest.json" in build.files
    given = feeds(model)
    assert error(build.emulate(given), model.oracle(given)) < 1e-5


def image_classifier() -> onnx.ModelProto:
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Softmax", ["flat"], ["probabilities"], axis=1),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [value("probabilities", TensorProto.FLOAT, [1, 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.slow
def test_image_inputs_and_class_labels_stand_in_the_package(tmp_path: Path) -> None:
    import coremltools as ct

    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    extras = {"image": {"type": "Image", "bias": [-1, -1, -1], "scale": 0.007843137255}}
    model = as_model(image_classifier(), tmp_path, input_extras=extras)
    build = compile(model, COREML, {"class_labels": "labels.txt"}, tmp_path)
    assert build.emulate is None and build.notes
    spec = ct.models.MLModel(str(tmp_path / "model.mlpackage"), skip_model_load=True).get_spec()
    assert spec.description.input[0].type.WhichOneof("Type") == "imageType"
    assert spec.description.predictedFeatureName == "classLabel"


def test_mistakes_get_one_sentence(tmp_path: Path) -> None:
    model = as_model(image_classifier(), tmp_path)
    with pytest.raises(InputError, match=r"class_labels file 'none\.txt', which is not in the input archive"):
        compile(model, COREML, {"class_labels": "none.txt"}, tmp_path)
    ranged = as_model(image_classifier(), tmp_path, input_extras={"image": {"shape": ["1..4", 3, 8, 8]}})
    with pytest.raises(OperatorNotImplemented, match="need a PYTORCH or TENSORFLOW model"):
        compile(ranged, COREML, {}, tmp_path)


def test_an_operator_without_a_rule_is_named(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], name="the_det")],
        "g",
        [value("x", TensorProto.FLOAT, [1, 3, 3])],
        [value("y", TensorProto.FLOAT, [1])],
    )
    model = as_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    with pytest.raises(OperatorNotImplemented, match=r"coreml: Det \(node 'the_det'\)"):
        compile(model, COREML, {}, tmp_path)


@pytest.mark.slow
def test_ranges_and_enumerated_shapes_come_from_the_frameworks_object(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    import warnings
    from dataclasses import replace

    import coremltools as ct

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(
            torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval(), torch.zeros(1, 3, 8, 8)
        )
    model = as_model(
        image_classifier(),
        tmp_path,
        input_extras={"image": {"shape": [[1, 3, 8, 8], [1, 3, 16, 16]], "default_shape": [1, 3, 8, 8]}},
    )
    model = replace(model, source=replace(model.source, handle=traced))
    compile(model, COREML, {}, tmp_path)
    spec = ct.models.MLModel(str(tmp_path / "model.mlpackage"), skip_model_load=True).get_spec()
    assert len(spec.description.input[0].type.multiArrayType.enumeratedShapes.shapes) == 2
    assert np.prod(spec.description.input[0].type.multiArrayType.shape) == 192
