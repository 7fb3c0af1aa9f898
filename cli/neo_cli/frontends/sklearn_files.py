"""Which file of an archive is the scikit-learn model, and the estimator in it, loaded by exact names only."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InputError
from neo_cli.model import unpickle
from neo_cli.model.model import Source

RIGHT = "Please make sure the framework you select is correct."
SUFFIXES = (".joblib", ".pkl", ".pickle")
UNTRUSTED = "{} is a pickle, which can carry code. Give --trust-model if you trust its origin."
MISSING = "SKLEARN needs scikit-learn and skl2onnx, which are not installed. Type: pip install 'neo-cli[sklearn]'"


def pick(root: Path) -> Path:
    """The one .joblib file (.pkl and .pickle are taken too)."""
    found = sorted(
        p for p in root.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )
    if not found:
        raise InputError(f"No .joblib file found for Scikit-Learn model. {RIGHT}")
    if len(found) > 1:
        raise InputError("Exactly one .joblib file is allowed for Scikit-Learn models.")
    return found[0]


def read(source: Source, path: Path) -> Any:
    """The fitted estimator; warnings of scikit-learn about its own version become log lines."""
    if not source.trusted:
        raise InputError(UNTRUSTED.format(path.name))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import skl2onnx  # noqa: F401
            import sklearn
    except ImportError as error:
        raise InputError(MISSING) from error
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            estimator = unpickle.load(path, ("python", "numpy", "sklearn"))
        except unpickle.Forbidden as error:
            raise InputError(f"{path.name} was not loaded: {error}.") from error
        except Exception as error:  # a broken or too old pickle can raise anything at all
            raise InputError(cannot(error)) from error
    for text in dict.fromkeys(str(warning.message).splitlines()[0] for warning in heard):
        source.log(f"scikit-learn: {text}")
    if not isinstance(estimator, sklearn.base.BaseEstimator):
        raise InputError(f"{path.name} holds a {type(estimator).__name__}, not a scikit-learn estimator.")
    versions = [getattr(warning.message, "original_sklearn_version", None) for warning in heard]
    version = next((v for v in versions if v), sklearn.__version__)
    source.log(f"Model Version found: scikit-learn {version}, running {sklearn.__version__}")
    return estimator


def cannot(error: Exception) -> str:
    """Why scikit-learn cannot use the estimator, in Neo's words and with what to do."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    detail = (lines or [""])[0][:300]
    if isinstance(error, ModuleNotFoundError | AttributeError) or "incompatible dtype" in detail:
        detail += " The model was saved by another version of scikit-learn; save it again with a current one."
    return f"Framework cannot load Scikit-Learn model. {RIGHT} {type(error).__name__}: {detail}".strip()
