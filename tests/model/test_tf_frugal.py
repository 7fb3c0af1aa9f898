"""tf2onnx works frugally for every model of the zoos, and as it would alone where that fails; nothing of it stays patched."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from neo_cli.model import tf_frugal

pytestmark = pytest.mark.slow
if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("tf2onnx") is None:
    pytest.skip("the tensorflow extra is not installed", allow_module_level=True)

# A network of 96 MiB of weights, converted in a process of its own, and the memory that took.
WIDE = """
import resource, sys
import numpy as np
from neo_cli.model import tf_graph
from neo_cli.model.model import Tensor
tf = tf_graph.tensorflow()
random = np.random.default_rng(0)
weights = [tf.Variable(random.standard_normal((1024, 1024), dtype=np.float32) * 0.03) for _ in range(24)]
import tf2onnx
def call(x):
    for w in weights:
        x = tf.nn.relu(x @ w)
    return [x]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
graph = tf_graph.convert(call, [Tensor("x", "float32", (1, 1024))], ["y"], (), "no:")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, len(graph.graph.initializer))
"""


def test_the_weights_are_in_memory_a_few_times_only() -> None:
    done = subprocess.run([sys.executable, "-c", WIDE], capture_output=True, text=True, check=True)
    mebibytes, weights = (int(word) for word in done.stdout.split())
    assert weights >= 24
    assert mebibytes < 96 * 22, "14 copies of the weights; tf2onnx by itself takes 38"


@pytest.mark.parametrize("name", ["function", "convnet"])
def test_the_zoo_needs_no_second_attempt(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.tensorflow_zoo import MODELS
    from neo_cli.frontends.tensorflow import load
    from neo_cli.model.inputs import parse
    from neo_cli.model.model import Source

    kept, made = tf_frugal.convert, []

    def counted(make: object) -> onnx.ModelProto:
        def once() -> object:
            made.append(os.environ.get(tf_frugal.CATCH))
            return make()  # type: ignore[operator]

        return kept(once)  # type: ignore[arg-type]

    monkeypatch.setattr(tf_frugal, "convert", counted)
    config = MODELS[name](tmp_path)
    load(Source("TENSORFLOW", tmp_path, trusted=True), parse(config))
    assert made == ["FALSE"]


def test_a_pass_that_fails_is_tried_as_tf2onnx_would() -> None:
    from tensorflow.python.framework import convert_to_constants
    from tf2onnx import tf_loader
    from tf2onnx.graph import Node

    before = (Node.update_proto, tf_loader.tf_optimize, convert_to_constants._construct_concrete_function)
    seen: list[bool] = []

    def make() -> tuple[onnx.ModelProto, None]:
        seen.append(Node.update_proto is before[0])
        if len(seen) == 1:
            raise RuntimeError("a pass failed")
        return onnx.ModelProto(producer_name="second"), None

    assert tf_frugal.convert(make).producer_name == "second" and seen == [False, True]
    assert before == (Node.update_proto, tf_loader.tf_optimize, convert_to_constants._construct_concrete_function)
    assert tf_frugal.CATCH not in os.environ
