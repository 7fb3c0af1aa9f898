"""TFLITE: the zoo equals LiteRT's numbers, quantisation is kept, damaged files and refusals get one sentence."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.frontends.tflite import load
from neo_cli.frontends.tflite_convert import Converter
from neo_cli.frontends.tflite_file import Broken, File, FileTensor, Operation, read
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source
from neo_cli.model.verify import verify

if importlib.util.find_spec("ai_edge_litert") is None or importlib.util.find_spec("tensorflow") is None:
    pytest.skip("the tflite and tensorflow extras are not installed", allow_module_level=True)

from models.tflite_zoo import MODELS

# max|Δ|/max|ref|: dynamic range quantises activations inside LiteRT; int8 differs by at most two steps, int16 by a few
TOLERANCE = {
    "convnet-dynamic": 3e-2,
    "convnet-int8": 2.1 / 256,
    "convnet-uint8": 2.1 / 256,
    "convnet-float16": 1e-4,
    "convnet-int16": 2e-4,
}


def loaded(folder: Path, config: str | None) -> Model:
    return load(Source("TFLITE", folder), parse(config))


def refused(folder: Path, config: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        loaded(folder, config)
    return caught.value.message


def difference(model: Model) -> float:
    random = np.random.default_rng(1)
    feeds = {}
    for t in model.inputs:
        low, high = {"int8": (-128, 128), "uint8": (0, 256), "int16": (-20000, 20000)}.get(t.dtype, (0, 10))
        feeds[t.name] = (
            random.standard_normal(t.shape).astype(t.dtype)
            if t.dtype.startswith("float")
            else random.integers(low, high, t.shape).astype(t.dtype)
        )
    onnx.checker.check_model(model.graph)
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [t.name for t in model.outputs]
    found, wanted = dict(zip(names, session.run(names, feeds), strict=True)), model.oracle(feeds)
    assert list(wanted) == names
    worst = 0.0
    for t in model.outputs:
        a, b = wanted[t.name], found[t.name]
        assert a.shape == b.shape and a.dtype == b.dtype == np.dtype(t.dtype)
        steps = {"int8": 255.0, "uint8": 255.0, "int16": 65535.0}
        scale = steps.get(t.dtype) or float(np.abs(a).max()) or 1.0
        worst = max(worst, float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max()) / scale)
    return worst


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_zoo_equals_litert(name: str, tmp_path: Path) -> None:
    model = verify(loaded(tmp_path, MODELS[name](tmp_path)))
    assert difference(model) < TOLERANCE.get(name, 1e-5)


def edited(folder: Path, shape: tuple[int, ...], numbers: list[list[int]], **masks: int) -> Model:
    """A file whose one STRIDED_SLICE has these begins, ends and steps and masks that TensorFlow's converter does not write."""
    import flatbuffers
    import tensorflow as tf
    from tensorflow.lite.python import schema_py_generated as schema

    body = tf.function(lambda x: x[1:2], input_signature=[tf.TensorSpec(shape, "float32", name="x")])
    written = tf.lite.TFLiteConverter.from_concrete_functions([body.get_concrete_function()]).convert()
    model = schema.ModelT.InitFromPackedBuf(written, 0)
    (op,) = model.subgraphs[0].operators
    for index, values in zip(op.inputs[1:], numbers, strict=True):
        tensor = model.subgraphs[0].tensors[index]
        tensor.shape, tensor.buffer = np.array([len(values)], np.int32), len(model.buffers)
        model.buffers.append(schema.BufferT())
        model.buffers[-1].data = np.frombuffer(np.array(values, np.int32).tobytes(), np.uint8)
    for name in ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask"):
        setattr(op.builtinOptions, name, masks.get(name, 0))
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (folder / "model.tflite").write_bytes(bytes(builder.Output()))
    return loaded(folder, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "masks", "shape"),
    [
        ([[1, 0, 1], [2, 0, 3], [1, 1, 1]], {"ellipsisMask": 2}, (1, 3, 4, 2)),
        ([[0, 2], [0, 0], [1, 1]], {"ellipsisMask": 1, "shrinkAxisMask": 2}, (2, 3, 4)),
        ([[0, 1, 0, 3], [0, 2, 0, 4], [1, 1, 1, 1]], {"newAxisMask": 1, "ellipsisMask": 4}, (1, 1, 3, 4, 1)),
    ],
)
def test_slices_with_an_ellipsis_and_new_axes(
    tmp_path: Path, numbers: list[list[int]], masks: dict[str, int], shape: tuple[int, ...]
) -> None:
    model = edited(tmp_path, (2, 3, 4, 5), numbers, **masks)
    assert model.outputs[0].shape == shape
    assert difference(model) == 0


