"""XGBoost models trained by script on scikit-learn's bundled data and on seeded numbers; each writes `xgboost-model`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 12


def numbers(rows: int = 400, columns: int = 6, holes: float = 0.1, seed: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, columns)).astype(np.float32)
    x[random.random(x.shape) < holes] = np.nan
    return x


def train(parameters: dict[str, Any], x: np.ndarray, y: np.ndarray, rounds: int = ROUNDS, **matrix: Any) -> Any:
    import xgboost

    quiet = {"verbosity": 0, "nthread": 1, "seed": 5, "max_depth": 4} | parameters
    return xgboost.train(quiet, xgboost.DMatrix(x, y, nthread=1, **matrix), rounds)


def target(x: np.ndarray) -> np.ndarray:
    z = np.nan_to_num(x)
    return z[:, 0] * 2 + np.sin(3 * z[:, 1]) + z[:, 2] * z[:, 3]


def save(booster: Any, folder: Path, form: str = "json") -> str | None:
    (folder / "xgboost-model").write_bytes(bytes(booster.save_raw(form)))
    return None


def breast_cancer(folder: Path) -> str | None:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return save(train({"objective": "binary:logistic", "eta": 0.3}, x, y, 30), folder, "ubj")


def iris(folder: Path) -> str | None:
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    return save(train({"objective": "multi:softmax", "num_class": 3}, x, y), folder)


def wine(folder: Path) -> str | None:
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return save(train({"objective": "multi:softprob", "num_class": 3}, x, y), folder)


def digits(folder: Path) -> str | None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return save(train({"objective": "multi:softprob", "num_class": 10, "max_depth": 5}, x, y, 25), folder, "ubj")


def diabetes(folder: Path) -> str | None:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return save(train({"objective": "reg:squarederror"}, x, y), folder)


def _simple(objective: str, **more: Any) -> Callable[[Path], str | None]:
    def build(folder: Path) -> str | None:
        x = numbers()
        y = target(x)
        if objective.startswith(("binary", "reg:logistic")):
            y = (y > 0).astype(int)
        elif objective.startswith(("count", "reg:gamma", "reg:tweedie", "survival")):
            y = np.exp(y / 3) + 0.1
        elif objective == "reg:squaredlogerror":
            y = np.abs(y)
        return save(train({"objective": objective} | more, x, y), folder)

    build.__name__ = objective.replace(":", "_")
    return build


def ranking(folder: Path) -> str | None:
    x = numbers()
    y = np.clip(np.round(target(x)), 0, 4)
    return save(train({"objective": "rank:pairwise"}, x, y, group=[20] * 20), folder)


def dart(folder: Path) -> str | None:
    x = numbers()
    parameters = {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5, "skip_drop": 0.0}
    return save(train(parameters, x, target(x) > 0), folder)


def gblinear(folder: Path) -> str | None:
    x = numbers()
    parameters = {
        "objective": "multi:softprob",
        "num_class": 3,
        "booster": "gblinear",
        "max_depth": None,
        "updater": "coord_descent",
    }
    return save(
        train({k: v for k, v in parameters.items() if v is not None}, x, np.digitize(target(x), [-1, 1])), folder
    )


def forest(folder: Path) -> str | None:
    x = numbers()
    parameters = {
        "num_parallel_tree": 20,
        "subsample": 0.6,
        "colsample_bynode": 0.6,
        "eta": 1.0,
        "objective": "binary:logistic",
    }
    return save(train(parameters, x, target(x) > 0, 1), folder)


def _categorical(folder: Path, **more: Any) -> str | None:
    random = np.random.default_rng(8)
    x = numbers()
    x[:, 1] = random.integers(0, 40, len(x))
    x[:, 4] = random.integers(0, 3, len(x))
    x[random.random(len(x)) < 0.1, 1] = np.nan
    y = np.isin(x[:, 1], [3, 4, 5, 9, 17, 30, 31]) * 3.0 + (x[:, 4] == 1) * 2 + np.nan_to_num(x[:, 0])
    types = ["q", "c", "q", "q", "c", "q"]
    return save(train({"tree_method": "hist"} | more, x, y, feature_types=types, enable_categorical=True), folder)


def categorical(folder: Path) -> str | None:
    return _categorical(folder, max_cat_to_onehot=1)


def categorical_onehot(folder: Path) -> str | None:
    return _categorical(folder, max_cat_to_onehot=100)


def multi_target(folder: Path) -> str | None:
    x = numbers()
    y = np.stack([target(x), -(target(x) ** 2), np.nan_to_num(x[:, 5])], axis=1)
    return save(train({"tree_method": "hist", "objective": "reg:squarederror"}, x, y), folder)


def multi_output_tree(folder: Path) -> str | None:
    x = numbers()
    y = np.stack([target(x), -(target(x) ** 2), np.nan_to_num(x[:, 5])], axis=1)
    return save(train({"tree_method": "hist", "multi_strategy": "multi_output_tree"}, x, y), folder)


def quantiles(folder: Path) -> str | None:
    x = numbers()
    return save(train({"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.5, 0.9]}, x, target(x)), folder)


def stumps(folder: Path) -> str | None:
    """Trees that are one leaf, and names for the features."""
    x = numbers()
    names = [f"feature {i}" for i in range(6)]
    return save(train({"gamma": 1e9}, x, target(x), 3, feature_names=names), folder)


OBJECTIVES = [
    "binary:logitraw", "binary:hinge", "reg:logistic", "count:poisson", "reg:gamma", "reg:tweedie", "reg:absoluteerror",
    "reg:pseudohubererror", "reg:squaredlogerror", "survival:cox",
]  # fmt: skip
MODELS: dict[str, Callable[[Path], str | None]] = {
    f.__name__: f
    for f in (
        breast_cancer, iris, wine, digits, diabetes, ranking, dart, gblinear, forest, categorical, categorical_onehot, multi_target,
        multi_output_tree, quantiles, stumps, *[_simple(o) for o in OBJECTIVES],
    )
}  # fmt: skip


def samples(name: str, features: int) -> np.ndarray:
    """Inputs for a model of that name: bundled data, or numbers with holes and codes of categories."""
    if name in ("breast_cancer", "iris", "wine", "digits", "diabetes"):
        from sklearn import datasets

        return getattr(datasets, f"load_{name}")().data.astype(np.float32)
    x = numbers(300, features, seed=77)
    if name.startswith("categorical"):
        random = np.random.default_rng(9)
        x[:, 1] = random.integers(0, 40, len(x))
        x[:, 4] = random.integers(0, 3, len(x))
        x[random.random(len(x)) < 0.2, 1] = np.nan
        x[random.random(len(x)) < 0.2, 4] = np.nan
    return x
