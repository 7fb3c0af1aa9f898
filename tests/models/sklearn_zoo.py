"""scikit-learn estimators fitted by script on its bundled data; each of MODELS writes model.joblib.

`FITTED` gives the estimator itself, its rows and its labels; `MODELS` the archive's file.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Fitted = tuple[Any, np.ndarray, np.ndarray]


def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return x.astype(np.float32), y


def _on(name: str, make: Callable[[], Any]) -> Callable[[], Fitted]:
    def fit() -> Fitted:
        x, y = _data(name)
        with warnings.catch_warnings():  # that a small network has not converged is no matter here
            warnings.simplefilter("ignore")
            return make().fit(x, y), x, y

    return fit


def _scaled(make: Callable[[], Any]) -> Callable[[], Any]:
    def build() -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), make())

    return build


def _sk(module: str, name: str, **parameters: Any) -> Callable[[], Any]:
    def make() -> Any:
        import importlib

        return getattr(importlib.import_module(f"sklearn.{module}"), name)(**parameters)

    return make


def imputed_forest() -> Fitted:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    x, y = _data("breast_cancer")
    x[np.random.default_rng(1).random(x.shape) < 0.1] = np.nan
    steps = (SimpleImputer(strategy="median"), MinMaxScaler(), RandomForestClassifier(20, max_depth=6, random_state=0))
    return make_pipeline(*steps).fit(x, y), x, y


def column_transformer() -> Fitted:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, RobustScaler

    x, y = _data("wine")
    x[:, 0] = np.round(x[:, 0] - 11)
    parts = [
        ("scaled", RobustScaler(), [1, 2, 3]),
        ("kinds", OneHotEncoder(handle_unknown="ignore"), [0]),
        ("bins", KBinsDiscretizer(4, encode="onehot-dense", quantile_method="averaged_inverted_cdf"), [5]),
    ]
    return (
        make_pipeline(ColumnTransformer(parts, remainder="passthrough"), LogisticRegression(max_iter=3000)).fit(x, y),
        x,
        y,
    )


def text_columns() -> Fitted:
    """Numbers and text, as rows of objects; the model has an input for each column."""
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    random = np.random.default_rng(4)
    size = random.standard_normal(200).astype(np.float32)
    colour, shape = random.choice(["red", "green", "blue"], 200), random.choice(["round", "flat"], 200)
    y = np.where((size > 0) ^ (colour == "red"), "good", "bad")
    x = np.stack(
        [size.astype(object), colour.astype(object), (size * 2 + 1).astype(object), shape.astype(object)], axis=1
    )
    parts = [("numbers", StandardScaler(), [0, 2]), ("text", OneHotEncoder(handle_unknown="ignore"), [1, 3])]
    return make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(x, y), x, y


def text_labels() -> Fitted:
    from sklearn.ensemble import RandomForestClassifier

    x, y = _data("iris")
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    return RandomForestClassifier(10, random_state=0).fit(x, names), x, names


def searched() -> Fitted:
    from sklearn.model_selection import GridSearchCV
    from sklearn.tree import DecisionTreeClassifier

    x, y = _data("iris")
    return GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [2, 4]}, cv=3).fit(x, y), x, y


def multi_output() -> Fitted:
    from sklearn.ensemble import RandomForestRegressor

    x, y = _data("diabetes")
    both = np.stack([y, -y], axis=1)
    return RandomForestRegressor(10, max_depth=5, random_state=0).fit(x, both), x, both


def voting() -> Fitted:
    from sklearn.ensemble import VotingClassifier

    x, y = _data("iris")
    parts = [
        ("a", _sk("linear_model", "LogisticRegression", max_iter=500)()),
        ("b", _sk("tree", "DecisionTreeClassifier", max_depth=3)()),
    ]
    return VotingClassifier(parts, voting="soft", flatten_transform=False).fit(x, y), x, y


def stacking() -> Fitted:
    from sklearn.ensemble import StackingRegressor

    x, y = _data("diabetes")
    parts = [
        ("a", _sk("linear_model", "Ridge")()),
        ("b", _sk("tree", "DecisionTreeRegressor", max_depth=4, random_state=0)()),
    ]
    return StackingRegressor(parts, final_estimator=_sk("linear_model", "LinearRegression")()).fit(x, y), x, y


CLASSIFIERS: dict[str, Callable[[], Fitted]] = {
    "logistic": _on("breast_cancer", _scaled(_sk("linear_model", "LogisticRegression"))),
    "logistic_multi": _on("digits", _scaled(_sk("linear_model", "LogisticRegression", max_iter=500))),
    "sgd": _on("iris", _scaled(_sk("linear_model", "SGDClassifier", loss="log_loss", random_state=0))),
    "ridge_classifier": _on("wine", _scaled(_sk("linear_model", "RidgeClassifier"))),
    "tree": _on("iris", _sk("tree", "DecisionTreeClassifier", random_state=0)),
    "random_forest": _on("digits", _sk("ensemble", "RandomForestClassifier", n_estimators=30, random_state=0)),
    "extra_trees": _on("wine", _sk("ensemble", "ExtraTreesClassifier", n_estimators=30, random_state=0)),
    "gradient_boosting": _on(
        "breast_cancer", _sk("ensemble", "GradientBoostingClassifier", n_estimators=30, random_state=0)
    ),
    "hist_boosting": _on(
        "breast_cancer", _sk("ensemble", "HistGradientBoostingClassifier", max_iter=30, random_state=0)
    ),
    "ada": _on("iris", _sk("ensemble", "AdaBoostClassifier", n_estimators=10, random_state=0)),
    "svc": _on("iris", _scaled(_sk("svm", "SVC"))),
    "linear_svc": _on("wine", _scaled(_sk("svm", "LinearSVC", random_state=0))),
    "knn": _on("iris", _sk("neighbors", "KNeighborsClassifier", n_neighbors=5)),
    "naive_bayes": _on("iris", _sk("naive_bayes", "GaussianNB")),
    "mlp": _on(
        "iris",
        _scaled(_sk("neural_network", "MLPClassifier", hidden_layer_sizes=(16, 8), max_iter=800, random_state=0)),
    ),
    "lda": _on("wine", _sk("discriminant_analysis", "LinearDiscriminantAnalysis")),
    "imputed_forest": imputed_forest,
    "column_transformer": column_transformer,
    "text_labels": text_labels,
    "searched": searched,
    "voting": voting,
}
OTHERS: dict[str, Callable[[], Fitted]] = {
    "linear": _on("diabetes", _sk("linear_model", "LinearRegression")),
    "lasso": _on("diabetes", _sk("linear_model", "Lasso", alpha=0.1)),
    "svr": _on("diabetes", _scaled(_sk("svm", "SVR", C=50.0))),
    "knn_regressor": _on("diabetes", _sk("neighbors", "KNeighborsRegressor", n_neighbors=5)),
    "forest_regressor": _on(
        "diabetes", _sk("ensemble", "RandomForestRegressor", n_estimators=20, max_depth=8, random_state=0)
    ),
    "boosting_regressor": _on(
        "diabetes", _sk("ensemble", "HistGradientBoostingRegressor", max_iter=20, random_state=0)
    ),
    "mlp_regressor": _on(
        "diabetes",
        _scaled(_sk("neural_network", "MLPRegressor", hidden_layer_sizes=(16,), max_iter=600, random_state=0)),
    ),
    "multi_output": multi_output,
    "stacking": stacking,
    "kmeans": _on("iris", _sk("cluster", "KMeans", n_clusters=3, n_init=3, random_state=0)),
    "isolation_forest": _on("iris", _sk("ensemble", "IsolationForest", n_estimators=20, random_state=0)),
    "one_class_svm": _on("iris", _scaled(_sk("svm", "OneClassSVM", nu=0.2))),
    "mixture": _on("iris", _sk("mixture", "GaussianMixture", n_components=3, random_state=0)),
    "pca": _on("digits", _scaled(_sk("decomposition", "PCA", n_components=5, random_state=0))),
    "polynomial": _on("iris", _sk("preprocessing", "PolynomialFeatures", degree=2)),
}
FITTED = CLASSIFIERS | OTHERS | {"text_columns": text_columns}


def _archive(name: str) -> Callable[[Path], str | None]:
    def write(folder: Path) -> str | None:
        import joblib

        estimator, x, _ = FITTED[name]()
        joblib.dump(estimator, folder / "model.joblib", compress=3 if len(name) % 2 else 0)
        return None if name == "text_columns" else f'{{"input":[-1,{x.shape[1]}]}}'

    return write


MODELS: dict[str, Callable[[Path], str | None]] = {name: _archive(name) for name in FITTED}
