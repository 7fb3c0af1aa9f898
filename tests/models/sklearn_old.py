"""Writes sklearn_old.npz: models pickled by scikit-learn 1.5.2, as bytes, and what that version predicts with them.

Run it in an environment of its own: `pip install scikit-learn==1.5.2 'numpy<2' pandas`.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np


def frame() -> tuple[Any, np.ndarray]:
    import pandas

    random = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "age": random.random(120) * 60,
            "city": random.choice(["rome", "oslo", "lima"], 120),
            "income": random.random(120),
            "sex": random.choice(["m", "f"], 120),
        }
    )
    return table, ((table.age > 30) ^ (table.city == "rome")).to_numpy()


def main() -> None:
    import joblib
    from sklearn.compose import ColumnTransformer
    from sklearn.datasets import load_iris
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y = load_iris(return_X_y=True)
    table, answer = frame()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    mixed = ColumnTransformer([("n", numbers, ["age", "income"]), ("c", texts, ["city", "sex"])])
    plain = ColumnTransformer([("n", numbers, ["income"])], remainder="passthrough")
    models = {
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression()), x, y),
        "forest": (RandomForestClassifier(5, random_state=0), x, y),
        "boosting": (GradientBoostingClassifier(n_estimators=3, random_state=0), x, y),
        "frame": (make_pipeline(mixed, LogisticRegression()), table, answer),
        "number_frame": (
            make_pipeline(plain, RandomForestClassifier(5, random_state=0)),
            table[["age", "income"]],
            answer,
        ),
    }
    found: dict[str, np.ndarray] = {}
    for name, (model, data, labels) in models.items():
        model.fit(data, labels)
        file = io.BytesIO()
        joblib.dump(model, file, compress=("zlib", 6))
        found[f"{name}/file"] = np.frombuffer(file.getvalue(), np.uint8)
        found[f"{name}/label"], found[f"{name}/probabilities"] = model.predict(data), model.predict_proba(data)
        if name == "frame":
            found |= {
                f"{name}/{c}": np.asarray(table[c].to_numpy(), dtype=None if c in ("age", "income") else str)
                for c in table
            }
        else:
            found[f"{name}/input"] = np.asarray(data, np.float32)
    np.savez_compressed(Path(__file__).with_name("sklearn_old.npz"), **found)


if __name__ == "__main__":
    main()
