"""Core ML: programs equal their source when the saved package is read back, and DataInputConfig's extras arrive."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from models.small import SMALL
from neo_cli.backends.coreml import compile
from neo_cli.base.errors import InputError, OperatorNotImplemented
from neo_cli.model.model import Tensor
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


def ensemble(**changes: object) -> onnx.ModelProto:
    """The small tree model with attributes changed; as a classifier when these are a classifier's."""
    graph = SMALL["trees"]()
    node = graph.graph.node[0]
    kept = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if "classlabels_int64s" in changes:
        kept = {
            k.replace("target_", "class_"): v for k, v in kept.items() if k not in ("n_targets", "aggregate_function")
        }
        new = helper.make_node(
            "TreeEnsembleClassifier",
            ["columns"],
            ["label", "score"],
            domain="ai.onnx.ml",
            **{k: v for k, v in (kept | changes).items() if v != []},
        )
        label = helper.make_tensor_value_info("label", TensorProto.INT64, [4])
        classes = helper.make_tensor_value_info("score", TensorProto.FLOAT, [4, len(changes["classlabels_int64s"])])  # type: ignore[arg-type]
        del graph.graph.output[:]
        graph.graph.output.extend([label, classes])
    else:
        new = helper.make_node(
            "TreeEnsembleRegressor",
            ["columns"],
            ["score"],
            domain="ai.onnx.ml",
            **{k: v for k, v in (kept | changes).items() if v != []},
        )
    node.CopyFrom(new)
    return graph


LEAVES = 64
ENSEMBLES = {
    "sums": {},
    "means": {"aggregate_function": "AVERAGE", "base_values": [2.0]},
    "logistic": {"post_transform": "LOGISTIC"},
    "at most": {"nodes_modes": ["BRANCH_LEQ"] * 7 + ["LEAF"] * 8, "repeat": True},
    "more": {"nodes_modes": ["BRANCH_GT"] * 7 + ["LEAF"] * 8, "repeat": True},
    "missing goes right": {"nodes_missing_value_tracks_true": [0] * 120},
    "three classes": {"classlabels_int64s": [7, 5, 9], "class_ids": [i % 3 for i in range(LEAVES)], "post_transform": "SOFTMAX", "base_values": [0.1, 0.2, 0.3]},
    "two classes, one score": {"classlabels_int64s": [0, 1], "class_ids": [0] * LEAVES, "post_transform": "LOGISTIC"},
    "two classes, the second's score": {"classlabels_int64s": [3, 4], "class_ids": [1] * LEAVES, "base_values": []},
    "two classes, a probability": {"classlabels_int64s": [3, 4], "class_ids": [1] * LEAVES, "base_values": [], "class_weights": [i / 512 for i in range(LEAVES)]},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ENSEMBLES)
def test_an_ensemble_of_trees_equals_its_source(name: str, tmp_path: Path) -> None:
    changes: dict[str, object] = dict(ENSEMBLES[name])
    if changes.pop("repeat", False):
        changes["nodes_modes"] = changes["nodes_modes"] * 8  # type: ignore[operator]
    model = as_model(ensemble(**changes), tmp_path)
    build = compile(model, COREML, {}, tmp_path)
    assert build.emulate is not None
    for seed in range(3):
        given = feeds(model, seed)
        given["columns"][0, seed::2] = np.nan
        answers, wanted = build.emulate(given), model.oracle(given)
        assert error(answers, wanted) < 1e-5
        if "label" in wanted:
            np.testing.assert_array_equal(answers["label"], wanted["label"])


@pytest.mark.slow
def test_a_free_batch_is_one_row_after_the_other(tmp_path: Path) -> None:
    graph = ensemble()
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "rows"
    model = as_model(graph, tmp_path)
    free = replace(
        model, inputs=(Tensor("columns", "float32", (-1, 6)),), outputs=(Tensor("score", "float32", (-1, 1)),)
    )
    build = compile(free, COREML, {}, tmp_path)
    assert build.emulate is not None and "one row" in build.notes[0]
    given = {"columns": np.random.default_rng(1).standard_normal((5, 6)).astype(np.float32)}
    np.testing.assert_allclose(build.emulate(given)["score"], model.oracle(given)["score"], rtol=1e-5)


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
def test_the_same_model_is_the_same_bytes(tmp_path: Path) -> None:
    model = as_model(SMALL["convnet"](), tmp_path)
    builds = []
    for name in "ab":
        (tmp_path / name).mkdir()
        builds.append(compile(model, COREML, {}, tmp_path / name))
    one, two = ({name: file.read_bytes() for name, file in build.files.items()} for build in builds)
    assert one == two
    assert not any(b"conversion_date" in data for data in one.values())


@pytest.mark.slow
def test_image_inputs_and_class_labels_stand_in_the_package(tmp_path: Path) -> None:
    import coremltools as ct

    (tmp_path / "labels.txt").write_text("cat\ndog\nbird\n")
    extras = {"image": {"type": "Image", "bias": [-1, -1, -1], "scale": 0.007843137255}}
    model = as_model(image_classifier(), tmp_path, input_extras=extras)
    build = compile(model, COREML, {"class_labels": "labels.txt"}, tmp_path)
    assert build.emulate is None and build.notes and build.settings["labels"] == ["cat", "dog", "bird"]
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
