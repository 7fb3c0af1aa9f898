"""DARKNET: what Neo accepts is read; graph, interpreter and OpenCV agree; what is refused is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import darknet_zoo
from neo_cli.base.errors import InputError, JobError, OperatorNotImplemented
from neo_cli.frontends.darknet import load
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source


def build(folder: Path, name: str, **options: object) -> Model:
    text = (darknet_zoo.MODELS | darknet_zoo.LARGE)[name](folder)
    return load(Source("DARKNET", folder, options=options), parse(text))


def execute(model: Model, seed: int = 3) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    shape = model.inputs[0].shape
    feed = {"data": np.random.default_rng(seed).random(shape, np.float32)}
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return feed, session.run([o.name for o in model.outputs], feed)


def close(got: np.ndarray, want: np.ndarray, tolerance: float = 2e-5) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("name", darknet_zoo.MODELS)
def test_the_graph_gives_the_numbers_of_the_interpreter(name: str, tmp_path: Path) -> None:
    model = build(tmp_path, name)
    onnx.checker.check_model(model.graph, full_check=True)
    feed, got = execute(model)
    want = model.oracle(feed)
    assert list(want) == [o.name for o in model.outputs] == [f"output_{i}" for i in range(len(want))]
    for output, value in zip(model.outputs, got):
        assert output.shape == value.shape
        close(value, want[output.name])
        assert np.ptp(value) > 1e-3, "an output that does not depend on the input proves nothing"


# OpenCV reads these; its heads give boxes, so a head is compared in the `boxes` form
OPENCV = ["yolov3_tiny", "yolov3", "yolov4_tiny", "yolov4", "yolov2", "yolov2_tiny", "darknet19", "resnet"]


def opencv(folder: Path, feed: np.ndarray, outputs: list[str] | None = None) -> list[np.ndarray]:
    import cv2

    net = cv2.dnn.readNetFromDarknet(str(folder / "net.cfg"), str(folder / "net.weights"))
    net.setInput(feed)
    return list(net.forward(net.getUnconnectedOutLayersNames()))


@pytest.mark.parametrize("name", OPENCV)
def test_the_graph_gives_the_numbers_of_opencv(name: str, tmp_path: Path) -> None:
    model = build(tmp_path, name, boxes=True)
    feed, got = execute(model)
    want = opencv(tmp_path, feed["data"])
    assert len(want) == len(got)
    for g, w in zip(got, want):
        if g.ndim == 3:  # OpenCV drops class scores under a threshold; where it kept them, they are ours
            g = g.reshape(w.shape)
            kept = w[:, 5:] > 0
            assert kept.any() or name == "yolov2"
            close(g[:, :5], w[:, :5], 1e-4)
            close(g[:, 5:][kept], w[:, 5:][kept], 1e-4)
        else:
            close(g, w.reshape(g.shape), 1e-4)


@pytest.mark.slow
def test_a_full_size_network_is_read_quickly_and_right(tmp_path: Path) -> None:
    import time

    started = time.monotonic()
    model = build(tmp_path, "yolov3_tiny_full")
    assert time.monotonic() - started < 10
    feed, got = execute(model)
    want = model.oracle(feed)
    for output, value in zip(model.outputs, got):
        close(value, want[output.name])


@pytest.mark.parametrize("name", ["yolov3_tiny", "yolov2", "scaled_yolov4"])
def test_boxes_are_decoded_as_the_interpreter_decodes_them(name: str, tmp_path: Path) -> None:
    model = build(tmp_path, name, boxes=True)
    feed, got = execute(model)
    for value, (_, want) in zip(got, model.oracle(feed).items()):
        assert value.ndim == 3
        close(value, want, 1e-4)


def test_the_shape_comes_from_the_cfg_when_the_request_leaves_it_out(tmp_path: Path) -> None:
    model = build(tmp_path, "yolov2")
    assert model.derived == '{"data":[1,3,96,96]}'
    assert model.inputs[0].record() == {"name": "data", "dtype": "float32", "shape": [1, 3, 96, 96]}


def test_the_first_shape_counts_whatever_its_name(tmp_path: Path) -> None:
    darknet_zoo.yolov3_tiny(tmp_path)
    lines: list[str] = []
    shapes = parse('{"anything":[2,3,128,64],"other":[1]}')
    model = load(Source("DARKNET", tmp_path, log=lines.append), shapes)
    assert model.inputs[0].shape == (2, 3, 128, 64)
    assert model.derived is None
    feed, got = execute(model)
    for value, want in zip(got, model.oracle(feed).values()):
        close(value, want)
    assert any("the first shape is used" in line for line in lines)
    assert any("the model is compiled for 128x64" in line for line in lines)


def test_a_free_batch_is_compiled_as_one(tmp_path: Path) -> None:
    darknet_zoo.darknet19(tmp_path)
    assert load(Source("DARKNET", tmp_path), parse('{"data":[-1,3,64,64]}')).inputs[0].shape == (1, 3, 64, 64)


def reason(folder: Path, text: str | None = None) -> str:
    with pytest.raises(JobError) as caught:
        load(Source("DARKNET", folder), parse(text))
    return caught.value.reason


def test_the_archive_holds_one_cfg_and_one_weights(tmp_path: Path) -> None:
    start = "ClientError: InputConfiguration: "
    wrong = " file found for DarkNet model. Please make sure the framework you select is correct."
    assert reason(tmp_path) == f"{start}No .cfg{wrong}"
    (tmp_path / "a.cfg").write_text("[net]\n[avgpool]\n")
    assert reason(tmp_path) == f"{start}No .weights{wrong}"
    (tmp_path / "b.cfg").write_text("[net]\n")
    assert reason(tmp_path) == f"{start}Exactly one .cfg file is allowed for DarkNet models."
    (tmp_path / "b.cfg").unlink()
    (tmp_path / "a.weights").write_bytes(b"")
    (tmp_path / "b.weights").write_bytes(b"")
    assert reason(tmp_path) == f"{start}Exactly one .weights file is allowed for DarkNet models."


def test_weights_that_do_not_fit_the_cfg_are_refused(tmp_path: Path) -> None:
    darknet_zoo.darknet19(tmp_path)
    weights = tmp_path / "net.weights"
    whole = weights.read_bytes()
    start = "ClientError: InputConfiguration: Unable to load DarkNet model. net.weights "
    weights.write_bytes(whole + b"\0" * 8)
    assert reason(tmp_path) == (
        f"{start}has 2 values more than the cfg uses ({(len(whole) - 20) // 4}). The cfg and the weights do not belong together."
    )
    weights.write_bytes(whole[:-400])
    assert reason(tmp_path) == (
        f"{start}ends in layer 12 [convolutional]: the cfg needs {(len(whole) - 20) // 4} values up to there, "
        f"the file has {(len(whole) - 420) // 4}. The cfg and the weights do not belong together."
    )
    weights.write_bytes(whole[:-401])
    assert reason(tmp_path) == f"{start}does not hold a whole number of float32 values."
    weights.write_bytes(b"PK\3\4" * 9)
    assert reason(tmp_path) == f"{start}does not begin with Darknet's version numbers."
    weights.write_bytes(b"\0" * 7)
    assert reason(tmp_path) == f"{start}ends inside its header."


def write(folder: Path, cfg: str, floats: int = 0) -> Path:
    (folder / "net.cfg").write_text(cfg)
    (folder / "net.weights").write_bytes(b"\0\0\0\0\2\0\0\0" + b"\0" * 12 + b"\0\0\x80?" * floats)
    return folder


NET = "[net]\nheight=8\nwidth=8\nchannels=3\n"


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ("[lstm]\noutput=3\n", "OperatorNotImplemented: The Darknet layer [lstm] (layer 0 [lstm]) is not supported."),
        (
            "[convolutional]\nfilters=1\nsize=1\nactivation=stair\n",
            "OperatorNotImplemented: The Darknet activation stair (layer 0 [convolutional]) is not supported.",
        ),
        (
            "[convolutional]\nxnor=1\n",
            "OperatorNotImplemented: The Darknet option xnor=1 (layer 0 [convolutional]) is not supported.",
        ),
        (
            "[avgpool]\n[shortcut]\nfrom=-1\nweights_type=per_feature\n",
            "OperatorNotImplemented: The Darknet option weights_type=per_feature (layer 1 [shortcut]) is not supported.",
        ),
        (
            "[maxpool]\nsize=2\nstride=2\n[avgpool]\n[shortcut]\nfrom=0\n",
            "OperatorNotImplemented: A Darknet shortcut between layers of different sizes (layer 2 [shortcut]: 3x1x1, 3x4x4) is not supported.",
        ),
        (
            "[region]\ncoords=5\n",
            "OperatorNotImplemented: The Darknet option coords=5 (layer 0 [region]) is not supported.",
        ),
        (
            "[softmax]\nspatial=1\n",
            "OperatorNotImplemented: The Darknet softmax of layer 0 [softmax] (groups or spatial) is not supported.",
        ),
        ("[route]\nlayers=3\n", "layer 0 [route]: there is no earlier layer 3."),
        ("[route]\n", "layer 0 [route]: it names no layers."),
        ("[avgpool]\n[shortcut]\n", "layer 1 [shortcut]: from= is missing."),
        ("[avgpool]\n[route]\nlayers=-1\n[maxpool]\nsize=9\npadding=0\n", "layer 2 [maxpool]: its output would be 3x-7x-7; the input is too small."),
        ("[yolo]\nclasses=2\nnum=1\nanchors=1,2\n", "layer 0 [yolo]: 1 boxes of 2 classes need 7 channels, the layer before has 3."),
        ("[yolo]\nclasses=2\nnum=2\nanchors=1,2\n", "layer 0 [yolo]: anchors= has no pair for every box."),
        ("[reorg]\nstride=3\n", "layer 0 [reorg]: 3x8x8 does not divide by stride=3."),
        ("[crop]\ncrop_height=9\ncrop_width=2\n", "layer 0 [crop]: it crops 9x2 out of 8x8."),
        ("[upsample]\nstride=9999999\n", "layer 0 [upsample]: its output would be 3x79999992x79999992, more than any network has."),
        ("[maxpool]\nsize=two\n", "layer 0 [maxpool]: size=two is not an integer."),
        ("[maxpool]\nsize=0\n", "layer 0 [maxpool]: size=0 must be at least 1."),
        ("[maxpool]\nsize\n", "line 6 is neither a section nor key=value: size"),
        ("[maxpool\n", "line 5 is no section: [maxpool"),
        ("", "the network has no layers."),
        ("[convolutional]\ngroups=2\n", "layer 0 [convolutional]: 3 channels and 1 filters do not divide into 2 groups."),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(cfg: str, words: str, tmp_path: Path) -> None:
    expected = words if words.startswith("Operator") else f"InputConfiguration: Unable to load DarkNet model. {words}"
    assert reason(write(tmp_path, NET + cfg)) == f"ClientError: {expected}"


def test_shapes_of_the_wrong_form_are_refused(tmp_path: Path) -> None:
    write(tmp_path, NET + "[avgpool]\n")
    start = "ClientError: InputConfiguration: DataInputConfig gives "
    assert reason(tmp_path, '{"data":[1,8,8,3]}') == (
        f"{start}8 channels in [1, 8, 8, 3], the cfg has 3. The layout is NCHW, for example [1, 3, 8, 8]."
    )
    assert reason(tmp_path, '{"data":[3,8,8]}') == (
        f"{start}[3, 8, 8] for a DarkNet model; it must be [batch, channels, height, width]."
    )
    assert reason(tmp_path, "{}") == "ClientError: InputConfiguration: DataInputConfig names no input."


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes, bytes]:
    folder = tmp_path_factory.mktemp("fuzz")
    darknet_zoo.efficientnet(folder)
    return folder, (folder / "net.cfg").read_bytes(), (folder / "net.weights").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_broken_files_never_raise_anything_else(small: tuple[Path, bytes, bytes], data: st.DataObject) -> None:
    folder, cfg, weights = small
    target = data.draw(st.sampled_from(["cfg", "weights"]))
    content = bytearray(cfg if target == "cfg" else weights)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    limit = len(content) if target == "cfg" else min(len(content), 24)
    for _ in range(data.draw(st.integers(0, 4)) if limit else 0):
        content[data.draw(st.integers(0, limit - 1))] = data.draw(st.integers(0, 255))
    (folder / "net.cfg").write_bytes(content if target == "cfg" else cfg)
    (folder / "net.weights").write_bytes(content if target == "weights" else weights)
    try:
        load(Source("DARKNET", folder), None)
    except (InputError, OperatorNotImplemented) as refusal:
        assert refusal.reason
