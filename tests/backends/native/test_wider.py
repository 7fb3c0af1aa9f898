"""Networks of volumes, of signals and with growing images, small: right on every tensor, the same bits on any threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from backends.native.callers import call, can_sanitise, linked, lowered
from backends.native.test_networks import runs
from models.wider import WIDER
from neo_cli.backends.native import compile
from neo_cli.targets.devices import targets

# Steps that these networks must not fall back to.
PLAIN = (
    " = Conv(",
    " = ConvTranspose(",
    " = LSTM(",
    " = GRU(",
    " = MaxPool(",
    " = BatchNormalization(",
    " = Pad(",
    " = Split(",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "target"),
    [(name, "LINUX_X86_64" if index % 2 else "ml_c5") for index, name in enumerate(WIDER)],
)
def test_every_tensor_agrees_with_onnx_runtime(tmp_path: Path, name, target):
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    model = as_model(WIDER[name](True), tmp_path)
    build = compile(model, targets()[target], {"check_all": True}, tmp_path)
    assert "tensors compared" in build.notes[-1]
    text = (tmp_path / "3-layout.txt").read_text()
    assert [op for op in PLAIN if op in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wavenet"])
def test_the_bits_do_not_depend_on_the_number_of_threads(start, name):
    found = []
    for threads in (1, 2, 5):
        model, engine = start(WIDER[name](True), threads=threads)
        found.append(engine.run(feeds(model)))
    assert error(found[0], model.oracle(feeds(model))) < 5e-6
    assert all(np.array_equal(found[0][key], other[key]) for other in found[1:] for key in found[0])


@pytest.mark.long
@pytest.mark.skipif(not can_sanitise(), reason="there is no GCC with AddressSanitizer here")
@pytest.mark.parametrize("name", WIDER)
def test_sanitizers_find_nothing(tmp_path: Path, name):
    if not runs("ml_c5"):
        pytest.skip("this machine does not run ml_c5's code")
    model = as_model(WIDER[name](True), tmp_path)
    program, record = lowered(model, "ml_c5", tmp_path)
    binary, feed = linked(program, record, tmp_path, sanitise=True), feeds(model)
    for how, threads in (("run", 1), ("run", 3), ("team", 2)):
        (found,), _ = call(binary, program, [feed], threads, how)
        assert all(
            np.allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
            for a, b in zip(found.values(), model.oracle(feed).values())
        )
