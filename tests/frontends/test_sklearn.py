"""SKLEARN: what an estimator predicts is what its graph computes, labels exactly; old files, text columns, refusals."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")

import joblib

from models import sklearn_zoo
from neo_cli.base.errors import JobError
from neo_cli.frontends.sklearn import load
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source

OLD = Path(__file__).resolve().parents[1] / "models" / "sklearn_old.npz"
ACCURACY = {
    "random_forest": 1.0,
    "hist_boosting": 0.99,
    "svc": 0.97,
    "mlp": 0.96,
    "logistic_multi": 0.99,
    "text_labels": 0.99,
}


def write(folder: Path, estimator: object, name: str = "model.joblib") -> Path:
    joblib.dump(estimator, folder / name, compress=3)
    return folder


def read(folder: Path, text: str | None = None, log: list[str] | None = None) -> Model:
    return load(Source("SKLEARN", folder, trusted=True, log=(log if log is not None else []).append), parse(text))


def execute(model: Model, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.graph.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [o.name for o in model.outputs]
    return dict(zip(names, session.run(names, feed)))


def same(got: np.ndarray, want: np.ndarray, tolerance: float = 5e-6) -> None:
    assert got.shape == want.shape
    if got.dtype.kind == "f":
        assert np.abs(got - want).max() <= tolerance * max(1.0, np.abs(want).max())
    else:
        np.testing.assert_array_equal(got, want)


QUICK = (
    "logistic",
    "random_forest",
    "hist_boosting",
    "svc",
    "mlp",
    "imputed_forest",
    "column_transformer",
    "kmeans",
    "forest_regressor",
)
NAMES = [
    n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in sklearn_zoo.CLASSIFIERS | sklearn_zoo.OTHERS
]


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_gives_the_estimators_numbers(name: str, tmp_path: Path) -> None:
    estimator, x, y = sklearn_zoo.FITTED[name]()
    model = read(write(tmp_path, estimator), f'{{"anything":[-1,{x.shape[1]}]}}')
    onnx.checker.check_model(model.graph)
    assert [t.record() for t in model.inputs] == [{"name": "input", "dtype": "float32", "shape": [-1, x.shape[1]]}]
    got = execute(model, {"input": x})
    want = model.oracle({"input": x})
    assert list(got) == list(want) == [o.name for o in model.outputs]
    for output in model.outputs:
        same(got[output.name], want[output.name])
        assert got[output.name].shape[1:] == output.shape[1:]
        same(execute(model, {"input": x[:1]})[output.name], want[output.name][:1])
    if name in sklearn_zoo.CLASSIFIERS:  # and the estimator itself, without our hands on it
        assert list(got) == ["label", "probabilities"]
        np.testing.assert_array_equal(got["label"], estimator.predict(x))
        if hasattr(estimator, "predict_proba"):
            same(got["probabilities"], estimator.predict_proba(x))
        assert (got["label"] == y).mean() >= ACCURACY.get(name, 0.8)
        if name == "column_transformer":
            return  # its categories are whole numbers, which far-off values are not
        far = np.random.default_rng(2).standard_normal((200, x.shape[1])).astype(np.float32) * 3
        np.testing.assert_array_equal(execute(model, {"input": far})["label"], estimator.predict(far))
    elif hasattr(estimator, "predict"):
        first = next(iter(got.values()))
        same(first.reshape(-1), np.asarray(estimator.predict(x)).reshape(-1))


@pytest.mark.parametrize("kind", ["RandomForestClassifier", "ExtraTreesClassifier"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_tied_vote_falls_as_scikit_learn_lets_it_fall(kind: str, classes: int, tmp_path: Path) -> None:
    from sklearn import ensemble

    random = np.random.default_rng(6)
    x = random.standard_normal((300, 4)).astype(np.float32)
    forest = getattr(ensemble, kind)(100, random_state=1).fit(
        x, np.array(["no", "yes", "maybe"])[random.integers(0, classes, 300)]
    )
    rows = random.standard_normal((6000, 4)).astype(np.float32)
    votes = np.sort(forest.predict_proba(rows), axis=1)
    assert (votes[:, -1] == votes[:, -2]).sum() > 50, "no ties, no proof"
    model = read(write(tmp_path, forest))
    assert "TreeEnsembleRegressor" in [n.op_type for n in model.graph.graph.node]
    got = execute(model, {"input": rows})
    np.testing.assert_array_equal(got["label"], forest.predict(rows))
    same(got["probabilities"], forest.predict_proba(rows), 2e-7)


def test_text_columns_are_inputs_of_their_own(tmp_path: Path) -> None:
    estimator, x, _ = sklearn_zoo.text_columns()
    write(tmp_path, estimator)
    model = read(tmp_path)
    assert [(t.dtype, t.shape) for t in model.inputs] == [(d, (-1, 1)) for d in ("float32", "str", "float32", "str")]
    assert model.derived == '{"input0":[1,1],"input1":[1,1],"input2":[1,1],"input3":[1,1]}'
    feed = {
        t.name: x[:, i : i + 1].astype(object if t.dtype == "str" else np.float32) for i, t in enumerate(model.inputs)
    }
    feed["input1"][3] = "never seen"
    got, want = execute(model, feed), model.oracle(feed)
    same(got["label"], want["label"])
    same(got["probabilities"], want["probabilities"])
    assert read(tmp_path, model.derived).derived is None
    assert reason(tmp_path, '{"input":[-1,4]}') == (
        f"{START}The Scikit-Learn model has columns of text; DataInputConfig must be "
        '{"input0": [-1, 1], "input1": [-1, 1], "input2": [-1, 1], "input3": [-1, 1]}.'
    )


@pytest.mark.parametrize("name", ["logistic", "forest", "boosting", "frame", "number_frame"])
def test_files_of_scikit_learn_1_5_give_the_numbers_of_1_5(name: str, tmp_path: Path) -> None:
    data = np.load(OLD)
    (tmp_path / "model.joblib").write_bytes(data[f"{name}/file"].tobytes())
    lines: list[str] = []
    model = read(tmp_path, log=lines)
    feed = {t.name: data[f"{name}/{t.name}"] for t in model.inputs}
    if name == "frame":
        assert [t.name for t in model.inputs] == ["age", "city", "income", "sex"]
        feed = {k: v.reshape(-1, 1).astype(object if v.dtype.kind == "U" else np.float32) for k, v in feed.items()}
        assert "Text inputs are never missing in a compiled model; the imputers of text columns are left out." in lines
    got = execute(model, feed)
    np.testing.assert_array_equal(got["label"], data[f"{name}/label"].astype(got["label"].dtype))
    same(got["probabilities"], data[f"{name}/probabilities"])
    assert any(line.startswith("scikit-learn: Trying to unpickle estimator ") for line in lines)
    assert any(line.startswith("Model Version found: scikit-learn 1.5.2, running ") for line in lines)


def test_a_plain_pickle_is_taken_too(tmp_path: Path) -> None:
    estimator, x, _ = sklearn_zoo.FITTED["tree"]()
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(estimator))
    lines: list[str] = []
    model = read(tmp_path, '{"data":[-1,4]}', lines)
    np.testing.assert_array_equal(execute(model, {"input": x})["label"], estimator.predict(x))
    assert "DataInputConfig: the name 'data' is ignored; the input is called 'input'." in lines
    assert read(tmp_path).derived == '{"input":[1,4]}'


START = "ClientError: InputConfiguration: "
RIGHT = "Please make sure the framework you select is correct."


def reason(folder: Path, text: str | None = None, trusted: bool = True) -> str:
    with pytest.raises(JobError) as caught:
        load(Source("SKLEARN", folder, trusted=trusted), parse(text))
    return caught.value.reason


def test_the_archive_holds_one_file(tmp_path: Path) -> None:
    assert reason(tmp_path) == f"{START}No .joblib file found for Scikit-Learn model. {RIGHT}"
    (tmp_path / "a.joblib").write_bytes(b"")
    (tmp_path / "b.pkl").write_bytes(b"")
    assert reason(tmp_path) == f"{START}Exactly one .joblib file is allowed for Scikit-Learn models."


def test_trust_must_be_given(tmp_path: Path) -> None:
    write(tmp_path, sklearn_zoo.FITTED["tree"]()[0])
    assert reason(tmp_path, trusted=False) == (
        f"{START}model.joblib is a pickle, which can carry code. Give --trust-model if you trust its origin."
    )


def test_without_the_extra_the_line_to_type_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.joblib").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    assert reason(tmp_path) == (
        f"{START}SKLEARN needs scikit-learn and skl2onnx, which are not installed. Type: pip install 'neo-cli[sklearn]'"
    )


def test_shapes_have_neos_words(tmp_path: Path) -> None:
    write(tmp_path, sklearn_zoo.FITTED["tree"]()[0])
    assert reason(tmp_path, '{"input":[1,2,4]}') == (
        f"{START}InputShape for Sklearn model must have two dimensions, but got 3."
    )
    assert reason(tmp_path, '{"input":[-1,-1]}') == (
        f"{START}InputShape for Sklearn model must have a static value for the second dimension, equal to the number of "
        "input columns or features."
    )
    assert reason(tmp_path, '{"input":[-1,5]}') == (
        f"{START}DataInputConfig gives [-1, 5]; the Scikit-Learn model takes [-1, 4]."
    )
    assert reason(tmp_path, '{"a":[1,4],"b":[1,4]}') == (
        f"{START}DataInputConfig gives 2 shapes; a Scikit-Learn model has one input."
    )


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.tree import DecisionTreeClassifier

    write(tmp_path, DecisionTreeClassifier())
    assert reason(tmp_path) == (
        f"{START}The Scikit-Learn estimator DecisionTreeClassifier is not fitted: it has no n_features_in_."
    )
    write(tmp_path, {"a": 1})
    assert reason(tmp_path) == f"{START}model.joblib holds a dict, not a scikit-learn estimator."
    write(tmp_path, DBSCAN().fit(np.random.default_rng(0).random((20, 2))))
    assert (
        reason(tmp_path) == "ClientError: OperatorNotImplemented: The Scikit-Learn estimator DBSCAN is not supported."
    )
    (tmp_path / "model.joblib").write_bytes(b"\x80\x04garbage")
    assert reason(tmp_path).startswith(f"{START}Framework cannot load Scikit-Learn model. {RIGHT} ")


def test_documents_and_several_labels_are_refused_by_name(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    start = "ClientError: OperatorNotImplemented: The Scikit-Learn estimator "
    words = make_pipeline(TfidfVectorizer(), RandomForestClassifier(3)).fit(["red apple", "blue sky"] * 5, [0, 1] * 5)
    assert reason(write(tmp_path, words)) == f"{start}TfidfVectorizer reads documents, which is not supported."
    x = np.random.default_rng(0).random((30, 2))
    both = RandomForestClassifier(3).fit(x, (x > 0.5).astype(int))
    assert reason(write(tmp_path, both)) == f"{start}RandomForestClassifier with several labels is not supported."


def test_columns_chosen_by_a_score_are_read(tmp_path: Path) -> None:
    from sklearn.feature_selection import SelectKBest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    _, x, y = sklearn_zoo.FITTED["tree"]()
    chosen = make_pipeline(SelectKBest(k=2), LogisticRegression()).fit(x, y)
    model = read(write(tmp_path, chosen))
    np.testing.assert_array_equal(execute(model, {"input": x})["label"], chosen.predict(x))


def test_a_model_that_scikit_learn_cannot_run_any_more_is_refused(tmp_path: Path) -> None:
    estimator, *_ = sklearn_zoo.FITTED["linear"]()
    del estimator.intercept_
    write(tmp_path, estimator)
    assert "intercept_" in reason(tmp_path)
