"""Every kernel, every width of vectors, sizes that leave remainders in each dimension: here and under qemu-user."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from backends.graphs import as_model
from backends.native.callers import Arrays, lowered
from backends.native.kernel_cases import GROUPS, together
from backends.native.proof_graphs import off
from backends.native.test_networks import runs
from neo_cli.backends.native import build, emulate, layout_rules
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.model.model import Model

HERE = ["LINUX_X86_64", "lambda", "ml_m4", "ml_c5"]
ELSEWHERE = ["ANDROID_X86", "ml_m6g", "LINUX_ARM_EABIHF", "LINUX_ARM_EABI"]
TARGETS = [*HERE, *(pytest.param(t, marks=pytest.mark.emulation) for t in ELSEWHERE)]


@functools.cache
def graph(name: str) -> tuple[onnx.ModelProto, Arrays, Arrays]:
    """A group of cases, inputs, and ONNX Runtime's outputs without its fusions."""
    made = together() if name == "together" else GROUPS[name]()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(31)
    feed = {i.name: random.standard_normal(i.shape).astype(np.float32) for i in session.get_inputs()}
    return made, feed, dict(zip([o.name for o in session.get_outputs()], session.run(None, feed)))


def outputs(model: Model, target: str, feed: Arrays, work: Path) -> Arrays:
    """One run of a small program of the target's code, in a scratch full of NaN."""
    program, record = lowered(model, target, work)
    params = work / "compiled.params"
    if target in HERE:
        binary = build.program(emulate.source(program), record, cpu_of(record), work)
        return emulate.emulate([], binary, program, params, feed)
    run = emulate.runner(program, record, cpu_of(record), params, work)
    if run is None:
        pytest.skip("qemu-user is not installed here")
    return run(feed)


def agree(name: str, target: str, work: Path, tolerance: float) -> None:
    if target in HERE and not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    made, feed, wanted = graph(name)
    found = outputs(as_model(made, work), target, feed, work)
    errors = {key: off({key: found[key]}, {key: array}) for key, array in wanted.items()}
    assert {key: error for key, error in errors.items() if not error < tolerance} == {}


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_odd_sizes(tmp_path: Path, target: str):
    agree("together", target, tmp_path, 5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("target", [t for t in TARGETS if t != "lambda"])
def test_winograd_of_odd_sizes(tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch):
    """Both tile sizes, where the estimate would rather be direct too."""
    sizes: list[int] = []

    def chosen(cpu: object, ic: int, oc: int, height: int, width: int, *rest: int) -> int:
        sizes.append(2 if (height + oc) % 3 == 0 else 4)
        return sizes[-1]

    monkeypatch.setattr(layout_rules.schedule, "algorithm", chosen)
    agree("winograd", target, tmp_path, 1e-4)
    assert {2, 4} <= set(sizes)
