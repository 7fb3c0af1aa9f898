"""Passes: fewer nodes, the same numbers, and a word where one is left out."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from compiling import loaded, target
from models.builders import BUILDERS, Graph
from neo_cli.model import feeds
from neo_cli.model.model import Model
from neo_cli.passes import PASSES, optimize, shapes, slim


def ran(model: Model, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(model.graph.SerializeToString()).run(None, feed)


def arithmetic() -> onnx.ModelProto:
    """A Reshape to a shape that the graph computes from its input."""
    g = Graph("arithmetic")
    x = g.input("x", ["n", 4, "h"])
    size = g.op("Gather", g.op("Shape", x), g.ints(0), axis=0)
    flat = g.op("Reshape", x, g.op("Concat", size, g.ints(-1), axis=0))
    return g.finish({"y": (g.op("Relu", flat), ["n", "m"])})


def test_shape_arithmetic_is_gone_and_the_output_known(tmp_path: Path) -> None:
    log: list[str] = []
    kept: list[str] = []
    model = loaded(arithmetic(), tmp_path, '{"x":[2,4,3]}')
    better = optimize(model, target(), log.append, lambda name, _: kept.append(name))
    kinds = [n.op_type for n in better.graph.graph.node]
    assert "Shape" not in kinds and "Gather" not in kinds and len(kinds) < 4
    assert better.outputs[0].shape == (2, 12)
    assert kept == list(PASSES)
    assert log[0].startswith("pass slim: 6 nodes, 0.0 MB of weights -> ")


@pytest.mark.parametrize("name", BUILDERS)
def test_the_function_stays_the_same(name: str, tmp_path: Path) -> None:
    model = loaded(BUILDERS[name](True), tmp_path)
    feed = next(iter(feeds.seeded(model)))[1]
    better = optimize(model, target(), [].append, lambda *_: None)
    assert len(better.graph.graph.node) <= len(model.graph.graph.node)
    for own, source in zip(ran(better, feed), model.oracle(feed).values()):
        np.testing.assert_allclose(own, source, rtol=1e-3, atol=1e-4)


def test_a_model_that_onnxslim_does_not_take_goes_on_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxslim

    def fails(_: object) -> None:
        raise RuntimeError("no rule for this")

    log: list[str] = []
    monkeypatch.setattr(onnxslim, "slim", fails)
    model = loaded(BUILDERS["mlp"](True), tmp_path, log=log)
    assert slim.run(model, target()) is model
    assert log[-1] == "onnxslim does not take this model and is left out: RuntimeError: no rule for this"


def test_a_pass_that_renames_outputs_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxslim

    def renames(graph: onnx.ModelProto) -> onnx.ModelProto:
        graph.graph.output[0].name = "other"
        return graph

    monkeypatch.setattr(onnxslim, "slim", renames)
    model = loaded(BUILDERS["mlp"](True), tmp_path)
    assert slim.run(model, target()) is model


def test_sizes_the_graph_knows_outlive_inference(tmp_path: Path) -> None:
    g = Graph("contributed")
    x = g.input("x", [1, 3])
    y = g.op("Gelu", x, domain="com.microsoft")
    nodes, inputs = g.nodes, g.inputs
    output = onnx.helper.make_tensor_value_info(y, onnx.TensorProto.FLOAT, [1, 3])
    graph = onnx.helper.make_graph(nodes, "g", inputs, [output])
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("com.microsoft", 1)]
    model = loaded(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path)
    assert shapes.run(model, target()).outputs[0].shape in ((1, 3), (-1, -1))


def test_large_weights_are_not_copied_through_onnxslim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxslim

    seen: list[int] = []
    real = onnxslim.slim
    monkeypatch.setattr(onnxslim, "slim", lambda graph: (seen.append(graph.ByteSize()), real(graph))[1])
    monkeypatch.setattr(slim, "LARGE", 4000)
    model = loaded(BUILDERS["bert"](True), tmp_path)
    better = slim.run(model, target())
    assert seen[0] < model.graph.ByteSize() / 2
    assert (
        [t.name for t in better.inputs] == [v.name for v in better.graph.graph.input] == ["input_ids", "attention_mask"]
    )
    feed = next(iter(feeds.seeded(model)))[1]
    for own, source in zip(ran(better, feed), model.oracle(feed).values()):
        np.testing.assert_allclose(own, source, rtol=1e-3, atol=1e-4)
