"""TensorFlow Lite models by script: float, float16, dynamic range, int8, uint8 and int16; see MODELS. Needs TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models import keras_zoo
from neo_cli.model import tf_graph

Model = Callable[[Path], str | None]


def _keras(make: Callable[[Any], Any], form: str = "float", config: str | None = None) -> Model:
    def write(folder: Path) -> str | None:
        library, tf = keras_zoo.keras(), tf_graph.tensorflow()
        model = make(library)
        with tf_graph.quiet():
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            _form(tf, converter, form, tuple(model.inputs[0].shape[1:]))
            (folder / "model.tflite").write_bytes(converter.convert())
        return config

    return write


def _form(tf: Any, converter: Any, form: str, shape: tuple[int, ...]) -> None:
    if form == "float":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form in ("int8", "uint8", "int16"):
        random = np.random.default_rng(0)

        def samples() -> Iterator[list[np.ndarray]]:
            for _ in range(16):
                yield [random.standard_normal((1, *shape)).astype(np.float32)]

        converter.representative_dataset = samples
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if form != "int16" else wide]
        converter.inference_input_type = converter.inference_output_type = getattr(tf, form)


def _function(body: Callable[[Any, Any], Any], *shapes: tuple[int, ...], dtype: str = "float32") -> Model:
    def write(folder: Path) -> str | None:
        tf = tf_graph.tensorflow()
        specs = [tf.TensorSpec(s, dtype, name=f"x{i}") for i, s in enumerate(shapes)]
        with tf_graph.quiet():
            function = tf.function(lambda *x: body(tf, x), input_signature=specs).get_concrete_function()
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
            (folder / "model.tflite").write_bytes(converter.convert())
        return None

    return write


def _movement(tf: Any, x: Any) -> Any:
    a, b = tf.split(x[0], 2, axis=3)
    y = tf.concat([tf.reverse(a, [1]), tf.pad(b[:, 1:-1, ::2], [[0, 0], [1, 1], [0, 4], [0, 0]])], 3)
    y = tf.nn.space_to_depth(tf.pad(y, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")[:, 1:-1, 1:-1], 2)
    y = tf.transpose(y, [0, 3, 1, 2])
    z = tf.stack([y[0, 0], y[0, 1]], 0)
    return (
        tf.gather(tf.tile(z, [1, 2, 1]), [1, 0, 1], axis=0),
        tf.squeeze(tf.expand_dims(tf.reduce_max(y, [2, 3]), 1)),
        tf.unstack(y, axis=1)[2],
    )


def _arithmetic(tf: Any, x: Any) -> Any:
    a, b = x
    y = tf.sqrt(tf.abs(a)) + tf.exp(-b) * tf.math.rsqrt(tf.abs(b) + 1.0) - tf.square(a) / (1.0 + tf.abs(b))
    y = tf.maximum(y, tf.minimum(a, b)) + tf.floor(a) - tf.math.ceil(b) + tf.sin(a) * tf.cos(b) + tf.round(a * 3.0)
    y = tf.where(a > b, y, tf.nn.elu(y)) + tf.math.squared_difference(a, b) + tf.pow(tf.abs(a) + 0.5, 1.5)
    m = tf.cast(tf.logical_and(a > 0.0, tf.logical_not(b >= 0.5)), tf.float32)
    return (
        tf.nn.log_softmax(y) + m,
        tf.argmax(y, 1),
        tf.math.floordiv(a, tf.abs(b) + 1.0),
        tf.nn.l2_normalize(a, 1),
        tf.cumsum(b, 1),
    )


def _attention(tf: Any, x: Any) -> Any:
    q, k, v = x
    weights = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) * 0.35)
    return tf.nn.gelu(tf.matmul(weights, v)), tf.reduce_mean(weights, 1), tf.nn.gelu(v, approximate=True)


def _resizes(tf: Any, x: Any) -> Any:
    a = tf.image.resize(x[0], [9, 11])
    b = tf.compat.v1.image.resize_bilinear(x[0], [12, 12])
    c = tf.compat.v1.image.resize_bilinear(x[0], [11, 9], align_corners=True)
    return (
        a,
        b,
        c,
        tf.image.resize(x[0], [12, 12], "nearest"),
        tf.compat.v1.image.resize_nearest_neighbor(x[0], [9, 12]),
    )


def _dilated(tf: Any, x: Any) -> Any:
    kernel = tf.constant(np.random.default_rng(1).standard_normal((3, 3, 3, 4)).astype(np.float32) * 0.3)
    y = tf.nn.conv2d(x[0], kernel, 1, "SAME", dilations=2)
    y = tf.nn.local_response_normalization(y, 2)
    up = tf.constant(np.random.default_rng(2).standard_normal((2, 2, 5, 4)).astype(np.float32))
    z = tf.nn.conv2d_transpose(y, up, [1, 20, 20, 5], 2, "SAME")
    return (
        z,
        tf.nn.avg_pool2d(y, 3, 2, "SAME"),
        tf.space_to_batch(y, [2, 2], [[0, 0], [0, 0]]),
        tf.batch_to_space(tf.tile(y, [4, 1, 1, 1]), [2, 2], [[1, 0], [0, 1]]),
    )


def _lookups(tf: Any, x: Any) -> Any:
    """Gathers behind batch axes, with and without axes between."""
    a, b = x
    at = tf.minimum(tf.cast(tf.abs(b) * 2.0, tf.int32), 4)
    return (
        tf.gather(a, at[:, 0], axis=2, batch_dims=1),
        tf.gather(a, at[:, :, :3, 0], axis=2, batch_dims=2),
        tf.gather(a, at[:, 0, :2], axis=3, batch_dims=1),
    )


def _flow(tf: Any, x: Any) -> Any:
    """Loops of a known and of an unknown number of turns, one within another, and a branch."""

    def turn(i: Any, y: Any) -> Any:
        inner = tf.while_loop(lambda j, z: j < i, lambda j, z: (j + 1, z * 0.5 + x[0]), (tf.constant(0), y))
        return i + 1, inner[1]

    y = tf.while_loop(lambda i, y: i < 3, turn, (tf.constant(0), tf.tanh(x[0])))[1]
    z = tf.while_loop(lambda z: tf.reduce_sum(z) < 50.0, lambda z: (tf.abs(z) * 1.5 + 1.0,), (y,))[0]
    return y, z, tf.cond(tf.reduce_sum(x[0]) > 0.0, lambda: y * 2.0, lambda: x[0])


MODELS: dict[str, Model] = {
    "convnet": _keras(keras_zoo._convnet, config='{"serving_default_image":[1,16,16,3]}'),
    "convnet-float16": _keras(keras_zoo._convnet, "float16"),
    "convnet-dynamic": _keras(keras_zoo._convnet, "dynamic"),
    "convnet-int8": _keras(keras_zoo._convnet, "int8"),
    "convnet-uint8": _keras(keras_zoo._convnet, "uint8"),
    "unet": _keras(keras_zoo._unet),
    "transformer": _keras(keras_zoo._transformer),
    "movement": _function(_movement, (1, 8, 8, 6)),
    "arithmetic": _function(_arithmetic, (3, 7), (3, 7)),
    "attention": _function(_attention, (2, 5, 8), (2, 5, 8), (2, 5, 8)),
    "resizes": _function(_resizes, (1, 6, 6, 3)),
    "lookups": _function(_lookups, (2, 3, 5, 6), (2, 3, 5, 6)),
    "flow": _function(_flow, (2, 3)),
    "convnet-int16": _keras(keras_zoo._convnet, "int16"),
    "dilated": _function(_dilated, (1, 10, 10, 3)),
}
