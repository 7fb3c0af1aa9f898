"""tf2onnx in a third of its memory: weights are not copied at every step, and what a step leaves behind is given back."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import onnx

CATCH = "TF2ONNX_CATCH_ERRORS"  # tf2onnx: copy the graph before each pass and go back where the pass fails


def convert(make: Callable[[], tuple[onnx.ModelProto, Any]]) -> onnx.ModelProto:
    """The graph that `make` has tf2onnx build: frugally, and where that fails, as tf2onnx would by itself."""
    try:
        with _frugal():
            return make()[0]
    except Exception:  # whatever its handlers meet; alone it goes back to the graph before a pass that fails
        return make()[0]
    finally:
        gc.collect()


@contextlib.contextmanager
def _frugal() -> Iterator[None]:
    """ResNet-50 takes 8 GB without these four: protobuf never gives back what a message once held."""
    from tensorflow.python.framework import convert_to_constants as freezing
    from tf2onnx import tf_loader
    from tf2onnx.graph import Node

    update, optimize, construct = Node.update_proto, tf_loader.tf_optimize, freezing._construct_concrete_function

    def update_computed(node: Any, storage: Any = None) -> None:
        if not node.is_const():  # constants are read from the node itself in the end
            update(node, storage)

    def optimize_alone(*arguments: Any, **options: Any) -> Any:
        gc.collect()  # tracing leaves graphs behind, in cycles
        return optimize(*arguments, **options)

    Node.update_proto, tf_loader.tf_optimize = update_computed, optimize_alone
    freezing._construct_concrete_function = _frozen
    os.environ[CATCH] = "FALSE"
    try:
        yield
    finally:
        Node.update_proto, tf_loader.tf_optimize = update, optimize
        freezing._construct_concrete_function = construct
        os.environ.pop(CATCH, None)


def _frozen(function: Any, graph: Any, converted: Any) -> Any:
    """The frozen graph as it is, where TensorFlow would build a function of it twice only to have it written again."""
    from tensorflow.compat.v1 import graph_util

    kept = [t.op.name for i, t in enumerate(function.inputs) if i not in converted]
    wanted = graph_util.extract_sub_graph(graph, [*dict.fromkeys(t.op.name for t in function.outputs), *kept])
    wanted.library.CopyFrom(graph.library)
    wanted.versions.CopyFrom(graph.versions)
    return SimpleNamespace(graph=SimpleNamespace(as_graph_def=lambda add_shapes=False: wanted))
