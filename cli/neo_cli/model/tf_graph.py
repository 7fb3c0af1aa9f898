"""TensorFlow functions as ONNX graphs: what the front ends of SavedModels, Keras models and TFLite files share."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import onnx

from neo_cli.base.errors import InputError
from neo_cli.base.quiet import quiet as silence
from neo_cli.model import tf_frugal
from neo_cli.model.model import Tensor

PIP = "pip install 'neo-cli[tensorflow]'"
OPSET = 17


def require(what: str) -> None:
    """Raise InputError with the line to type when TensorFlow or tf2onnx is missing; imports nothing."""
    if importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("tf2onnx") is None:
        raise InputError(f"{what} models need TensorFlow: {PIP}.")


def tensorflow() -> Any:
    """The tensorflow module, its chatter off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with quiet():
        import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    return tf


def quiet() -> contextlib.AbstractContextManager[None]:
    """TensorFlow, Keras and tf2onnx warn about themselves; none of it is the user's."""
    return silence("tensorflow", "tf2onnx", "absl", "h5py")


def plain(name: str) -> str:
    """A tensor's name without TensorFlow's output number."""
    return re.sub(r":0$", "", name)


def convert(
    function: Callable[..., Sequence[Any]],
    inputs: Sequence[Tensor],
    outputs: Sequence[str],
    nchw: Sequence[str],
    explain: str,
) -> onnx.ModelProto:
    """The ONNX graph of `function`, which takes the inputs in order and returns the outputs in order.

    `nchw` names inputs that the graph takes as NCHW although `inputs` (and the function) have them as NHWC.
    Raises InputError: `explain`, then tf2onnx's reason.
    """
    tf = tensorflow()
    import tf2onnx

    names = {t.name: f"in_{i}" for i, t in enumerate(inputs)}  # TensorFlow takes few characters in a name
    specs = [tf.TensorSpec([None if n == -1 else n for n in t.shape], t.dtype, name=names[t.name]) for t in inputs]
    try:
        with quiet(), _uncompiled(tf):
            wrapped = tf.function(lambda *arguments: tuple(function(*arguments)))
            make = functools.partial(
                tf2onnx.convert.from_function,
                wrapped,
                input_signature=specs,
                opset=OPSET,
                inputs_as_nchw=[names[n] for n in nchw],
            )
            graph = tf_frugal.convert(make)
    except Exception as error:  # tf2onnx raises whatever its handlers meet
        raise InputError(f"{explain} {_reason(error)}") from error
    _complete(graph, explain)
    _rename(
        graph,
        {
            **{v: k for k, v in names.items()},
            **{v.name: name for v, name in zip(graph.graph.output, outputs, strict=True)},
        },
    )
    _reorder(graph, [t.name for t in inputs], inputs, nchw)
    return graph


@contextlib.contextmanager
def _uncompiled(tf: Any) -> Iterator[None]:
    """While tracing, functions that ask for XLA are plain ones: tf2onnx cannot look into the others."""
    original = tf.function

    def plain_function(*arguments: Any, **options: Any) -> Any:
        options.pop("jit_compile", None)
        return original(*arguments, **options)

    tf.function = plain_function
    try:
        yield
    finally:
        tf.function = original


def _complete(graph: onnx.ModelProto, explain: str) -> None:
    """Write what tf2onnx left as TensorFlow operators in ONNX's, and refuse the rest by name."""
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    for node in nodes:
        if node.op_type == "Erfc":
            one, inner = f"{node.output[0]}/one", f"{node.output[0]}/erf"
            value = onnx.helper.make_tensor(one, onnx.TensorProto.FLOAT, [], [1.0])
            graph.graph.node.append(onnx.helper.make_node("Constant", [], [one], value=value))
            graph.graph.node.append(onnx.helper.make_node("Erf", list(node.input), [inner]))
            graph.graph.node.append(onnx.helper.make_node("Sub", [one, inner], list(node.output)))
        else:
            graph.graph.node.append(node)
    missing = sorted(
        {n.op_type for n in graph.graph.node if n.domain in ("", "ai.onnx") and not onnx.defs.has(n.op_type)}
    )
    if missing:
        raise InputError(f"{explain} The following operators are not implemented: {{{', '.join(map(repr, missing))}}}")


def _reorder(graph: onnx.ModelProto, names: list[str], inputs: Sequence[Tensor], nchw: Sequence[str]) -> None:
    """Inputs in our order; one the function ignores stays an input."""
    import numpy as np

    present = {v.name: v for v in graph.graph.input}
    values = []
    for tensor in inputs:
        shape = list(tensor.shape)
        if tensor.name in nchw:
            shape = [shape[0], shape[3], shape[1], shape[2]]
        kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
        fresh = onnx.helper.make_tensor_value_info(tensor.name, kind, ["batch" if n == -1 else n for n in shape])
        if tensor.name in present:
            fresh.type.tensor_type.elem_type = present[tensor.name].type.tensor_type.elem_type
        values.append(fresh)
    del graph.graph.input[:]
    graph.graph.input.extend(values)


def _rename(graph: onnx.ModelProto, names: dict[str, str]) -> None:
    """Give values new names; a value that is both an input or used twice as an output gets an Identity."""
    taken: set[str] = set()
    for value in graph.graph.output:
        new = names.get(value.name, value.name)
        if value.name in taken or value.name in {v.name for v in graph.graph.input}:
            graph.graph.node.append(onnx.helper.make_node("Identity", [value.name], [new]))
            value.name = new
        taken.add(value.name)
    for node in graph.graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.value_info):
        value.name = names.get(value.name, value.name)


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
