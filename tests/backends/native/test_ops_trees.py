"""Trees and the other classic models: the same leaves as ONNX Runtime for any number of rows, missing values included."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from backends.native.rules_bench import Library
from neo_cli.backends.native.ops.forest import classic, flatten

RNG = np.random.default_rng(5)
X = RNG.normal(size=(300, 6)).astype(np.float32)
X[:, 2] = np.round(X[:, 2])
LABEL = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.7)
VALUE = X[:, 0] * 3 + np.sin(X[:, 1]) + X[:, 2] ** 2
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def pinned(model: onnx.ModelProto, rows: int) -> onnx.ModelProto:
    """The model for a fixed number of rows, the outputs with the shapes ONNX Runtime gives."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.value_info[:]
    for value in (*made.graph.input, *made.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = rows
    return made


def agree(models: dict[str, onnx.ModelProto], rows: int, folder: Path) -> None:
    x = X[:rows].copy()
    if rows > 4 and "missing" in models:
        x[3, 1] = np.nan
    wanted, graphs = {}, []
    for name, model in models.items():
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(model.SerializeToString(), options)
        wanted[name] = session.run(None, {session.get_inputs()[0].name: x})
        graph = pinned(model, rows)
        for value, array in zip(graph.graph.output, wanted[name]):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, array.shape))
        graphs.append(graph)
    library = Library(graphs, folder, threads=2)
    assert library.errors == {}
    for index, (name, arrays) in enumerate(wanted.items()):
        for found, array in zip(library.run(index, {graphs[index].graph.input[0].name: x}), arrays):
            np.testing.assert_allclose(found, array, rtol=1e-5, atol=1e-5, err_msg=f"{name}, {rows} rows")


def estimators() -> dict:
    from sklearn import ensemble, linear_model, preprocessing, svm, tree
    from sklearn.pipeline import make_pipeline

    return {
        "forest": (ensemble.RandomForestClassifier(7, max_depth=6), LABEL),
        "forest of two": (ensemble.RandomForestClassifier(5), LABEL > 0),
        "regression forest": (ensemble.ExtraTreesRegressor(7), VALUE),
        "boosting": (ensemble.GradientBoostingClassifier(n_estimators=5), LABEL),
        "boosting of two": (ensemble.GradientBoostingClassifier(n_estimators=5), (LABEL > 0).astype(int)),
        "histograms": (ensemble.HistGradientBoostingClassifier(max_iter=5), (LABEL > 0).astype(int)),
        "two targets": (tree.DecisionTreeRegressor(max_depth=5), np.stack([VALUE, -VALUE], 1)),
        "logistic": (make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()), LABEL),
        "normalised": (make_pipeline(preprocessing.Normalizer("l1"), linear_model.Ridge()), VALUE),
        "vectors": (svm.SVR(), VALUE),
        "votes": (svm.SVC(), LABEL),
        "votes for two": (svm.SVC(kernel="poly"), (LABEL > 0).astype(int)),
    }


@pytest.mark.slow
def test_scikit_learn_models_agree(tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.base import is_classifier

    models = {}
    for name, (estimator, y) in estimators().items():
        estimator.fit(X, y.astype(int) if y.dtype == bool else y)
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        options = {id(last): {"zipmap": False}} if is_classifier(last) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sets = {"": 18, "ai.onnx.ml": 3}
            models[name] = skl2onnx.convert_sklearn(
                estimator, "m", [("x", FloatTensorType([None, 6]))], options=options, target_opset=sets
            )
    for rows in (1, 5, 100):
        agree(models, rows, tmp_path)


def random_forest(seed: int, modes: list[str], targets: int = 1, trees: int = 20) -> onnx.ModelProto:
    """Trees of random modes, thresholds that the data hits exactly, and random missing-value tracks."""
    rng = np.random.default_rng(seed)
    a: dict[str, list] = {
        f"nodes_{k}": []
        for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    } | {f"target_{k}": [] for k in ("treeids", "nodeids", "ids", "weights")}  # fmt: skip

    def node(tree: int, depth: int, count: list[int]) -> int:
        at = count[0]
        count[0] += 1
        leaf = depth == 0 or rng.random() < 0.1
        row = len(a["nodes_treeids"])
        values = [
            tree,
            at,
            int(rng.integers(6)),
            "LEAF" if leaf else str(rng.choice(modes)),
            float(rng.integers(-2, 3)),
            0,
            0,
            int(rng.integers(2)),
        ]
        for key, value in zip([k for k in a if k.startswith("nodes_")], values):
            a[key].append(value)
        if leaf:
            for target in range(targets) if targets > 1 else [0]:
                for key, value in zip(
                    ("treeids", "nodeids", "ids", "weights"), (tree, at, target, float(rng.normal()))
                ):
                    a[f"target_{key}"].append(value)
        else:
            a["nodes_truenodeids"][row] = node(tree, depth - 1, count)
            a["nodes_falsenodeids"][row] = node(tree, depth - 1, count)
        return at

    for tree in range(trees):
        node(tree, 5, [0])
    made = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=targets, base_values=[0.5] * targets, **a
    )
    graph = helper.make_graph(
        [made], "forest", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", targets])],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 18)], ir_version=8
    )


@pytest.mark.parametrize("rows", [1, 3, 17, 100])
def test_every_mode_of_a_node_agrees(tmp_path, rows):
    models = {mode: random_forest(k, [mode]) for k, mode in enumerate(MODES)}
    models |= {"all": random_forest(9, MODES, 3), "missing": random_forest(10, ["BRANCH_LEQ", "BRANCH_LT"])}
    agree(models, rows, tmp_path)


