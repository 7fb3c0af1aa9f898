"""The ONNX front end: what it takes, what it pins and derives, and what it refuses in which words."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compiling import loaded, one_node
from models.builders import BUILDERS
from neo_cli.base.errors import InputError, JobError, OperatorNotImplemented
from neo_cli.frontends.onnx import load
from neo_cli.model import feeds
from neo_cli.model.inputs import parse
from neo_cli.model.model import Source
from neo_cli.model.verify import verify


def relu(shape: list[int | str], opset: int = 17, ir_version: int = 8) -> onnx.ModelProto:
    return one_node("Relu", {"x": (shape,)}, {"y": (shape,)}, opset=opset, ir_version=ir_version)


@pytest.mark.parametrize("name", BUILDERS)
def test_known_networks_load_and_their_oracle_is_onnx_runtime(name: str, tmp_path: Path) -> None:
    graph = BUILDERS[name](True)
    model = verify(loaded(graph, tmp_path))
    feed = next(iter(feeds.seeded(model)))[1]
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    for own, other in zip(model.oracle(feed).values(), session.run(None, feed)):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)
    assert [t.name for t in model.outputs] == [o.name for o in session.get_outputs()]
    assert all(size > 0 for t in (*model.inputs, *model.outputs) for size in t.shape)


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset_from_seven_on(opset: int, tmp_path: Path) -> None:
    ir = 3 if opset == 7 else min(onnx.helper.find_min_ir_version_for([helper.make_opsetid("", opset)]), 13)
    model = loaded(relu([1, 3], opset, ir), tmp_path)
    assert model.oracle({"x": np.array([[-1, 0, 2]], np.float32)})["y"].tolist() == [[0, 0, 2]]


@pytest.mark.parametrize("opset", [6, onnx.defs.onnx_opset_version() + 1])
def test_other_opsets_are_refused_with_the_range(opset: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"uses opset {opset}; opsets 7 to"):
        loaded(relu([1, 3], opset), tmp_path)


def test_shapes_come_from_the_config(tmp_path: Path) -> None:
    model = loaded(relu(["n", 3, "h", "w"]), tmp_path, "{'x': [2,3,5,7]}")
    assert model.inputs[0].shape == model.outputs[0].shape == (2, 3, 5, 7)
    assert model.derived is None


@pytest.mark.parametrize(("shape", "derived"), [([1, 3], '{"x":[1,3]}'), (["batch", 3], '{"x":[1,3]}')])
def test_a_complete_file_needs_no_config(shape: list[int | str], derived: str, tmp_path: Path) -> None:
    model = loaded(relu(shape), tmp_path)
    assert (model.derived, model.inputs[0].shape) == (derived, (1, 3))


def test_the_first_size_may_be_left_free(tmp_path: Path) -> None:
    model = loaded(relu(["n", 3]), tmp_path, '{"x":[-1,3]}')
    assert model.inputs[0].shape == model.outputs[0].shape == (-1, 3)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "leaves sizes of x open; give DataInputConfig"),
        ('{"data":[1,3,8,8]}', "names the input 'data', which the model does not have"),
        ('{"x":[1,3,8]}', "gives 'x' 3 dimensions"),
        ('{"x":[1,4,8,8]}', "the size 4 at position 1; the model fixes it to 3"),
        ('{"x":[1,3,-1,8]}', "only the first may be -1"),
        ("{", "Cannot load DataInputConfig. Incorrect json format."),
    ],
)
def test_a_config_that_does_not_fit_is_told_with_the_models_inputs(
    config: str | None, words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        loaded(relu(["n", 3, "h", "w"]), tmp_path, config)
    assert words in caught.value.message
    assert config == "{" or "inputs are x float32[n,3,h,w]" in caught.value.message


def test_initializers_are_no_inputs(tmp_path: Path) -> None:
    graph = one_node("Add", {"x": ([1, 3],)}, {"y": ([1, 3],)}, {"w": np.ones(3, np.float32)}, opset=7, ir_version=3)
    graph.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3]))
    model = loaded(graph, tmp_path)
    assert [t.name for t in model.inputs] == ["x"]
    assert model.oracle({"x": np.zeros((1, 3), np.float32)})["y"].tolist() == [[1, 1, 1]]


def test_functions_of_the_model_are_inlined(tmp_path: Path) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    function = helper.make_function("mine", "Double", ["a"], ["b"], body, opsets[:1])
    node = helper.make_node("Double", ["x"], ["y"], domain="mine")
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy"]
    graph = helper.make_graph([node], "g", info[:1], info[1:])
    model = loaded(helper.make_model(graph, functions=[function], opset_imports=opsets, ir_version=8), tmp_path)
    assert [n.op_type for n in model.graph.graph.node] == ["Add"]
    assert model.oracle({"x": np.ones((1, 2), np.float32)})["y"].tolist() == [[2, 2]]


@pytest.mark.parametrize(
    ("kind", "domain", "words"),
    [
        ("Grid", "acme.ai", "acme.ai.Grid (node 'the_node') belongs to the domain 'acme.ai'"),
        ("NoSuchContrib", "com.microsoft", "ONNX Runtime does not know the operator com.microsoft.NoSuchContrib"),
        ("Frobnicate", "", "ONNX has no operator Frobnicate"),
        ("RandomNormalLike", "", "draws random numbers"),
    ],
)
def test_operators_are_refused_by_name(kind: str, domain: str, words: str, tmp_path: Path) -> None:
    graph = one_node(kind, {"x": ([1, 3],)}, {"y": ([1, 3],)}, domain=domain)
    with pytest.raises(OperatorNotImplemented) as caught:
        loaded(graph, tmp_path)
    assert words in caught.value.message


def test_contributed_operators_that_onnx_runtime_knows_are_taken(tmp_path: Path) -> None:
    model = loaded(one_node("Gelu", {"x": ([1, 3],)}, {"y": ([1, 3],)}, domain="com.microsoft"), tmp_path)
    assert model.oracle({"x": np.zeros((1, 3), np.float32)})["y"].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("rows", [2, -1])
def test_shapes_behind_contributed_operators_are_known(rows: int, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("FusedMatMul", ["x", "w"], ["a"], domain="com.microsoft"),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["rows", "columns"]) for n in "xy")
    weight = numpy_helper.from_array(np.ones((3, 5), np.float32), "w")
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_model(helper.make_graph(nodes, "g", [x], [y], [weight]), opset_imports=sets, ir_version=8)
    assert loaded(graph, tmp_path, f"{{'x': [{rows},3]}}").outputs[0].shape == (rows, 5)


def test_a_sequence_output_is_refused_with_a_hint(tmp_path: Path) -> None:
    graph = one_node("SequenceConstruct", {"x": ([1, 3],)}, {"y": ([1, 3],)})
    graph.graph.output[0].CopyFrom(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, [1, 3]))
    with pytest.raises(InputError, match="'y' is a sequence, not a tensor; export the model with zipmap off"):
        loaded(graph, tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "No model file found."),
        (
            {"readme.txt": b"x"},
            "No .onnx file found for ONNX model. Please make sure the framework you select is correct.",
        ),
        ({"a.onnx": b"x", "b.onnx": b"x"}, "Exactly one .onnx file is allowed for ONNX models."),
        ({"a.onnx": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"}, "Git LFS pointer"),
        ({"a.onnx": b"\x08"}, "no complete protobuf"),
        ({"a.onnx": b""}, "holds no ONNX graph"),
    ],
)
def test_archives_without_one_good_model(files: dict[str, bytes], words: str, tmp_path: Path) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as caught:
        load(Source("ONNX", tmp_path), None)
    assert words in caught.value.message


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "._net.onnx").write_bytes(b"resource fork")
    assert loaded(relu([1, 3]), tmp_path).inputs[0].name == "x"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_told(share: float, tmp_path: Path) -> None:
    data = BUILDERS["mlp"](True).SerializeToString()
    (tmp_path / "net.onnx").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="Framework cannot load ONNX model"):
        load(Source("ONNX", tmp_path), None)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damage_never_ends_in_another_error(data: st.DataObject) -> None:
    import tempfile

    good = bytearray(relu([1, 3]).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.onnx").write_bytes(bytes(good))
        try:
            verify(load(Source("ONNX", Path(folder)), parse('{"x":[1,3]}')))
        except JobError as error:
            assert error.reason.startswith(("ClientError: ", "InternalServerError: "))


def external(location: str, length: int | None = None) -> onnx.ModelProto:
    graph = one_node("Add", {"x": ([1, 4],)}, {"y": ([1, 4],)}, {"w": np.arange(4, dtype=np.float32)})
    tensor = graph.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(length or 16)}.items():
        tensor.external_data.add(key=key, value=value)
    return graph


def test_weights_may_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    model = loaded(external("net.data"), tmp_path)
    assert numpy_helper.to_array(model.graph.graph.initializer[0]).tolist() == [0, 1, 2, 3]
    assert model.oracle({"x": np.zeros((1, 4), np.float32)})["y"].tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("location", "length", "words"),
    [
        ("../secret", None, "outside the archive"),
        ("/etc/passwd", None, "outside the archive"),
        ("a/../../secret", None, "outside the archive"),
        ("C:\\secret", None, "outside the archive"),
        ("missing.data", None, "is not in the archive"),
        ("short.data", None, "too short"),
        ("short.data", 8, "its place is wrong"),
    ],
)
def test_weights_elsewhere_are_refused_before_anything_opens_them(
    location: str, length: int | None, words: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    inner = tmp_path / "archive"
    inner.mkdir()
    (inner / "short.data").write_bytes(bytes(8))
    with pytest.raises(InputError) as caught:
        loaded(external(location, length), inner)
    assert words in caught.value.message


def test_a_link_to_weights_outside_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    inner = tmp_path / "archive"
    inner.mkdir()
    (inner / "net.data").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="outside the archive"):
        loaded(external("net.data"), inner)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("location", "../secret", "name their place twice"), ("offset", "0", "name their place twice"), ("offset", "1_0", "is not a number")],
)  # fmt: skip
def test_a_place_that_two_readers_take_for_two_is_refused(key: str, value: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "net.data").write_bytes(bytes(16))
    graph = external("net.data")
    tensor = graph.graph.initializer[0]
    if "number" in words:
        next(e for e in tensor.external_data if e.key == key).value = value
    else:
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(InputError, match=words):
        loaded(graph, tmp_path)
