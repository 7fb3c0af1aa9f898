"""mcpu, mattr, fat artifacts, and models whose batch is free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import compile, tuning
from neo_cli.base.errors import CompileError, OperatorNotImplemented
from neo_cli.model.model import Model, Source, Tensor
from neo_cli.runtime import cpu
from neo_cli.runtime.engines.native import Engine
from neo_cli.targets.devices import targets


def test_mcpu_names_a_processor_in_neos_words():
    record = targets()["LINUX_X86_64"]
    (found,) = tuning.levels(record, {"mcpu": "core-avx2"})
    assert (found.cpu, found.features) == ("haswell", ("avx2", "fma"))
    (arm,) = tuning.levels(targets()["LINUX_ARM64"], {"mcpu": "cortex-a72"})
    assert arm.cpu == "cortex_a72"


def test_mattr_stands_behind_the_processor():
    (found,) = tuning.levels(targets()["LINUX_ARM_EABI"], {"mattr": ["+neon"]})
    assert found.cpu.endswith("+neon") and "neon" in found.features


def test_an_unknown_processor_is_refused_by_name():
    with pytest.raises(CompileError, match="pentium-9000".replace("-", "_")):
        tuning.levels(targets()["LINUX_X86_64"], {"mcpu": "pentium-9000"})


def test_a_fat_artifact_runs_its_best_level(start, tmp_path: Path):
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    build = compile(model, targets()["LINUX_X86_64"], {"mcpu": "generic"}, tmp_path)
    assert list(build.files)[:2] == ["compiled.so", "compiled.params"]
    assert build.cpu_features == ("sse2",)
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    folder = tmp_path / "artifact"
    for name, path in build.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(path.read_bytes())
    engine = Engine(folder, {"settings": build.settings, **tensors}, 1)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 5e-6
    best = [level for level in tuning.LEVELS if not cpu.missing(tuning.X86[level])][-1]
    assert best == "x86_64" or best in str(engine.library.path)
    engine.close()


def free_batch() -> Model:
    """A Model of one linear layer, as a front end of forests gives it: batch -1."""
    w = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Softmax", ["m"], ["y"], axis=1)],
        "free",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(w, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def oracle(inputs):
        m = np.exp(inputs["x"] @ w)
        return {"y": m / m.sum(1, keepdims=True)}

    shapes = (Tensor("x", "float32", (-1, 4)),), (Tensor("y", "float32", (-1, 3)),)
    return Model(proto, *shapes, Source("SKLEARN", Path()), oracle)


@pytest.mark.parametrize("rows", [1, 2, 33, 0])
def test_a_free_batch_takes_any_number_of_rows(tmp_path: Path, rows):
    model = free_batch()
    build = compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    engine = Engine(tmp_path, {"settings": build.settings, **tensors}, 2)
    feed = {"x": np.random.default_rng(1).standard_normal((rows, 4)).astype(np.float32)}
    assert np.allclose(engine.run(feed)["y"], model.oracle(feed)["y"], atol=1e-6)
    engine.close()


def test_a_missing_operator_is_refused_with_its_node(tmp_path: Path):
    graph = helper.make_graph(
        [helper.make_node("Frobnicate", ["x"], ["y"], name="the_node", domain="some.domain")],
        "odd",
        [helper.make_tensor_value_info("x", 1, [2])],
        [helper.make_tensor_value_info("y", 1, [2])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("some.domain", 1)]
    tensor = (Tensor("x", "float32", (2,)),), (Tensor("y", "float32", (2,)),)
    model = Model(helper.make_model(graph, opset_imports=opsets), *tensor, Source("ONNX", tmp_path), dict)  # type: ignore[arg-type]
    with pytest.raises(OperatorNotImplemented, match=r"Frobnicate.*the_node"):
        compile(model, targets()["LINUX_X86_64"], {}, tmp_path)


@pytest.mark.parametrize(("target", "options"), [("ml_c4", {}), ("LINUX_X86_64", {"mcpu": "generic"}), ("rasp4b", {})])
def test_weights_may_lie_inside_the_library(tmp_path: Path, target: str, options: dict[str, str]):
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    build = compile(model, targets()[target], {"embed_weights": True, **options}, tmp_path)
    assert {Path(name).name for name in build.files} == {"compiled.so"} and "weights" not in build.settings
    feed = feeds(model)
    if build.emulate is not None:
        found = build.emulate(feed)
    else:
        folder = tmp_path / "artifact"
        for name, path in build.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(path.read_bytes())
        tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
        engine = Engine(folder, {"settings": build.settings, **tensors}, 1)
        found = engine.run(feed)
        engine.close()
    assert error(found, model.oracle(feed)) < 5e-6


def test_the_report_counts_what_was_chosen_for_each_convolution(tmp_path: Path):
    model = as_model(BUILDERS["mobilenetv2"](True), tmp_path)
    (note,) = [n for n in compile(model, targets()["ml_c4"], {}, tmp_path).notes if "convolutions and products" in n]
    counts = {kind: int(count) for count, kind in (part.split(" ", 1) for part in note.split(": ")[1].split(", "))}
    operators = [node.op_type for node in model.graph.graph.node]
    assert sum(counts.values()) == operators.count("Conv") + operators.count("Gemm") + operators.count("MatMul")
    assert counts["depthwise"] == sum(
        a.i > 1 for n in model.graph.graph.node if n.op_type == "Conv" for a in n.attribute if a.name == "group"
    )


def test_winograds_choice_is_recorded(tmp_path: Path):
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "net",
        [helper.make_tensor_value_info("x", 1, [1, 64, 56, 56])],
        [helper.make_tensor_value_info("y", 1, [1, 64, 56, 56])],
        [onnx.numpy_helper.from_array(np.ones((64, 64, 3, 3), np.float32), "w")],
    )
    model = as_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path)
    for asked, wanted in (("2", "1 Winograd F(2x2)"), ("off", "1 direct")):
        notes = compile(model, targets()["ml_c4"], {"winograd": asked}, tmp_path).notes
        assert f"1 convolutions and products: {wanted}" in notes
