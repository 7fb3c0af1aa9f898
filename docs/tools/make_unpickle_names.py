"""Writes cli/neo_cli/model/unpickle.json: the exact names a pickled scikit-learn or XGBoost model may refer to.

Estimators come from scikit-learn's own listing; what their fitted state holds besides is written out below. Only
classes that hold data, and constructors of arrays, are listed: nothing that evaluates text or calls what it is given.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "cli" / "neo_cli" / "model" / "unpickle.json"
PYTHON = {
    "builtins": ["bytearray", "complex", "frozenset", "object", "range", "set", "slice"],
    "__builtin__": ["bytearray", "complex", "frozenset", "object", "range", "set", "slice"],
    "collections": ["OrderedDict", "defaultdict"],
    "copyreg": ["_reconstructor"],
    "copy_reg": ["_reconstructor"],
    "_codecs": ["encode"],
}
SCALARS = [
    "bool",
    "bool_",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "object_",
    "str_",
]
NUMPY = {
    "numpy": ["dtype", "ndarray", "memmap", *SCALARS],
    "numpy.ma": ["MaskedArray"],
    "numpy.core.multiarray": ["_reconstruct", "scalar"],
    "numpy._core.multiarray": ["_reconstruct", "scalar"],
    "numpy.core.numeric": ["_frombuffer"],
    "numpy._core.numeric": ["_frombuffer"],
    "numpy.ma.core": ["MaskedArray", "_mareconstruct"],
    "numpy.random": ["RandomState"],
    "numpy.random.mtrand": ["RandomState"],
    "numpy.random._pickle": ["__randomstate_ctor", "__bit_generator_ctor", "__generator_ctor"],
    "numpy.random._mt19937": ["MT19937"],
    "numpy.random._pcg64": ["PCG64"],
    "numpy.random._generator": ["Generator"],
    "numpy.random.bit_generator": ["SeedSequence", "__pyx_unpickle_SeedSequence"],
    "joblib.numpy_pickle": ["NumpyArrayWrapper"],
    "sklearn.externals.joblib.numpy_pickle": ["NumpyArrayWrapper"],
    **{
        f"scipy.sparse.{module}": [f"{kind}_matrix", f"{kind}_array"]
        for kind in ("csr", "csc", "coo")
        for module in (kind, f"_{kind}")
    },
}
DISTANCES = ["Chebyshev", "Euclidean", "Hamming", "Manhattan", "Minkowski", "SEuclidean"]
LOSSES = [
    "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss", "HalfPoissonLoss", "HalfSquaredError",
    "HalfTweedieLoss", "HalfTweedieLossIdentity", "HuberLoss", "PinballLoss",
]  # fmt: skip
INNER = {
    "sklearn.tree._tree": ["Tree"],
    "sklearn.neighbors._kd_tree": ["KDTree", "KDTree32", "KDTree64", "newObj"],
    "sklearn.neighbors._ball_tree": ["BallTree", "BallTree32", "BallTree64", "newObj"],
    "sklearn.metrics._dist_metrics": ["newObj"] + [f"{d}Distance{n}" for d in DISTANCES for n in ("", "32", "64")],
    "sklearn.ensemble._hist_gradient_boosting.binning": ["_BinMapper"],
    "sklearn.ensemble._hist_gradient_boosting.predictor": ["TreePredictor"],
    "sklearn._loss.loss": LOSSES,
    "sklearn._loss._loss": [n for loss in LOSSES for n in (f"Cy{loss}", f"__pyx_unpickle_Cy{loss}")]
    + ["__pyx_unpickle_CyLossFunction"],
    "_loss": [n for loss in LOSSES for n in (f"Cy{loss}", f"__pyx_unpickle_Cy{loss}")],  # as 1.3 to 1.5 wrote it
    "sklearn._loss.link": ["HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit"],
    "sklearn.linear_model._sgd_fast": [
        "EpsilonInsensitive", "Hinge", "Huber", "Log", "ModifiedHuber", "SquaredEpsilonInsensitive", "SquaredHinge", "SquaredLoss",
    ],
    "sklearn.neural_network._stochastic_optimizers": ["AdamOptimizer", "SGDOptimizer"],
    "sklearn.calibration": ["_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling"],
    "sklearn.gaussian_process.kernels": [
        "CompoundKernel", "ConstantKernel", "DotProduct", "Exponentiation", "ExpSineSquared", "Hyperparameter", "Matern", "PairwiseKernel",
        "Product", "RBF", "RationalQuadratic", "Sum", "WhiteKernel",
    ],
    "sklearn.compose._column_transformer": ["_RemainderColsList", "make_column_selector"],
    "sklearn.cluster._bisect_k_means": ["_BisectingTree"],
    "sklearn.utils": ["Bunch"],
    "sklearn.utils._bunch": ["Bunch"],
    "sklearn.preprocessing._function_transformer": ["_identity"],
    "sklearn.impute._iterative": ["_ImputerTriplet"],
    "sklearn.model_selection._split": ["GroupKFold", "KFold", "RepeatedKFold", "RepeatedStratifiedKFold", "ShuffleSplit", "StratifiedKFold"],
    "sklearn.metrics._scorer": ["_PassthroughScorer"],
    # plain arithmetic on arrays, which SelectKBest and its like remember
    "sklearn.feature_selection._univariate_selection": ["chi2", "f_classif", "f_regression"],
    "sklearn.feature_selection._mutual_info": ["mutual_info_classif", "mutual_info_regression"],
}  # fmt: skip
XGBOOST = {
    "xgboost.core": ["Booster"],
    "xgboost.sklearn": ["XGBClassifier", "XGBModel", "XGBRFClassifier", "XGBRFRegressor", "XGBRanker", "XGBRegressor"],
    "sklearn.preprocessing._label": ["LabelEncoder"],
    "sklearn.preprocessing.label": ["LabelEncoder"],
    "xgboost.compat": ["XGBoostLabelEncoder"],
}


def main() -> None:
    from sklearn.utils import all_estimators

    sklearn: dict[str, list[str]] = {module: sorted(names) for module, names in INNER.items()}
    for _, estimator in all_estimators():
        sklearn.setdefault(estimator.__module__, []).append(estimator.__name__)
    for module in sorted(INNER):
        if module != "_loss":
            importlib.import_module(module)
    lists = {"python": PYTHON, "numpy": NUMPY, "sklearn": sklearn, "xgboost": XGBOOST}
    text = json.dumps({k: {m: sorted(set(v[m])) for m in sorted(v)} for k, v in lists.items()}, indent=1)
    OUT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
