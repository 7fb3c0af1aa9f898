"""Branches that the data decides: both are computed, and the results of one are taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backends.native.rules_bench import Library, model_of
from neo_cli.backends.native import importer
from neo_cli.base.errors import OperatorNotImplemented

HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[3,4] x, bool[1] c) => (float[3,4] y, int64 n) '
BODY = """<int64 two = {2}> {
    y, n = If(c) <
        then_branch = t () => (float[3,4] a, int64 m) { d = Log(x) a = Mul(d, x) m = Identity(two) },
        else_branch = e () => (float[3,4] b, int64 k) { b = Identity(x) k = Add(two, two) }> }"""


def test_the_branch_that_the_data_decides_is_taken(tmp_path: Path):
    model = onnx.parser.parse_model(HEAD + BODY)
    library = Library([model], tmp_path)
    assert library.errors == {}
    session = ort.InferenceSession(model.SerializeToString())
    x = (
        np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    )  # the logarithms of negative numbers are not taken
    for condition in (True, False):
        feeds = {"x": np.abs(x) if condition else x, "c": np.array([condition])}
        for found, wanted in zip(library.run(0, feeds), session.run(None, feeds), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        ("i = Cast<to=7>(x) j = Gather(i, two) a = Cast<to=1>(i)", "Gather may have no such index"),
        ("a = Concat<axis=0>(x, x)", "its branches make different shapes"),
    ],
)
def test_branches_that_must_not_both_be_computed_are_refused(inner: str, words: str):
    body = BODY.replace("d = Log(x) a = Mul(d, x)", inner).replace("(float[3,4] a", "(float a")
    with pytest.raises(OperatorNotImplemented, match=words):
        importer.load(model_of(onnx.parser.parse_model(HEAD + body)))