def test_a_subgraph_that_runs_itself_is_refused() -> None:
    importlib.import_module("neo_cli.frontends.tflite_flow")
    tensors = [FileTensor(i, f"t{i}", (1,), (1,), "float32", None, None) for i in range(2)]
    itself = Operation("WHILE", [0], [1], SimpleNamespace(number=lambda field: 1))
    graph = File(tensors, [0], [1], [itself], 3)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    with pytest.raises(InputError, match="runs the subgraph 1, which is not there or runs already"):
        Converter(dataclasses.replace(graph, graphs=(graph, graph)), {}, {0: "x", 1: "y"}).run([x])


@pytest.mark.slow
def test_names_types_and_quantisation_are_kept(tmp_path: Path) -> None:
    MODELS["convnet-int8"](tmp_path)
    model = loaded(tmp_path, None)
    assert [(t.name, t.dtype, t.shape) for t in model.inputs] == [("serving_default_image", "int8", (1, 16, 16, 3))]
    assert model.derived == '{"serving_default_image":[1,16,16,3]}' and model.outputs[0].dtype == "int8"
    assert {"QuantizeLinear", "DequantizeLinear"} <= {n.op_type for n in model.graph.graph.node}
    kernels = [n.input[1] for n in model.graph.graph.node if n.op_type == "Conv"]
    made = {n.output[0]: n.input[0] for n in model.graph.graph.node if n.op_type == "DequantizeLinear"}
    types = {t.name: t.data_type for t in model.graph.graph.initializer}
    assert len(kernels) == 4 and {types[made[k]] for k in kernels} == {onnx.TensorProto.INT8}
    for alias in ("image", "serving_default_image:0"):
        assert loaded(tmp_path, f'{{"{alias}":[1,16,16,3]}}').inputs == model.inputs
    assert "which does not fit. The model's inputs are serving_default_image int8[-1, 16, 16, 3]." in refused(
        tmp_path, '{"image":[1,3,16,16]}'
    )
    assert refused(tmp_path, '{"x":[1,3]}').startswith(
        "DataInputConfig names the input 'x', which the model does not have."
    )


@pytest.mark.slow
def test_images_stay_planar_between_layers(tmp_path: Path) -> None:
    MODELS["convnet"](tmp_path)
    kinds = [n.op_type for n in loaded(tmp_path, None).graph.graph.node]
    assert kinds.count("Transpose") <= 2 and kinds.count("Conv") >= 4


def test_which_files(tmp_path: Path) -> None:
    assert (
        refused(tmp_path)
        == "No valid TFLite model found in input file. Please make sure the framework you selected is correct."
    )
    (tmp_path / "a.tflite").write_bytes(b"<html>no model</html>")
    assert (
        refused(tmp_path)
        == "Framework cannot load TFLite model: a.tflite is no TensorFlow Lite model: it does not begin like a TensorFlow Lite file."
    )
    (tmp_path / "a.tflite").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert "is a Git LFS pointer" in refused(tmp_path)
    (tmp_path / "b.tflite").touch()
    assert refused(tmp_path) == "Exactly one .tflite file is allowed for TFLite models."


def test_a_missing_extra_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tflite").write_bytes(b"x")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert refused(tmp_path) == "TFLITE models are checked with LiteRT's interpreter: pip install 'neo-cli[tflite]'."


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("honest")
    MODELS["arithmetic"](folder)
    return (folder / "model.tflite").read_bytes()


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_are_broken_and_nothing_else(
    honest: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(honest)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    path.write_bytes(bytes(content))
    try:
        read(path)
    except Broken:
        pass
