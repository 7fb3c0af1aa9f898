"""Keras models by script: each of MODELS writes one file into the folder and returns the DataInputConfig text, or None."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neo_cli.model import tf_graph

Model = Callable[[Path], str | None]


def keras() -> Any:
    """Keras, seeded, its chatter off."""
    tf_graph.tensorflow()
    import keras as library

    library.utils.set_random_seed(3)
    return library


def _convnet(k: Any) -> Any:
    L = k.layers
    return k.Sequential([
        L.Input((16, 16, 3), name="image"), L.Conv2D(8, 3, 2, "same", use_bias=False), L.BatchNormalization(), L.ReLU(6.0), L.DepthwiseConv2D(3, padding="same"),
        L.LeakyReLU(), L.MaxPooling2D(), L.SeparableConv2D(8, 3, padding="same", activation="swish"), L.GlobalAveragePooling2D(), L.Dropout(0.3), L.Dense(5, "softmax"),
    ])  # fmt: skip


def _unet(k: Any) -> Any:
    L = k.layers
    x = L.Input((16, 16, 3), name="image")
    a = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = L.Conv2D(8, 3, 2, "same", groups=2, activation="gelu")(a)
    up = L.Conv2DTranspose(8, 2, 2)(b)
    big = L.UpSampling2D(2, interpolation="bilinear")(b)
    out = L.Conv2D(2, 1, name="mask")(L.ZeroPadding2D(1)(L.Concatenate()([a, up, big])))
    return k.Model(x, L.Cropping2D(1)(out))


def _rnn(k: Any) -> Any:
    L = k.layers
    x = L.Input((12, 6), name="signal")
    y = L.Bidirectional(L.LSTM(8, return_sequences=True))(x)
    return k.Model(x, L.Dense(3)(L.GRU(5)(y)))


def _transformer(k: Any) -> Any:
    L = k.layers
    ids = L.Input((10,), dtype="int32", name="ids")
    x = L.Embedding(40, 16)(ids)
    x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 8)(x, x))
    return k.Model(ids, L.Dense(4)(L.Dense(32, "gelu")(x)))


def _several(k: Any) -> Any:
    L = k.layers
    image, side = L.Input((8, 8, 3), name="image"), L.Input((4,), name="side")
    x = L.Concatenate()([L.Flatten()(L.Conv2D(2, 3)(image)), side])
    return k.Model([image, side], {"score": L.Dense(1, "sigmoid")(x), "group": L.Dense(3)(x)})


def _saved(make: Callable[[Any], Any], name: str, config: str | None = None) -> Model:
    def write(folder: Path) -> str | None:
        with tf_graph.quiet():
            make(keras()).save(str(folder / name))
        return config

    return write


def _as_keras_2(make: Callable[[Any], Any], name: str) -> Model:
    """An .h5 with the arguments that Keras 2 wrote and Keras 3 refuses."""

    def write(folder: Path) -> str | None:
        import h5py

        path = folder / name
        with tf_graph.quiet():
            make(keras()).save(str(path))
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            from neo_cli.frontends.keras_files import layers

            for layer in layers(config):
                if layer["class_name"] == "DepthwiseConv2D":
                    layer["config"]["groups"] = 1
                if layer["class_name"] in ("LSTM", "GRU"):
                    layer["config"]["time_major"] = False
            file.attrs["model_config"] = json.dumps(config).encode()
            file.attrs["keras_version"] = b"2.15.0"
        return None

    return write


def _h5(make: Callable[[Any], Any], config: str | None = None) -> Model:
    def write(folder: Path) -> str | None:
        with tf_graph.quiet():
            make(keras()).save(str(folder / "model.h5"))
        return config

    return write


MODELS: dict[str, Model] = {
    "convnet": _saved(_convnet, "model.keras", '{"image":[1,3,16,16]}'),
    "convnet-h5": _h5(_convnet),
    "unet": _saved(_unet, "model.keras"),
    "rnn": _saved(_rnn, "model.keras", '{"signal":[2,12,6]}'),
    "transformer": _saved(_transformer, "model.keras"),
    "several": _saved(_several, "model.keras", '{"image":[1,3,8,8],"side":[1,4]}'),
    "keras2-convnet": _as_keras_2(_convnet, "model.h5"),
    "keras2-rnn": _as_keras_2(_rnn, "model.h5"),
}
