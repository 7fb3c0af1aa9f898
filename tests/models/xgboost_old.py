"""Writes xgboost_old.npz: models in the formats of XGBoost 1.7.6, as bytes, and what that version predicts with them.

Run it in an environment of its own: `pip install xgboost==1.7.6 'numpy<2' scikit-learn==1.5.2`.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

MODELS = {
    "binary": ("load_breast_cancer", {"objective": "binary:logistic"}),
    "softmax": ("load_iris", {"objective": "multi:softmax", "num_class": 3}),
    "softprob": ("load_iris", {"objective": "multi:softprob", "num_class": 3}),
    "squared": ("load_diabetes", {"objective": "reg:squarederror"}),
    "poisson": ("load_diabetes", {"objective": "count:poisson"}),
    "dart": ("load_breast_cancer", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}),
    "linear": ("load_breast_cancer", {"objective": "binary:logistic", "booster": "gblinear"}),
}


def main() -> None:
    import xgboost
    from sklearn import datasets

    found: dict[str, np.ndarray] = {}
    for name, (loader, parameters) in MODELS.items():
        x, y = getattr(datasets, loader)(return_X_y=True)
        booster = xgboost.train({"max_depth": 3, "seed": 1, **parameters}, xgboost.DMatrix(x, y), 4)
        forms = {
            "binary": bytes(booster.save_raw("deprecated")),
            "json": bytes(booster.save_raw("json")),
            "pickle": pickle.dumps(booster),
        }
        if name == "softprob":
            forms["ubj"] = bytes(booster.save_raw("ubj"))
            forms["estimator"] = pickle.dumps(xgboost.XGBClassifier(n_estimators=4, max_depth=3, seed=1).fit(x, y))
        rows = x[:: max(1, len(x) // 25)].astype(np.float32)
        rows[::3, 0] = np.nan
        found[f"{name}/x"], found[f"{name}/y"] = rows, booster.predict(xgboost.DMatrix(rows))
        found |= {f"{name}/{form}": np.frombuffer(data, np.uint8) for form, data in forms.items()}
    np.savez_compressed(Path(__file__).with_name("xgboost_old.npz"), **found)


if __name__ == "__main__":
    main()
