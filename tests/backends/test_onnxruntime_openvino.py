"""The two engine back ends: what they write, that it is the same every time, and what they refuse."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from compiling import loaded, one_node, target
from models.builders import BUILDERS
from neo_cli.backends import onnxruntime as ort_backend
from neo_cli.backends import openvino as ov_backend
from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.model import proto
from neo_cli.model.build import Build
from neo_cli.passes import optimize

COMPILE = {"onnxruntime": ort_backend.compile, "openvino": ov_backend.compile}
pytest.importorskip("openvino")


def build(backend: str, graph: onnx.ModelProto, folder: Path, **options: object) -> Build:
    model = optimize(loaded(graph, folder / "source"), target("ml_c5"), [].append, lambda *_: None)
    (folder / "work").mkdir()
    return COMPILE[backend](model, target("ml_c5"), options, folder / "work")


@pytest.mark.parametrize("backend", COMPILE)
def test_the_same_model_makes_the_same_bytes(backend: str, tmp_path: Path) -> None:
    one, two = (build(backend, BUILDERS["yolo"](True), tmp_path / name) for name in ("a", "b"))
    assert list(one.files) == list(two.files)
    for name in one.files:
        assert one.files[name].read_bytes() == two.files[name].read_bytes(), name


def test_onnxruntime_optimises_ahead_of_time(tmp_path: Path) -> None:
    made = build("onnxruntime", BUILDERS["bert"](True), tmp_path)
    kinds = {n.op_type for n in onnx.load(made.files["compiled.onnx"]).graph.node}
    assert {"Gelu", "SkipLayerNormalization"} <= kinds
    assert made.settings == {"file": "compiled.onnx"} and made.cpu_features == ()


def test_the_blocked_layout_is_for_a_target_that_is_this_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = target("ml_c5").features
    monkeypatch.setattr(ort_backend.cpu, "features", lambda: frozenset(features))
    monkeypatch.setattr(ort_backend.cpu, "machine", lambda: ("linux", "x86_64"))
    made = build("onnxruntime", BUILDERS["resnet50"](True), tmp_path)
    assert made.settings == {"file": "compiled.onnx", "final": True} and made.cpu_features == features


def test_large_weights_get_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proto, "PROTOBUF_LIMIT", 1000)
    made = build("onnxruntime", BUILDERS["mlp"](), tmp_path)
    assert list(made.files) == ["compiled.onnx", "compiled.onnx.data"]
    assert made.files["compiled.onnx"].stat().st_size < 20_000


@pytest.mark.parametrize(
    ("precision", "hint", "gate"),
    [("float32", "f32", "float32"), ("bfloat16", "bf16", "bfloat16"), ("auto", None, "bfloat16")],
)
def test_openvinos_precision_follows_the_option(precision: str, hint: str | None, gate: str, tmp_path: Path) -> None:
    made = build("openvino", BUILDERS["mlp"](True), tmp_path, precision=precision)
    assert made.settings["precision"] == hint and made.precision == gate
    assert list(made.files) == ["compiled.xml", "compiled.bin"]


def test_openvino_keeps_float32_weights(tmp_path: Path) -> None:
    made = build("openvino", BUILDERS["mlp"](True), tmp_path)
    assert made.files["compiled.bin"].stat().st_size >= sum(4 * 32 * 32 for _ in range(2))


def test_openvino_refuses_strings_by_name(tmp_path: Path) -> None:
    graph = one_node(
        "LabelEncoder", {"x": ([1, 2], TensorProto.STRING)}, {"y": ([1, 2], TensorProto.INT64)}, domain="ai.onnx.ml",
        keys_strings=["a", "b"], values_int64s=[1, 2],
    )  # fmt: skip
    graph.opset_import[1].version = 3
    with pytest.raises(OperatorNotImplemented, match="openvino does not take strings; 'x' is one"):
        build("openvino", graph, tmp_path)


def test_openvino_names_an_operator_it_lacks(tmp_path: Path) -> None:
    graph = one_node("Det", {"x": ([2, 3, 3],)}, {"y": ([2],)})
    with pytest.raises(OperatorNotImplemented, match="Det"):
        build("openvino", graph, tmp_path)


def test_onnxruntime_names_an_operator_it_lacks(tmp_path: Path) -> None:
    graph = one_node("Relu", {"x": ([3], TensorProto.INT64)}, {"y": ([3], TensorProto.INT64)})
    with pytest.raises(OperatorNotImplemented, match=r"onnxruntime cannot compile the model: .*Relu"):
        build("onnxruntime", graph, tmp_path)
