"""Attention in the forms that exporters write, fused to one step, with key counts that end within a vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.graphs import as_model
from models.builders import Graph
from neo_cli.backends.native import compile
from neo_cli.runtime import cpu
from neo_cli.targets.devices import targets


def separate(length: int, batch: int, heads: int, mask: bool) -> onnx.ModelProto:
    """Three products, cut into heads each."""
    g, width = Graph("attention", 1), heads * 32
    x = g.input("x", [batch, length, width])

    def split(y: str, order: list[int]) -> str:
        return g.op("Transpose", g.op("Reshape", y, g.ints(batch, length, heads, 32)), perm=order)

    q, v = split(g.dense(x, width, width), [0, 2, 1, 3]), split(g.dense(x, width, width), [0, 2, 1, 3])
    k = g.op("Mul", split(g.dense(x, width, width), [0, 2, 3, 1]), g.constant(np.float32(0.3), "scale"))
    scores = g.op("Div", g.op("MatMul", q, k), g.constant(np.float32(2.0), "root"))
    if mask:
        bias = np.where(np.arange(length) % 3 == 2, -1e4, 0).astype(np.float32)
        scores = g.op("Add", scores, g.constant(np.tile(bias, (batch, 1, 1, 1)), "mask"))
    mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    out = g.dense(g.op("Reshape", mixed, g.ints(batch, length, width)), width, width)
    return g.finish({"y": (out, [batch, length, width])})


def joined(length: int, batch: int, heads: int) -> onnx.ModelProto:
    """One product for q, k and v, as vision transformers have it."""
    g, width = Graph("joined", 2), heads * 32
    x = g.input("x", [batch, length, width])
    cut = g.op("Reshape", g.dense(x, width, 3 * width), g.ints(batch, length, 3, heads, 32))
    turned = g.op("Transpose", cut, perm=[2, 0, 3, 1, 4])
    q, k, v = (g.op("Squeeze", g.op("Gather", turned, g.ints(i), axis=0), g.ints(0)) for i in range(3))
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    scores = g.op("Mul", scores, g.constant(np.float32(32**-0.5), "scale"))
    mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    out = g.dense(g.op("Reshape", mixed, g.ints(batch, length, width)), width, width)
    return g.finish({"y": (out, [batch, length, width])})


CASES = {
    "whole": lambda: separate(16, 1, 2, False),
    "odd, masked": lambda: separate(13, 1, 3, True),
    "batch, masked": lambda: separate(7, 3, 2, True),
    "joined": lambda: joined(16, 1, 2),
    "joined, odd, batch": lambda: joined(21, 2, 2),
}


@pytest.mark.parametrize("target", ["LINUX_X86_64", pytest.param("ml_c5", marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_attention_becomes_one_step_and_every_tensor_agrees(tmp_path: Path, case, target):
    record = targets()[target]
    if not cpu.runs(record.os, record.arch, record.features):
        pytest.skip(f"this machine does not run {target}'s code")
    build = compile(as_model(CASES[case](), tmp_path), record, {"check_all": True}, tmp_path)
    text = build.temps["3-layout.txt"].read_text()
    assert text.count("fast.Attention") == 1 and "Softmax" not in text
