"""XGBOOST: every format and kind of booster gives Booster.predict's numbers, and exactly its labels on real data."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

xgboost = pytest.importorskip("xgboost")

from models import xgboost_zoo  # noqa: E402
from neo_cli.base.errors import JobError  # noqa: E402
from neo_cli.frontends.xgboost import load  # noqa: E402
from neo_cli.model.inputs import parse  # noqa: E402
from neo_cli.model.model import Model, Source  # noqa: E402

OLD = Path(__file__).resolve().parents[1] / "models" / "xgboost_old.npz"
ACCURACY = {"breast_cancer": 0.99, "iris": 0.98, "wine": 0.99, "digits": 0.99}


def execute(model: Model, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["output_0"], {"data": x})[0]


def close(got: np.ndarray, want: np.ndarray, tolerance: float = 2e-6) -> None:
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max())


@pytest.mark.parametrize("name", xgboost_zoo.MODELS)
def test_the_graph_gives_the_boosters_numbers(name: str, tmp_path: Path) -> None:
    xgboost_zoo.MODELS[name](tmp_path)
    model = load(Source("XGBOOST", tmp_path), None)
    onnx.checker.check_model(model.graph)
    features = model.inputs[0].shape[1]
    assert model.derived == f'{{"data":[1,{features}]}}'
    x = xgboost_zoo.samples(name, features)
    booster = xgboost.Booster(model_file=str(tmp_path / "xgboost-model"))
    types = booster.feature_types
    matrix = xgboost.DMatrix(x, feature_names=booster.feature_names, feature_types=types, enable_categorical=True)
    want = booster.predict(matrix).reshape(len(x), -1)
    got = execute(model, x)
    close(got, want)
    close(model.oracle({"data": x})["output_0"], want, 0)
    assert model.outputs[0].shape == (-1, want.shape[1])
    assert np.ptp(want) > 0 or name == "stumps"
    for rows in (1, 3):  # any number of rows
        close(execute(model, x[:rows]), want[:rows])
    if name != "gblinear":
        assert sum(n.op_type == "TreeEnsembleRegressor" for n in model.graph.graph.node) == 1


@pytest.mark.parametrize("name", ACCURACY)
def test_labels_on_real_data_are_the_boosters_own(name: str, tmp_path: Path) -> None:
    from sklearn import datasets

    xgboost_zoo.MODELS[name](tmp_path)
    model = load(Source("XGBOOST", tmp_path), None)
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = x.astype(np.float32)

    def labels(scores: np.ndarray) -> np.ndarray:
        if scores.shape[1] > 1:
            return scores.argmax(axis=1)
        return scores[:, 0] if scores.max() > 1 else (scores[:, 0] > 0.5).astype(int)

    booster = xgboost.Booster(model_file=str(tmp_path / "xgboost-model"))
    want = labels(booster.predict(xgboost.DMatrix(x)).reshape(len(x), -1))
    np.testing.assert_array_equal(labels(execute(model, x)), want)
    assert (want == y).mean() >= ACCURACY[name]


def test_a_value_on_the_threshold_goes_where_xgboost_sends_it(tmp_path: Path) -> None:
    xgboost_zoo.MODELS["diabetes"](tmp_path)
    model = load(Source("XGBOOST", tmp_path), None)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in model.graph.graph.node[0].attribute}
    x = np.zeros((len(attributes["nodes_values"]), 10), np.float32)
    for row, (feature, value) in enumerate(zip(attributes["nodes_featureids"], attributes["nodes_values"])):
        x[row, feature] = value
    stacked = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf)), x * np.nan])
    close(execute(model, stacked), model.oracle({"data": stacked})["output_0"])


@pytest.mark.parametrize("name", ["categorical", "categorical_onehot"])
def test_unknown_categories_and_fractions_go_where_xgboost_sends_them(name: str, tmp_path: Path) -> None:
    xgboost_zoo.MODELS[name](tmp_path)
    model = load(Source("XGBOOST", tmp_path), None)
    x = np.zeros((60, 6), np.float32)
    x[:, 1] = [*np.arange(-2, 50), 0.5, 3.7, 29.999, -0.5, 1e6, 2.0**24, 1e9, np.nan]
    close(execute(model, x), model.oracle({"data": x})["output_0"])


def old(name: str, form: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    data = np.load(OLD)
    (folder / "xgboost-model").write_bytes(data[f"{name}/{form}"].tobytes())
    return data[f"{name}/x"], data[f"{name}/y"]


FORMS = sorted(k for k in np.load(OLD).files if k.split("/")[1] not in ("x", "y") and k != "linear/binary")


@pytest.mark.parametrize("entry", FORMS)
def test_files_of_xgboost_1_7_give_the_numbers_of_xgboost_1_7(entry: str, tmp_path: Path) -> None:
    name, form = entry.split("/")
    x, want = old(name, form, tmp_path)
    lines: list[str] = []
    model = load(Source("XGBOOST", tmp_path, trusted=form in ("pickle", "estimator"), log=lines.append), None)
    got = execute(model, x)
    assert any(line.startswith("Model Version found: XGBoost ") for line in lines)
    if form == "json":
        assert "Model Version found: XGBoost 1.7.6 (json)" in lines
    if form == "estimator":
        close(got, model.oracle({"data": x})["output_0"])
        return
    close(got, want.reshape(len(x), -1))
    close(model.oracle({"data": x})["output_0"], want.reshape(len(x), -1))


def test_an_estimator_of_today_is_read_from_a_pickle(tmp_path: Path) -> None:
    x = xgboost_zoo.numbers()
    labels = np.digitize(xgboost_zoo.target(x), [-1, 1])
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(x, labels)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(estimator))
    model = load(Source("XGBOOST", tmp_path, trusted=True), parse('{"data":[-1,6]}'))
    assert model.derived is None
    close(execute(model, x), estimator.predict_proba(x))


def test_early_stopping_is_said(tmp_path: Path) -> None:
    x = xgboost_zoo.numbers()
    matrix = xgboost.DMatrix(x, np.random.default_rng(1).random(len(x)))
    booster = xgboost.train({"nthread": 1}, matrix, 20, evals=[(matrix, "v")], verbose_eval=False)
    booster.set_attr(best_iteration="4")
    xgboost_zoo.save(booster, tmp_path)
    lines: list[str] = []
    load(Source("XGBOOST", tmp_path, log=lines.append), None)
    assert "The model has 20 rounds, its best was 5; all are compiled, as Booster.predict uses all." in lines


def reason(folder: Path, text: str | None = None, trusted: bool = False) -> str:
    with pytest.raises(JobError) as caught:
        load(Source("XGBOOST", folder, trusted=trusted), parse(text))
    return caught.value.reason


START = "ClientError: InputConfiguration: "
RIGHT = "Please make sure the framework you select is correct."
OLDER = (
    " If you are loading a serialized model (like pickle in Python) generated by older XGBoost, please export the model by "
    "calling `Booster.save_model` from that version first, then load it back in current version."
)


def test_one_file_or_the_one_of_the_right_name(tmp_path: Path) -> None:
    assert reason(tmp_path) == f"{START}No model file found."
    xgboost_zoo.MODELS["iris"](tmp_path)
    (tmp_path / "inference.py").write_text("")
    assert load(Source("XGBOOST", tmp_path), None).inputs[0].shape == (-1, 4)
    (tmp_path / "xgboost-model").rename(tmp_path / "xgboost-model-0")
    (tmp_path / "xgboost-model-1").write_bytes(b"")
    assert load(Source("XGBOOST", tmp_path), None).inputs[0].shape == (-1, 4)
    (tmp_path / "xgboost-model-0").rename(tmp_path / "model.bst")
    assert reason(tmp_path) == f"{START}Invalid XGBoost model: only one XGBoost model file is allowed. {RIGHT}"


def test_a_pickle_needs_trust_and_only_known_names(tmp_path: Path) -> None:
    old("binary", "pickle", tmp_path)
    assert reason(tmp_path) == (
        f"{START}xgboost-model is a pickle, which can carry code. Save the model with "
        "Booster.save_model('xgboost-model.json') instead, or give --trust-model if you trust its origin."
    )
    (tmp_path / "xgboost-model").write_bytes(b"\x80\x04cposix\nsystem\n(S'true'\ntR.")
    assert reason(tmp_path, trusted=True) == (
        f"{START}xgboost-model was not loaded: the pickle refers to posix.system, which is not on the list of names a model may use."
    )
    (tmp_path / "xgboost-model").write_bytes(pickle.dumps({"a": 1}))
    assert reason(tmp_path, trusted=True) == f"{START}xgboost-model holds a dict, not an XGBoost Booster or XGBModel."


def test_without_the_extra_the_line_to_type_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xgboost_zoo.MODELS["iris"](tmp_path)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    want = f"{START}XGBOOST needs xgboost and treelite, which are not installed. Type: pip install 'neo-cli[xgboost]'"
    assert reason(tmp_path) == want
    old("binary", "binary", tmp_path)
    monkeypatch.setitem(sys.modules, "treelite", None)
    assert reason(tmp_path) == want


def test_shapes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    xgboost_zoo.MODELS["iris"](tmp_path)
    load(Source("XGBOOST", tmp_path), parse('{"any":[10,4]}'))
    start = f"{START}DataInputConfig gives "
    assert reason(tmp_path, '{"data":[1,5]}') == f"{start}[1, 5]; the XGBoost model takes [-1, 4]."
    assert reason(tmp_path, '{"data":[4]}') == f"{start}[4]; the XGBoost model takes [-1, 4]."
    assert reason(tmp_path, "{}") == f"{start}no shape; the XGBoost model takes [-1, 4]."


def test_unknown_objectives_are_refused_by_name(tmp_path: Path) -> None:
    xgboost_zoo.MODELS["diabetes"](tmp_path)
    model = json.loads((tmp_path / "xgboost-model").read_text())
    model["learner"]["objective"] = {"name": "survival:aft", "aft_loss_param": {}}
    from neo_cli.frontends.xgboost_model import read_json

    assert read_json(model).link == "exp"
    model["learner"]["objective"]["name"] = "reg:mine"
    with pytest.raises(JobError) as caught:
        read_json(model)
    assert (
        caught.value.reason == "ClientError: OperatorNotImplemented: The XGBoost objective reg:mine is not supported."
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "xgboost-model is in none of XGBoost's formats (JSON, UBJSON, pickle, binary)."),
        (b"hello world" * 40, "xgboost-model is in none of XGBoost's formats (JSON, UBJSON, pickle, binary)."),
        (b"binf\0\0\0?\4\0\0\0" + b"\0" * 200, "xgboost-model names no objective and booster."),
    ],
)
def test_files_that_are_no_model_are_refused(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "xgboost-model").write_bytes(content)
    assert reason(tmp_path) == f"{START}Treelite failed to convert XGBoost model. {RIGHT} {words}{OLDER}"


def test_linear_models_in_the_binary_format_are_refused_by_name(tmp_path: Path) -> None:
    old("linear", "binary", tmp_path)
    assert reason(tmp_path) == (
        f"{START}Treelite failed to convert XGBoost model. {RIGHT} xgboost-model is a gblinear model in the binary format, "
        f"which only XGBoost before 2 reads.{OLDER}"
    )


@pytest.mark.parametrize("cut", [40, 200, 900])
@pytest.mark.parametrize("entry", ["binary/binary", "softprob/json", "softprob/ubj", "softprob/pickle"])
def test_broken_models_are_refused_with_neos_words(entry: str, cut: int, tmp_path: Path) -> None:
    name, form = entry.split("/")
    old(name, form, tmp_path)
    file = tmp_path / "xgboost-model"
    file.write_bytes(file.read_bytes()[:cut])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words = reason(tmp_path, trusted=True)
    assert words.startswith(f"{START}Treelite failed to convert XGBoost model. {RIGHT} ")
    assert words.endswith(OLDER)
