"""The arithmetic of a graph, counted from its shapes."""

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from compiling import loaded, one_node
from models.builders import BUILDERS
from models.operators import MODELS
from neo_cli.model.work import multiply_adds, useful_threads


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("Conv", 6 * 4 * 4 * 4 * 9),
        ("Conv of groups", 4 * 8 * 8 * 9),
        ("ConvTranspose", 4 * 8 * 8 * 3 * 4),
        ("MatMul", 2 * 3 * 5 * 4),
        ("Gemm", 2 * 5 * 3),
        ("Relu", 0),
        ("LSTM", None),
    ],
)
def test_one_operator(name: str, count: int | None, tmp_path: Path) -> None:
    assert multiply_adds(loaded(MODELS[name](), tmp_path).graph) == count


def test_small_models_want_one_thread_and_large_ones_all(tmp_path: Path) -> None:
    assert useful_threads(loaded(BUILDERS["mlp"](True), tmp_path).graph) == 1
    large = loaded(BUILDERS["mobilenetv2"](), tmp_path)
    assert 2.9e8 < (multiply_adds(large.graph) or 0) < 3.2e8  # the paper says 300 million
    assert useful_threads(large.graph) is None


def test_nothing_is_said_where_a_size_is_open(tmp_path: Path) -> None:
    graph = one_node(
        "MatMul", {"x": (["n", 4], TensorProto.FLOAT)}, {"y": (["n", 3],)}, {"w": np.ones((4, 3), np.float32)}
    )
    assert useful_threads(loaded(graph, tmp_path, '{"x":[-1,4]}').graph) is None
