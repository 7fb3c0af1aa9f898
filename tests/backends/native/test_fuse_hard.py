"""Hard sigmoids and swishes in the parts that exporters write go into the convolution before them, with equal numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.graphs import as_model
from models.builders import Graph
from neo_cli.backends.native import compile, fusion, importer
from neo_cli.backends.native.cpus import AVX2
from neo_cli.targets.devices import targets


def net(form: str, three: float = 3.0, six: float = 6.0) -> onnx.ModelProto:
    """A convolution, the activation in one of its forms, another convolution."""
    g = Graph(form, 3)
    x = g.conv(g.input("x", [1, 16, 9, 9]), 16, 24, 3)

    def number(value: float) -> str:
        return g.constant(np.float32(value), "number")

    clip = g.op("Clip", g.op("Add", x, number(three)), number(0.0), number(six))
    if form == "swish":
        y = g.op("Div", g.op("Mul", x, clip), number(6.0))
    elif form == "swish, turned":
        y = g.op("Mul", number(1 / 6), g.op("Mul", clip, x))
    elif form == "swish by sigmoid":
        y = g.op("Mul", x, g.op("Div", clip, number(6.0)))
    elif form == "swish by operator":
        y = g.op("Mul", g.op("HardSigmoid", x, alpha=1 / 6, beta=0.5), x)
    else:
        y = g.op("Mul", clip, number(1 / 6))
    out = g.conv(y, 24, 8, 1)
    return g.finish({"y": (out, [1, 8, 9, 9])})


FORMS = ["swish", "swish, turned", "swish by sigmoid", "swish by operator", "sigmoid"]


@pytest.mark.parametrize("form", FORMS)
def test_one_activation_of_the_convolution(form: str, tmp_path: Path) -> None:
    model = as_model(net(form), tmp_path)
    graph = fusion.fuse(importer.load(model), AVX2)
    assert [node.op for node in graph.nodes] == ["fast.Conv", "fast.Conv"]
    assert graph.nodes[0].attrs["act"].kind == ("HARDSIGMOID" if form == "sigmoid" else "HARDSWISH")
    build = compile(model, targets()["ml_c4"], {"check_all": True}, tmp_path)
    assert any("tensors compared" in note for note in build.notes)


@pytest.mark.parametrize(
    "form, three, six, kind",
    [("swish", 2.0, 6.0, None), ("swish", 3.0, 5.0, None), ("sigmoid", 3.0, 5.0, None), ("sigmoid", 2.0, 6.0, "HARDSIGMOID")],
)  # fmt: skip
def test_other_numbers(form: str, three: float, six: float, kind: str | None, tmp_path: Path) -> None:
    model = as_model(net(form, three, six), tmp_path)
    acts = [node.attrs["act"].kind for node in fusion.fuse(importer.load(model), AVX2).nodes if node.attrs.get("act")]
    assert [act for act in acts if act.startswith("HARD")] == ([kind] if kind else [])
    build = compile(model, targets()["ml_c4"], {"check_all": True}, tmp_path)
    assert any("tensors compared" in note for note in build.notes)
