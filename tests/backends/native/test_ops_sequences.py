"""Sequences of tensors are gone when a model runs: what is made of them agrees with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from backends.native.rules_bench import Library, model_of
from neo_cli.backends.native import importer
from neo_cli.base.errors import OperatorNotImplemented

HEAD = '<ir_version: 8, opset_import: ["" : 18]> g (float[4,6] x) => '
BODIES = {
    "parts of one size, joined in another order": """(float[y0,y1] y)
        <int64 two = {2}, int64 zero = {0}, int64 last = {-1}> {
        s = SplitToSequence<axis=1>(x, two) a = SequenceAt(s, last) b = SequenceAt(s, zero)
        t = SequenceConstruct(a, b) u = SequenceInsert(t, x) y = ConcatFromSequence<axis=1>(u) }""",
    "parts of given sizes, one taken out": """(float[y0,y1] y, int64 n)
        <int64[2] sizes = {1, 3}, int64 zero = {0}> {
        s = SplitToSequence<axis=0>(x, sizes) t = SequenceErase(s, zero) n = SequenceLength(s)
        u = Identity(t) y = ConcatFromSequence<axis=0>(u) }""",
    "rows stacked on a new axis": """(float[y0,y1] y) {
        s = SplitToSequence<axis=0, keepdims=0>(x) y = ConcatFromSequence<axis=-1, new_axis=1>(s) }""",
    "one part a row, the axis kept": """(float[y0,y1,y2] y) {
        s = SplitToSequence<axis=0, keepdims=1>(x) y = ConcatFromSequence<axis=0, new_axis=1>(s) }""",
    "a loop that fills a sequence": """(float[y0,y1] y)
        <int64 three = {3}, bool on = {1}> {
        e = SequenceEmpty<dtype=1>()
        s = Loop(three, on, e) <body = b (int64 i, bool c, seq(float) before) => (bool d, seq(float) after) {
            d = Identity(c) f = Cast<to=1>(i) r = Add(x, f) after = SequenceInsert(before, r) }>
        y = ConcatFromSequence<axis=0>(s) }""",
    "a body for each element": """(float[y0,y1] y)
        <int64 two = {2}> {
        s = SplitToSequence<axis=1>(x, two)
        m = SequenceMap(s, x) <body = b (float[4,2] part, float[4,6] whole) => (float[4,2] r) {
            w = ReduceMax<keepdims=1>(whole) r = Mul(part, w) }>
        y = ConcatFromSequence<axis=1>(m) }""",
    "an optional": "(float[y0,y1] y) { o = Optional(x) z = OptionalGetElement(o) y = Neg(z) }",
}  # fmt: skip


def test_models_with_sequences_agree(tmp_path: Path):
    x = np.random.default_rng(1).normal(size=(4, 6)).astype(np.float32)
    models, wanted = [], []
    for body in BODIES.values():
        model = onnx.parser.parse_model(HEAD + body)
        wanted.append(ort.InferenceSession(model.SerializeToString()).run(None, {"x": x}))
        for value, array in zip(model.graph.output, wanted[-1]):
            kind = helper.np_dtype_to_tensor_dtype(array.dtype)
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, array.shape))
        models.append(model)
    library = Library(models, tmp_path)
    assert library.errors == {}
    for index, (name, arrays) in enumerate(zip(BODIES, wanted)):
        for found, array in zip(library.run(index, {"x": x}), arrays, strict=True):
            np.testing.assert_allclose(found, array, rtol=1e-6, err_msg=name)


def test_a_position_that_the_data_decides_is_refused_by_name():
    model = onnx.parser.parse_model(
        HEAD + "(float[4,2] y) <int64 two = {2}> { s = SplitToSequence<axis=1>(x, two) f = ReduceMax<keepdims=0>(x)"
        " i = Cast<to=7>(f) y = SequenceAt(s, i) }"
    )
    with pytest.raises(OperatorNotImplemented, match="SequenceAt so: its position is known only at run time"):
        importer.load(model_of(model))
