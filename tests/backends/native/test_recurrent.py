"""LSTM and GRU: all forms agree with ONNX Runtime, those of ordinary activations by vectors of hidden units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.graphs import as_model, error, feeds
from backends.native.windows import WIDTHS, agree
from models.builders import Graph
from neo_cli.backends.native import compile
from neo_cli.targets.devices import targets

# op, direction, steps, batch, width, hidden, bias, states given
FORMS = [
    ("LSTM", "forward", 7, 1, 10, 20, True, False),
    ("LSTM", "bidirectional", 5, 3, 3, 33, True, True),
    ("LSTM", "reverse", 4, 2, 17, 5, False, True),
    ("LSTM", "forward", 1, 1, 8, 64, True, True),
    ("GRU", "forward", 6, 1, 12, 37, True, False),
    ("GRU", "bidirectional", 3, 2, 5, 16, True, True),
    ("GRU", "reverse", 2, 1, 1, 50, False, False),
]


def layers(forms: list[tuple]) -> onnx.ModelProto:
    g, outputs = Graph("recurrent", 5), {}
    for index, (op, direction, steps, batch, width, hidden, biased, given) in enumerate(forms):
        gates, directions = {"LSTM": 4, "GRU": 3}[op], 1 + (direction == "bidirectional")
        x = g.input(f"x{index}", [steps, batch, width])
        w = g.constant(g.weights(directions, gates * hidden, width, scale=0.5))
        r = g.constant(g.weights(directions, gates * hidden, hidden, scale=hidden**-0.5))
        b = g.constant(g.weights(directions, 2 * gates * hidden, scale=0.5), "b") if biased else ""
        state = [directions, batch, hidden]
        starts = [g.input(f"s{index}{i}", state) for i in range(gates - 2)][: 2 if op == "LSTM" else 1] if given else []
        extra = {"linear_before_reset": 1} if op == "GRU" else {}
        count = 3 if op == "LSTM" else 2
        y = g.op(op, x, w, r, b, "", *starts, outputs=count, hidden_size=hidden, direction=direction, **extra)
        outputs[f"y{index}"] = (y, [steps, directions, batch, hidden])
        for i in range(1, count):
            outputs[f"y{index}_{i}"] = (f"{y}_{i}", state)
    return g.finish(outputs)


@pytest.mark.slow
@pytest.mark.parametrize("target", WIDTHS)
def test_every_form(start, target):
    engine = agree(start, target, layers(FORMS), 2e-6)
    text = (engine.library.path.parent.parent / "build0" / "3-layout.txt").read_text()
    assert " = LSTM(" not in text
    assert " = GRU(" not in text


def test_threads_share_a_wide_layer_and_change_no_bit(start):
    form = ("LSTM", "forward", 9, 1, 16, 450, True, True)
    found = []
    for threads in (1, 2, 3, 5):
        model, engine = start(layers([form]), threads=threads)
        found.append(engine.run(feeds(model)))
    assert error(found[0], model.oracle(feeds(model))) < 2e-6
    assert "BARRIER for each step" in (engine.library.path.parent.parent / "build0" / "5-compiled.c").read_text()
    assert all(np.array_equal(found[0][key], other[key]) for other in found[1:] for key in found[0])


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "ml_m6g",
        "LINUX_ARM_EABIHF",
        pytest.param("LINUX_ARM_EABI", marks=pytest.mark.long),
        pytest.param("ANDROID_X86", marks=pytest.mark.long),
    ],
)
def test_other_processors_agree(tmp_path: Path, target):
    model = as_model(layers(FORMS), tmp_path)
    build = compile(model, targets()[target], {}, tmp_path)
    if build.emulate is None:
        pytest.skip("qemu-user is not installed here")
    feed = feeds(model)
    assert error(build.emulate(feed), model.oracle(feed)) < 2e-6
