"""TENSORFLOW and KERAS: the zoos equal the frameworks' own numbers; refusals say what to do. One import for both."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from neo_cli.base.errors import InputError
from neo_cli.frontends import keras as keras_frontend
from neo_cli.frontends import tensorflow as tensorflow_frontend
from neo_cli.frontends.keras_files import configuration
from neo_cli.model import tf_graph
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source
from neo_cli.model.verify import verify

pytestmark = pytest.mark.slow
if importlib.util.find_spec("tensorflow") is None:
    pytest.skip("the tensorflow extra is not installed", allow_module_level=True)

from models import keras_zoo, tensorflow_zoo  # noqa: E402

Load = Callable[..., Model]


def loaded(load: Load, folder: Path, config: str | None, trusted: bool = True, **options: Any) -> Model:
    return load(Source("", folder, options=options, trusted=trusted), parse(config))


def refused(load: Load, folder: Path, config: str | None = None, trusted: bool = True, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        loaded(load, folder, config, trusted, **options)
    return caught.value.message


def difference(model: Model) -> float:
    random = np.random.default_rng(1)
    feeds = {
        t.name: random.standard_normal(t.shape).astype(t.dtype)
        if t.dtype.startswith("float")
        else random.integers(0, 10, t.shape).astype(t.dtype)
        for t in model.inputs
    }
    onnx.checker.check_model(model.graph)
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [t.name for t in model.outputs]
    found, wanted = dict(zip(names, session.run(names, feeds), strict=True)), model.oracle(feeds)
    assert list(wanted) == names and all(wanted[n].shape == found[n].shape for n in names)
    return max(float(np.abs(found[k] - wanted[k]).max() / (np.abs(wanted[k]).max() or 1)) for k in names)


@pytest.mark.parametrize("name", tensorflow_zoo.MODELS)
def test_the_tensorflow_zoo(name: str, tmp_path: Path) -> None:
    config = tensorflow_zoo.MODELS[name](tmp_path)
    assert difference(verify(loaded(tensorflow_frontend.load, tmp_path, config))) < 1e-5


@pytest.mark.parametrize("name", keras_zoo.MODELS)
def test_the_keras_zoo(name: str, tmp_path: Path) -> None:
    config = keras_zoo.MODELS[name](tmp_path)
    assert difference(verify(loaded(keras_frontend.load, tmp_path, config))) < 1e-5


def test_names_types_and_shapes_of_tensorflow(tmp_path: Path) -> None:
    model = loaded(
        tensorflow_frontend.load, tmp_path, tensorflow_zoo.MODELS["function"](tmp_path), signature_def_key="score"
    )
    assert [(t.name, t.dtype, t.shape) for t in model.inputs] == [("ids", "int64", (2, 5)), ("side", "float32", (2, 4))]
    assert [t.name for t in model.outputs] == ["best", "scores"]
    assert "signatures are score" in refused(tensorflow_frontend.load, tmp_path, None, signature_def_key="other")
    assert "which does not fit. The model's inputs are ids int64[-1, 5], side float32[-1, 4]." in refused(
        tensorflow_frontend.load, tmp_path, '{"ids":[2,6],"side":[2,4]}'
    )
    assert "names the input 'x', which the model does not have." in refused(
        tensorflow_frontend.load, tmp_path, '{"x":[2,5]}'
    )
    assert "give --trust-model" in refused(tensorflow_frontend.load, tmp_path, trusted=False)


def test_a_frozen_graph_is_data_and_takes_output_names(tmp_path: Path) -> None:
    tensorflow_zoo.MODELS["frozen"](tmp_path)
    model = loaded(tensorflow_frontend.load, tmp_path, None, trusted=False, output_names=["output_tensor:0"])
    assert model.derived == '{"input_tensor":[1,8,8,3]}' and [t.name for t in model.outputs] == ["output_tensor"]
    assert "names the output 'none', which the graph does not have." in refused(
        tensorflow_frontend.load, tmp_path, None, output_names=["none"]
    )


def test_which_tensorflow_files(tmp_path: Path) -> None:
    load = tensorflow_frontend.load
    assert (
        refused(load, tmp_path)
        == "No valid TensorFlow model found in input files. Please make sure the framework you select is correct."
    )
    (tmp_path / "a.pb").write_bytes(b"\xff\xff")
    assert "is no complete protobuf" in refused(load, tmp_path)
    (tmp_path / "b.pbtxt").touch()
    assert refused(load, tmp_path) == "Exactly one .pb or .pbtxt file is allowed for TensorFlow models."
    for name in ("one", "two"):
        (tmp_path / name / "variables").mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").touch()
    assert refused(load, tmp_path) == "Exactly one saved model is allowed for TensorFlow models."
    (tmp_path / "checkpoint").touch()
    assert (
        refused(load, tmp_path)
        == "TF Checkpoints are not supported. Please make sure the framework you select is correct."
    )


def test_graphs_that_reach_outside_are_refused_before_loading(tmp_path: Path) -> None:
    tf = tf_graph.tensorflow()
    target = tmp_path / "pwned"

    class Evil(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([1], tf.float32, name="x")])
        def serve(self, x: Any) -> Any:
            tf.io.write_file(str(target), "x")
            return {"y": x}

    module = Evil()
    with tf_graph.quiet():
        tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.serve)
    assert (
        refused(tensorflow_frontend.load, tmp_path / "m")
        == "The SavedModel holds operations that reach files, Python or the network, and is not loaded: WriteFile."
    )
    assert not target.exists()


def test_keras_shapes_are_nchw(tmp_path: Path) -> None:
    keras_zoo.MODELS["convnet"](tmp_path)
    model = loaded(keras_frontend.load, tmp_path, None)
    assert model.derived == '{"image":[1,3,16,16]}' and model.inputs[0].shape == (1, 3, 16, 16)
    load = keras_frontend.load
    assert (
        refused(load, tmp_path, '{"image":[1,16,16,3]}')
        == "Input image has wrong shape in Input Shape dictionary. Input shapes should be provided in NCHW format. For example, (1,3,16,16)"
    )
    assert (
        refused(load, tmp_path, '{"x":[1,3,16,16]}')
        == "Model contains input layer (image) not specified in data_shape. Please specify all input layers in data_shape."
    )
    assert "give --trust-model" in refused(load, tmp_path, trusted=False)


def test_which_keras_files(tmp_path: Path) -> None:
    load = keras_frontend.load
    (tmp_path / "x.txt").touch()
    assert refused(load, tmp_path) == "No h5 file provided in ['x.txt']."
    for name in ("a.h5", "b.keras"):
        (tmp_path / name).write_bytes(b"no")
    assert refused(load, tmp_path) == "Multiple h5 files provided, ['a.h5', 'b.keras'], when only one is allowed."
    (tmp_path / "b.keras").unlink()
    assert refused(load, tmp_path).startswith("Unable to load provided Keras model. Error: a.h5 is no Keras file:")


def test_what_keras_cannot_load_is_named(tmp_path: Path) -> None:
    import h5py

    keras = keras_zoo.keras()
    with tf_graph.quiet():
        keras.Sequential([keras.layers.Input((4,)), keras.layers.Lambda(lambda x: x * 2, name="twice")]).save(
            str(tmp_path / "m.keras")
        )
    assert "the layer 'twice' is a Lambda, which holds Python code and is not loaded" in refused(
        keras_frontend.load, tmp_path
    )
    (tmp_path / "m.keras").unlink()
    with tf_graph.quiet():
        keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)]).save_weights(str(tmp_path / "m.weights.h5"))
    assert "holds weights only, no model configuration" in refused(keras_frontend.load, tmp_path)
    (tmp_path / "m.weights.h5").unlink()
    keras_zoo.MODELS["convnet-h5"](tmp_path)
    config, _ = configuration(tmp_path / "model.h5")
    config["config"]["layers"][1]["class_name"] = "TFOpLambda"
    with h5py.File(tmp_path / "model.h5", "r+") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
    assert "export the model as a SavedModel and give Framework TENSORFLOW" in refused(keras_frontend.load, tmp_path)


def test_a_missing_extra_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.h5").write_bytes(b"x")
    (tmp_path / "m.pb").write_bytes(b"x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused(keras_frontend.load, tmp_path) == "KERAS models need TensorFlow: pip install 'neo-cli[tensorflow]'."
    assert (
        refused(tensorflow_frontend.load, tmp_path)
        == "TENSORFLOW models need TensorFlow: pip install 'neo-cli[tensorflow]'."
    )
