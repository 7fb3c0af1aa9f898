"""The operators of ai.onnx.ml that are no trees agree with ONNX Runtime: every post transform, kernel and form of input."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx

from backends.native.random_graphs import Maker, Sample
from backends.native.test_ops_property import faults
from neo_cli.backends.native import operators
from neo_cli.backends.native.ops.expansions import EXPANSIONS

POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
NUMBERS = ("float32", "float64", "int64", "int32")
TEXT = {"CastMap", "CategoryMapper", "DictVectorizer", "ZipMap"}  # maps and text, no tensors of numbers
M = Maker(11)


def classic(op: str, *inputs: np.ndarray, **attributes: Any) -> Sample | None:
    return M.sample(op, list(inputs), domain="ai.onnx.ml", **attributes)


def numbers(*shape: int, spread: float = 1.0) -> list[float]:
    return [float(v) for v in (M.rng.normal(size=shape) * spread).reshape(-1)]


def preparing() -> Iterator[Sample | None]:
    holes = M.array((3, 4))
    holes[0, 0], holes[1, 1] = np.nan, 7
    whole = np.round(M.array((3, 4)))
    for dtype in NUMBERS:
        x = M.array((3, 4), dtype)
        yield classic("FeatureVectorizer", x, M.array((3, 2), dtype), inputdimensions=[M.pick(3, 4, 5), 2])
        yield classic("OneHotEncoder", x, cats_int64s=[-1, 0, 2, 5], zeros=1)
        yield classic("ArrayFeatureExtractor", x, np.array([[2, 0]]))
        for offset, scale in (([1.0], [2.0]), ([1.0, 2, 3, 4], [0.5, 1, 2, 3])):
            yield classic("Scaler", x, offset=offset, scale=scale)
        for norm in ("MAX", "L1", "L2"):
            yield classic("Normalizer", x, norm=norm)
    yield classic("Binarizer", holes, threshold=0.5)
    for filled, wanted in itertools.product(([1.0], [1.0, 2, 3, 4]), (float("nan"), 7.0)):
        yield classic("Imputer", holes, imputed_value_floats=filled, replaced_value_float=wanted)
    yield classic("Imputer", whole.astype(np.int64), imputed_value_int64s=[1, 2, 3, 4], replaced_value_int64=2)
    yield classic(
        "LabelEncoder", whole.astype(np.int64), keys_int64s=[1, 2], values_floats=[0.5, 1.5], default_float=9.0
    )
    yield classic("LabelEncoder", whole, keys_floats=[1.0, float("nan")], values_int64s=[5, 6])


def linear() -> Iterator[Sample | None]:
    for post, count in itertools.product(POSTS, (1, 2, 3)):
        shared = {"coefficients": numbers(count, 4, spread=0.1), "intercepts": [0.1] * count, "post_transform": post}
        yield classic("LinearRegressor", M.array((3, 4)), targets=count, **shared)
        if (count, post) != (1, "PROBIT"):  # ONNX Runtime leaves the second score as the memory was
            labels = list(range(5, 5 + max(2, count)))
            yield classic("LinearClassifier", M.array((3, 4)), count=2, classlabels_ints=labels, **shared)


def machines() -> Iterator[Sample | None]:
    for post, kernel in itertools.product(POSTS, ("LINEAR", "POLY", "RBF", "SIGMOID")):
        shared = {"kernel_type": kernel, "kernel_params": [0.3, 0.2, 2.0], "post_transform": post}
        yield classic(
            "SVMRegressor", M.array((3, 4)), coefficients=numbers(5), support_vectors=numbers(5, 4), n_supports=5, rho=[0.3],
            one_class=M.pick(0, 1), **shared,
        )  # fmt: skip
        for classes, chances in itertools.product((2, 3), (False, True)):
            counts, pairs = [2, 3, 2][:classes], classes * (classes - 1) // 2
            extra = (
                {"prob_a": [-1.0] * pairs, "prob_b": [2.0] * pairs} if chances else {}
            )  # PROBIT magnifies the last bit near 1/2
            if classes == 2 and post == "PROBIT" and not chances:
                continue
            yield classic(
                "SVMClassifier", M.array((3, 4)), count=2, classlabels_ints=list(range(5, 5 + classes)), vectors_per_class=counts,
                support_vectors=numbers(sum(counts), 4), coefficients=numbers(classes - 1, sum(counts)),
                rho=[0.1 * k - 0.1 for k in range(pairs)], **shared, **extra,
            )  # fmt: skip
    for post, classes, sign in itertools.product(POSTS, (2, 3), (abs, float)):
        weights = [sign(v) for v in numbers(classes, 4)]
        yield classic(
            "SVMClassifier", M.array((5, 4)), count=2, classlabels_ints=list(range(5, 5 + classes)), coefficients=weights,
            rho=[0.1], kernel_type="LINEAR", kernel_params=[0.0] * 3, post_transform=post,
        )  # fmt: skip


def test_all_forms_agree():
    found = [s for s in (*preparing(), *linear(), *machines())]
    samples = [s for s in found if s is not None]
    assert len(found) - len(samples) <= 4  # ONNX Runtime has not every type of OneHotEncoder
    assert faults(samples) == []


def test_every_operator_on_tensors_of_numbers_has_a_rule():
    known = operators.load().keys() | EXPANSIONS.keys()
    names = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "ai.onnx.ml"}
    assert {name for name in names if ("ai.onnx.ml", name) not in known} == TEXT
