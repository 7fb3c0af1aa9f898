"""Whole networks, small: right on every vector width, every tensor of them, the same bits on any number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import compile
from neo_cli.runtime import cpu
from neo_cli.targets.devices import targets

NETWORKS = ["mlp", "mobilenetv2", "resnet50", "bert", "yolo"]
HERE = {"LINUX_X86_64": "sse", "ml_m4": "avx2", "ml_c5": "avx512"}


def runs(target: str) -> bool:
    record = targets()[target]
    return cpu.runs(record.os, record.arch, record.features)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_agrees_with_onnx_runtime_on_two_threads(start, name):
    model, engine = start(BUILDERS[name](True), threads=2)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("target", HERE)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_tensor_agrees_with_onnx_runtime(tmp_path: Path, name, target):
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    model = as_model(BUILDERS[name](True), tmp_path)
    build = compile(model, targets()[target], {"check_all": True}, tmp_path)
    assert "tensors compared" in build.notes[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv2", "yolo", "bert"])
def test_the_bits_do_not_depend_on_the_number_of_threads(start, name):
    graph = BUILDERS[name](True)
    found = []
    for threads in (1, 2, 3, 7):
        model, engine = start(graph, threads=threads)
        found.append(engine.run(feeds(model)))
    for other in found[1:]:
        for key, array in found[0].items():
            assert np.array_equal(array, other[key])


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "ml_m6g",
        "LINUX_ARM_EABIHF",
        "LINUX_ARM_EABI",
        "ANDROID_X86",
        "ANDROID_ARM64",
        "ANDROID_ARM_EABI",
        "x86_win32",
        "lambda",
    ],
)
def test_other_processors_agree_under_emulation(tmp_path: Path, target):
    for name in ("mobilenetv2", "bert"):
        folder = tmp_path / name
        folder.mkdir()
        model = as_model(BUILDERS[name](True), folder)
        build = compile(model, targets()[target], {}, folder)
        if build.emulate is None:
            pytest.skip("qemu-user is not installed here")
        feed = feeds(model)
        assert error(build.emulate(feed), model.oracle(feed)) < 5e-6