def test_a_forest_laid_out_has_children_side_by_side_and_leaves_that_stay():
    attrs = {a.name: helper.get_attribute_value(a) for a in random_forest(1, ["BRANCH_LT"]).graph.node[0].attribute}
    attrs["nodes_modes"] = [m.decode() for m in attrs["nodes_modes"]]
    flat = flatten(classic(attrs, "target"), np.float32)
    assert flat.strict
    assert len(flat.roots) == 20
    for leaf in flat.leaves:
        assert flat.child[leaf] == leaf - 1 and flat.value[leaf] == -np.inf  # never below: always the second child
    inner = [at for at in range(len(flat.value)) if at not in flat.leaves]
    assert sorted([c for at in inner for c in (flat.child[at], flat.child[at] + 1)] + flat.roots.tolist()) == list(
        range(len(flat.value))
    )


def test_any_number_of_rows_runs_in_one_library(start):
    graph = random_forest(12, ["BRANCH_LT"], targets=2)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model, engine = start(graph, threads=2)
    for rows in (1, 3, 200, 1):
        x = X[:rows].copy()
        x[0, 3] = np.nan
        found = engine.run({"x": x})["y"]
        np.testing.assert_allclose(found, model.oracle({"x": x})["y"], rtol=1e-5, atol=1e-5)


POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
ROWS = 5
# for each tree, the targets that its two leaves name: all, some never, some only on one side
LEAVES = {
    1: [[(0,), (0,)]],
    2: [[(0, 1), (0, 1)], [(0,), (0,)], [(1,), (1,)], [(0,), (1,)]],
    3: [[(0, 1, 2), (0, 1, 2)], [(1,), (1,)], [(2, 0), (0,)]],
}


def stumps(kind: str, leaves: list[tuple[int, ...]], low: float, rng: np.random.Generator) -> dict[str, list]:
    """Three trees of one split each; weights are from [low, 0.3)."""
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    a: dict[str, list] = {f"nodes_{n}": [] for n in names} | {
        f"{kind}_{n}": [] for n in ("treeids", "nodeids", "ids", "weights")
    }
    for tree in range(3):
        for at, mode in enumerate(("BRANCH_LEQ", "LEAF", "LEAF")):
            split = (1, 2) if at == 0 else (0, 0)
            for name, value in zip(names, (tree, at, tree, mode, float(rng.normal()), *split)):
                a[f"nodes_{name}"].append(value)
        for at, targets in enumerate(leaves, 1):
            for target in targets:
                a[f"{kind}_treeids"].append(tree)
                a[f"{kind}_nodeids"].append(at)
                a[f"{kind}_ids"].append(target)
                a[f"{kind}_weights"].append(float(rng.uniform(low, 0.3)))
    return a


def ensemble(kind: str, count: int, attributes: dict) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [ROWS, 6])
    scores = helper.make_tensor_value_info("y", TensorProto.FLOAT, [ROWS, count])
    if kind == "target":
        outputs, own, op = [scores], {"n_targets": count}, "TreeEnsembleRegressor"
    else:
        outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, [ROWS]), scores]
        own, op = {"classlabels_int64s": list(range(10, 10 + count))}, "TreeEnsembleClassifier"
    node = helper.make_node(op, ["x"], [v.name for v in outputs], domain="ai.onnx.ml", **own, **attributes)
    sets = [helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 18)]
    return helper.make_model(helper.make_graph([node], "trees", [x], outputs), opset_imports=sets, ir_version=8)


def unwritten(leaves: list[tuple[int, ...]], post: str, many: int) -> bool:
    """Forms of two classes in which ONNX Runtime leaves the second score of some rows as the memory was."""
    return leaves[0] == (0,) and many < 2 and (post == "PROBIT" or (many == 1 and (1,) in leaves))


def combinations(kind: str, hows: tuple[str, ...]) -> dict[str, onnx.ModelProto]:
    """Every post transform, aggregate, number of targets, set of leaves, sign of weights and number of base values."""
    rng, found = np.random.default_rng(0), {}
    for count, sets in LEAVES.items():
        for leaves, post, how, low in itertools.product(sets, POSTS, hows, (-1.0, 0.05)):
            for many in sorted({0, count} | ({1} if kind == "class" and count == 2 else set())):
                if kind == "class" and count == 2 and unwritten(leaves, post, many):
                    continue
                a = stumps(kind, leaves, low, rng) | {"post_transform": post}
                if many:
                    a["base_values"] = [float(v) for v in rng.uniform(max(low, -0.1), 0.1, many)]
                if kind == "target":
                    a["aggregate_function"] = how
                found[f"{count} {leaves} {post} {how} {low} {many}"] = ensemble(kind, count, a)
    return found


@pytest.mark.parametrize(("kind", "hows"), [("target", ("SUM", "AVERAGE", "MIN", "MAX")), ("class", ("SUM",))])
def test_every_way_from_leaves_to_scores_is_that_of_onnx_runtime(tmp_path, kind, hows):
    models = combinations(kind, hows)
    library = Library(list(models.values()), tmp_path, threads=1, optimise="-O0")
    assert library.errors == {}
    options = ort.SessionOptions()
    options.log_severity_level = 4
    x = X[:ROWS]
    for index, (name, model) in enumerate(models.items()):
        wanted = ort.InferenceSession(model.SerializeToString(), options).run(None, {"x": x})
        tolerance = 1e-3 if "PROBIT" in name else 1e-6  # PROBIT magnifies the last bit of numbers near 1/2
        for made, array in zip(library.run(index, {"x": x}), wanted):
            np.testing.assert_allclose(made, array, rtol=1e-5, atol=tolerance, err_msg=name)
