"""TensorFlow models by script: SavedModels of both generations and frozen graphs; see MODELS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.model import tf_graph

Model = Callable[[Path], str | None]


def _function(folder: Path) -> str | None:
    """A tf.Module with two inputs, two outputs, int64 ids and a signature of its own name."""
    tf = tf_graph.tensorflow()
    random = np.random.default_rng(0)

    class Module(tf.Module):
        def __init__(self) -> None:
            self.table = tf.Variable(random.standard_normal((20, 8)).astype(np.float32))
            self.w = tf.Variable(random.standard_normal((12, 4)).astype(np.float32))

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, 5], tf.int64, name="ids"),
                tf.TensorSpec([None, 4], tf.float32, name="side"),
            ]
        )
        def serve(self, ids: Any, side: Any) -> Any:
            x = tf.concat([tf.reduce_mean(tf.gather(self.table, ids), 1), side], 1)
            y = x @ self.w
            return {"scores": tf.nn.softmax(y), "best": tf.argmax(y, 1)}

    module = Module()
    with tf_graph.quiet():
        tf.saved_model.save(module, str(folder / "export"), signatures={"score": module.serve})
    return '{"ids":[2,5],"side":[2,4]}'


def _convnet(folder: Path) -> str | None:
    tf = tf_graph.tensorflow()
    random = np.random.default_rng(1)

    class Module(tf.Module):
        def __init__(self) -> None:
            self.k = tf.Variable(random.standard_normal((3, 3, 3, 8)).astype(np.float32) * 0.3)
            self.d = tf.Variable(random.standard_normal((3, 3, 8, 1)).astype(np.float32) * 0.3)

        @tf.function(input_signature=[tf.TensorSpec([1, 16, 16, 3], tf.float32, name="image")])
        def serve(self, image: Any) -> Any:
            x = tf.nn.relu6(tf.nn.conv2d(image, self.k, 2, "SAME"))
            x = tf.nn.depthwise_conv2d(x, self.d, [1, 1, 1, 1], "SAME")
            x = tf.image.resize(x, [16, 16])
            return {"map": tf.nn.leaky_relu(tf.nn.space_to_depth(x, 2))}

    module = Module()
    with tf_graph.quiet():
        tf.saved_model.save(module, str(folder), signatures=module.serve)
    return None


def _while(folder: Path) -> str | None:
    """Control flow: a loop whose count depends on the data."""
    tf = tf_graph.tensorflow()

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([4], tf.float32, name="x")])
        def serve(self, x: Any) -> Any:
            x = tf.while_loop(lambda v: tf.reduce_sum(tf.abs(v)) > 1.0, lambda v: (v * 0.5,), [x])[0]
            return {"y": tf.cond(x[0] > 0, lambda: x + 1.0, lambda: x - 1.0)}

    module = Module()
    with tf_graph.quiet():
        tf.saved_model.save(module, str(folder), signatures=module.serve)
    return None


def graph_v1() -> Any:
    """A TensorFlow 1 graph with constants for weights."""
    tf = tf_graph.tensorflow()
    random = np.random.default_rng(2)
    graph = tf.Graph()
    with graph.as_default(), tf_graph.quiet():
        x = tf.compat.v1.placeholder(tf.float32, [None, 8, 8, 3], "input_tensor")
        k = tf.constant(random.standard_normal((3, 3, 3, 4)).astype(np.float32))
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, k, 1, "VALID"), tf.constant([0.1, 0.2, 0.3, 0.4])))
        tf.nn.softmax(tf.reshape(tf.reduce_mean(y, [1, 2]), [-1, 4]), name="output_tensor")
    return graph


def _frozen(folder: Path) -> str | None:
    (folder / "frozen.pb").write_bytes(graph_v1().as_graph_def().SerializeToString())
    return '{"input_tensor:0":[1,8,8,3]}'


def _text(folder: Path) -> str | None:
    from google.protobuf import text_format

    (folder / "frozen.pbtxt").write_text(text_format.MessageToString(graph_v1().as_graph_def()))
    return None


def _saved_v1(folder: Path) -> str | None:
    tf = tf_graph.tensorflow()
    graph = graph_v1()
    with tf.compat.v1.Session(graph=graph) as session, tf_graph.quiet():
        inputs = {"image": graph.get_tensor_by_name("input_tensor:0")}
        tf.compat.v1.saved_model.simple_save(
            session, str(folder / "v1"), inputs, {"probabilities": graph.get_tensor_by_name("output_tensor:0")}
        )
    (folder / "v1" / "variables").mkdir(exist_ok=True)
    return '{"image":[2,8,8,3]}'


MODELS: dict[str, Model] = {
    "function": _function,
    "convnet": _convnet,
    "while": _while,
    "frozen": _frozen,
    "frozen-text": _text,
    "saved-v1": _saved_v1,
}
