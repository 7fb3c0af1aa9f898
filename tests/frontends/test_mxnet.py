"""MXNET: what MXNet 1.9.1 computed is what graph and interpreter compute; Neo's rules for files; refusals by name."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import mxnet_symbols, mxnet_zoo
from neo_cli.base.errors import JobError
from neo_cli.frontends.mxnet import load
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source

GOLDEN = Path(__file__).resolve().parents[1] / "models" / "mxnet_golden.npz"


def build(folder: Path, name: str) -> Model:
    return load(Source("MXNET", folder), parse(mxnet_zoo.MODELS[name](folder)))


def execute(model: Model) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    feed = mxnet_zoo.feeds({t.name: t.shape for t in model.inputs})
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return feed, session.run([o.name for o in model.outputs], feed)


def close(got: np.ndarray, want: np.ndarray, tolerance: float = 3e-5) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("name", mxnet_zoo.MODELS)
def test_graph_and_interpreter_give_what_mxnet_gave(name: str, tmp_path: Path) -> None:
    model = build(tmp_path, name)
    onnx.checker.check_model(model.graph, full_check=True)
    feed, got = execute(model)
    interpreted = model.oracle(feed)
    golden = np.load(GOLDEN)
    wanted = [golden[f"{name}/{i}"] for i in range(len(got))]
    assert f"{name}/{len(got)}" not in golden.files
    assert list(interpreted) == [o.name for o in model.outputs]
    for output, value, want in zip(model.outputs, got, wanted):
        assert output.shape == value.shape
        close(value, want)
        close(interpreted[output.name], want)


def test_names_are_mxnets_own(tmp_path: Path) -> None:
    model = build(tmp_path, "transformer")
    assert [t.name for t in model.inputs] == ["data0", "data1"]
    assert [t.name for t in model.outputs] == ["activation47_output", "batch_dot49_output"]


@pytest.mark.slow
def test_a_network_of_resnet_size_is_read_in_seconds(tmp_path: Path) -> None:
    s = mxnet_symbols.Sym()
    x = s.block(s.var("data"), 3, 64, 7, 2)
    for _ in range(10):
        x = s.op("elemwise_add", x, s.norm(s.conv(x, 64, 64), 64))
    x = s.dense(s.pool(x, k=8, stride=8), 64 * 14 * 14, 1800)  # 22.6 M weights, as many as ResNet-50 has
    s.write(tmp_path, x)
    started = time.monotonic()
    model = load(Source("MXNET", tmp_path), parse('{"data":[1,3,224,224]}'))
    assert time.monotonic() - started < 5
    feed, got = execute(model)
    close(got[0], model.oracle(feed)[model.outputs[0].name])


def reason(folder: Path, text: str | None = '{"data":[2,3,8,8]}', log: list[str] | None = None) -> str:
    with pytest.raises(JobError) as caught:
        load(Source("MXNET", folder, log=(log if log is not None else []).append), parse(text))
    return caught.value.reason


START = "ClientError: InputConfiguration: "
RIGHT = "Please make sure the framework you select is correct."


def test_the_archive_holds_one_symbol(tmp_path: Path) -> None:
    assert reason(tmp_path) == f"{START}No symbol file found for MXNet model. {RIGHT}"
    for name in ("model-shapes.json", "hyperparams.json", "amba_config.json", "model-metadata.json", ".hidden.json"):
        (tmp_path / name).write_text("[]")
    assert reason(tmp_path) == f"{START}No symbol file found for MXNet model. {RIGHT}"
    mxnet_zoo.mlp(tmp_path)
    load(Source("MXNET", tmp_path), parse('{"data":[2,3,8,8]}'))
    (tmp_path / "other-symbol.json").write_text("{}")
    assert reason(tmp_path) == f"{START}Only one symbol file is allowed for MXNet model. {RIGHT}"


def test_autopilot_networks_are_told_by_their_name(tmp_path: Path) -> None:
    mxnet_zoo.mlp(tmp_path)
    (tmp_path / "net-symbol.json").rename(tmp_path / "model0-symbol.json")
    (tmp_path / "net-0000.params").rename(tmp_path / "model0-0000.params")
    (tmp_path / "data-symbol.json").write_text("{}")
    assert load(Source("MXNET", tmp_path), parse('{"data":[2,3,8,8]}')).inputs[0].name == "data"


def test_parameters_have_the_prefix_of_the_symbol(tmp_path: Path) -> None:
    mxnet_zoo.mlp(tmp_path)
    params = tmp_path / "net-0000.params"
    params.rename(tmp_path / "other-0000.params")
    assert reason(tmp_path) == (
        f"{START}No parameter file found for MXNet model: net-symbol.json "
        "Please make sure the prefix of params file match the prefix of symbol file."
    )
    (tmp_path / "other-0000.params").unlink()
    assert reason(tmp_path) == f"{START}No parameter file found for MXNet model. {RIGHT}"


def test_the_highest_epoch_is_used_and_said(tmp_path: Path) -> None:
    mxnet_zoo.mlp(tmp_path)
    (tmp_path / "net-0009.params").write_bytes(b"wrong")
    (tmp_path / "net-0010.params").write_bytes((tmp_path / "net-0000.params").read_bytes())
    lines: list[str] = []
    load(Source("MXNET", tmp_path, log=lines.append), parse('{"data":[2,3,8,8]}'))
    assert lines == [
        "InputConfiguration: Multiple parameter files found for MXNet model. Parameter file: net-0010.params will be used.",
        "Model Version found: MXNet 1.9.1",
    ]


def test_shapes_come_from_model_shapes_json_when_left_out(tmp_path: Path) -> None:
    mxnet_zoo.mlp(tmp_path)
    assert reason(tmp_path, None) == (
        f"{START}We are unable to extract DataInputConfig from the model due to input_config_derivation_error. "
        "Please override by providing a DataInputConfig during compilation job creation."
    )
    (tmp_path / "model-shapes.json").write_text('[{"shape": [1, 3, 8, 8], "name": "data"}]')
    model = load(Source("MXNET", tmp_path), None)
    assert model.derived == '{"data":[1,3,8,8]}'
    (tmp_path / "model-shapes.json").write_text('[{"shape": 5}]')
    assert reason(tmp_path, None).startswith(
        f"{START}Framework can't load the MXNet model: model-shapes.json is no list"
    )


def test_names_and_sizes_of_inputs_are_checked(tmp_path: Path) -> None:
    mxnet_zoo.inception(tmp_path)
    assert reason(tmp_path, '{"input":[1,3,31,31]}') == (
        f"{START}DataInputConfig gives no shape for data; the MXNet model has the inputs data."
    )
    assert reason(tmp_path, '{"data":[1,3,31,31],"more":[1]}') == (
        f"{START}DataInputConfig names more; the MXNet model has the inputs data."
    )
    assert reason(tmp_path, '{"data":[1,3,-1,31]}') == (
        f"{START}DataInputConfig gives [1, 3, -1, 31] for input 'data'; only the first dimension of an MXNet input may be -1."
    )
    free = load(Source("MXNET", tmp_path), parse('{"data":[-1,3,31,31]}'))
    assert free.inputs[0].shape == (1, 3, 31, 31)
    wrong = f"{START}TVM can't convert the MXNet model. "
    assert reason(tmp_path, '{"data":[1,5,31,31]}') == (
        f"{wrong}Convolution 'convolution2' does not fit its inputs: the input has 5 channels, the weights are for 3\n"
        "Model Version found: 1.9.1."
    )
    assert reason(tmp_path, '{"data":[1,3,40,40]}') == (
        f"{wrong}FullyConnected 'fullyconnected49' does not fit its inputs: Gemm: Dimension mismatch in unification between "
        "256 and 400\nModel Version found: 1.9.1."
    )


def test_parameters_of_save_parameters_are_told(tmp_path: Path) -> None:
    s = mxnet_symbols.Sym()
    s.write(tmp_path, s.dense(s.var("data"), 4, 2))
    (tmp_path / "net-0000.params").write_bytes(mxnet_symbols.pack({k[4:]: v for k, v in s.params.items()}))
    assert reason(tmp_path, '{"data":[1,4]}') == (
        f"{START}Framework can't load the MXNet model: Please use HybridBlock.export() or gluoncv.utils.export_block() "
        "to export your model instead of Block.save_parameters()."
    )


@pytest.mark.parametrize(
    ("op", "attrs", "words"),
    [
        ("_contrib_box_nms", {}, "The following operators are not implemented: {'_contrib_box_nms'} (MXNet, first at node 'contrib_box_nms1')."),
        ("_foreach", {}, "The following operators are not implemented: {'_foreach'} (MXNet, first at node 'foreach1')."),
        ("Activation", {"act_type": "log_sigmoid"}, "The MXNet operator Activation with act_type=log_sigmoid (node 'activation1') is not supported."),
        ("Pooling", {"pool_type": "lp", "kernel": "(2, 2)"}, "The MXNet operator Pooling with pool_type=lp (node 'pooling1') is not supported."),
        ("Pooling", {"pool_type": "max", "layout": "NHWC"}, "The MXNet operator Pooling with layout=NHWC (node 'pooling1') is not supported."),
        ("UpSampling", {"sample_type": "bilinear"}, "The MXNet operator UpSampling with sample_type=bilinear, 1 inputs (node 'upsampling1') is not supported."),
        ("softmax", {"axis": 7}, "The MXNet operator softmax with axis=7 for 4 dimensions (node 'softmax1') is not supported."),
        ("Cast", {"dtype": "bool"}, "The MXNet operator cast with dtype=bool (node 'cast1') is not supported."),
    ],
)  # fmt: skip
def test_what_is_refused_is_named(op: str, attrs: dict[str, object], words: str, tmp_path: Path) -> None:
    s = mxnet_symbols.Sym()
    s.write(tmp_path, s.op(op, s.var("data"), **attrs))
    assert reason(tmp_path) == f"ClientError: OperatorNotImplemented: {words}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "net-symbol.json is not JSON: "),
        ("[" * 100_000, "net-symbol.json is not JSON: "),
        ("[]", "net-symbol.json has no 'nodes' and 'heads'; it is no MXNet symbol."),
        ('{"nodes":[],"heads":[]}', "net-symbol.json has no outputs."),
        ('{"nodes":[{}],"heads":[[0,0]]}', "net-symbol.json: node 0 has no 'op' and 'name'."),
        ('{"nodes":[{"op":"null","name":"a"}],"heads":[[7,0]]}', "net-symbol.json: heads refers to [7, 0], which is no earlier node."),
        ('{"nodes":[{"op":"relu","name":"a","inputs":[[0,0]]}],"heads":[[0,0]]}', "net-symbol.json: node 'a' refers to [0, 0], which is no earlier node."),
        ('{"nodes":[{"op":"relu","name":"a","attrs":[1]}],"heads":[[0,0]]}', "net-symbol.json: the attributes of node 'a' are no dictionary."),
        ('{"nodes":[{"op":"_zeros","name":"a"}],"heads":[[0,0]]}', "the network has no inputs; every variable is a parameter."),
    ],
)  # fmt: skip
def test_broken_symbols_are_refused(text: str, words: str, tmp_path: Path) -> None:
    mxnet_zoo.mlp(tmp_path)
    (tmp_path / "net-symbol.json").write_text(text)
    assert reason(tmp_path).startswith(f"{START}Framework can't load the MXNet model: {words}")


def test_a_bad_attribute_is_named(tmp_path: Path) -> None:
    for key, value, words in (
        ("axis", "first", "softmax 'softmax1': axis=first is not a number."),
        ("axis", "1e30", "softmax 'softmax1': axis=1e30 is not an integer."),
    ):
        s = mxnet_symbols.Sym()
        s.write(tmp_path, s.op("softmax", s.var("data"), **{key: value}))
        assert reason(tmp_path) == (
            f"{START}TVM can't convert the MXNet model. softmax 'softmax1' does not fit its inputs: {words}\n"
            "Model Version found: 1.9.1."
        )
    data = json.loads((tmp_path / "net-symbol.json").read_text())
    data["nodes"][1] |= {"op": "transpose", "attrs": {"axes": "(0, __import__('os'))"}}
    (tmp_path / "net-symbol.json").write_text(json.dumps(data))
    assert "axes=(0, __import__('os')) is not a tuple of integers." in reason(tmp_path)


VALUES = st.sampled_from(
    [
        "",
        "None",
        "True",
        "(1,)",
        "(0, 0)",
        "(-1, 2)",
        "(1, 2, 3, 4, 5)",
        "-4",
        "0",
        "3",
        "1e9",
        "nan",
        "text",
        "(None, 1)",
        "((1,),)",
    ]
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_changed_symbol_raises_anything_else(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(["arithmetic", "segmenter", "detector_tail", "lstm", "pose", "inception", "conv1d"])
    )
    text = mxnet_zoo.MODELS[name](tmp_path)
    file = tmp_path / "net-symbol.json"
    symbol = json.loads(file.read_text())
    changeable = [n for n in symbol["nodes"] if n.get("attrs")]
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(changeable))
        node["attrs"][data.draw(st.sampled_from(sorted(node["attrs"])))] = data.draw(VALUES)
    if data.draw(st.booleans()):
        node = data.draw(st.sampled_from(changeable))
        node["inputs"] = node["inputs"][: data.draw(st.integers(0, 2))]
    file.write_text(json.dumps(symbol))
    try:
        load(Source("MXNET", tmp_path), parse(text))
    except JobError as refusal:
        assert refusal.reason.startswith("ClientError: ")
