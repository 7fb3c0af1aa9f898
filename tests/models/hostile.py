"""Model files whose loading would run somebody's code, one maker a kind: make(folder, code) writes files into folder."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Payload:
    """Runs `code` when it is unpickled."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


def torch_pickle(folder: Path, code: str) -> None:
    """The zip that torch.save writes, with a payload as its pickle."""
    _torch_zip(folder / "model.pth", {"data.pkl": pickle.dumps(Payload(code), 2)})


def torch_legacy(folder: Path, code: str) -> None:
    """The pre-1.6 format: pickles one after the other."""
    stream = io.BytesIO()
    for item in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, Payload(code)):
        pickle.dump(item, stream, 2)
    (folder / "model.pth").write_bytes(stream.getvalue())


def torchscript(folder: Path, code: str) -> None:
    """A TorchScript archive with a payload where its data lie."""
    files = {"data.pkl": pickle.dumps(Payload(code), 2), "constants.pkl": pickle.dumps((), 2), "code/__torch__.py": b""}
    _torch_zip(folder / "model.pth", files)


def _torch_zip(file: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as stream:
        for name, data in {**files, "version": b"3\n"}.items():
            stream.writestr(f"model/{name}", data)


def plain_pickle(folder: Path, code: str) -> None:
    (folder / "model.pkl").write_bytes(pickle.dumps(Payload(code)))


def joblib_plain(folder: Path, code: str) -> None:
    import joblib

    joblib.dump(Payload(code), folder / "model.joblib")


def joblib_compressed(folder: Path, code: str) -> None:
    import joblib

    joblib.dump(Payload(code), folder / "model.joblib", compress=3)


def keras_lambda(folder: Path, code: str) -> None:
    _lambda_model(code).save(folder / "model.keras")


def h5_lambda(folder: Path, code: str) -> None:
    _lambda_model(code).save(folder / "model.h5")


def _lambda_model(code: str) -> Any:
    import keras

    names: dict[str, Any] = {}
    exec(f"run = lambda x: (exec({code!r}), x)[1]", names)
    layers = [keras.Input((4,)), keras.layers.Lambda(names["run"], output_shape=(4,)), keras.layers.Dense(2)]
    # built without a call: the payload must not run here
    model = keras.Sequential([layers[0], layers[2]])
    config = model.get_config()
    config["layers"].insert(1, keras.saving.serialize_keras_object(layers[1]))
    model.get_config = lambda: config  # type: ignore[method-assign]
    return model


def saved_model_write_file(folder: Path, code: str) -> None:
    """A graph that writes a file when it runs; TensorFlow needs no Python for that."""
    import tensorflow as tf

    target = code.split("open('")[1].split("'")[0]

    class Writer(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32)])  # type: ignore[untyped-decorator]
        def serve(self, x: Any) -> Any:
            with tf.control_dependencies([tf.raw_ops.WriteFile(filename=target, contents="x")]):
                return tf.identity(x) + 1.0

    module = Writer()
    tf.saved_model.save(module, str(folder / "saved"), signatures={"serving_default": module.serve})


def pickle_called_onnx(folder: Path, code: str) -> None:
    (folder / "model.onnx").write_bytes(pickle.dumps(Payload(code)))


KINDS: dict[str, tuple[str, Callable[[Path, str], None]]] = {
    "torch pickle": ("PYTORCH", torch_pickle),
    "torch legacy": ("PYTORCH", torch_legacy),
    "TorchScript": ("PYTORCH", torchscript),
    "XGBoost pickle": ("XGBOOST", plain_pickle),
    "sklearn pickle": ("SKLEARN", plain_pickle),
    "joblib": ("SKLEARN", joblib_plain),
    "joblib compressed": ("SKLEARN", joblib_compressed),
    "Keras Lambda": ("KERAS", keras_lambda),
    "h5 Lambda": ("KERAS", h5_lambda),
    "SavedModel WriteFile": ("TENSORFLOW", saved_model_write_file),
    "pickle called .onnx": ("ONNX", pickle_called_onnx),
}
