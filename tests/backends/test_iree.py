"""IREE: CPU modules equal their source; CUDA code is made for sm_60 and newer and refused below."""

import dataclasses
from pathlib import Path

import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.iree import accelerate, compile
from neo_cli.base.errors import TargetUnavailable
from neo_cli.runtime.engines.iree import Engine
from neo_cli.targets.devices import targets

pytest.importorskip("iree.compiler", reason="the iree extra is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "bert"])
def test_a_cpu_module_equals_its_source(name: str, tmp_path: Path) -> None:
    model = as_model(BUILDERS[name](small=True), tmp_path)
    host = dataclasses.replace(targets()["ml_c5"], cpu="host")
    build = compile(model, host, {}, tmp_path)
    record = {
        "settings": build.settings,
        "inputs": [t.record() for t in model.inputs],
        "outputs": [t.record() for t in model.outputs],
    }
    engine = Engine(tmp_path, record, 1)
    given = feeds(model)
    assert error(engine.run(given), model.oracle(given)) < 1e-5
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["ml_p3", "ml_g4dn", "jetson_tx2", "jetson_xavier"])
def test_cuda_code_is_made(device: str, tmp_path: Path) -> None:
    model = as_model(BUILDERS["mlp"](small=True), tmp_path)
    build = accelerate(model, targets()[device], {}, tmp_path)
    assert build.files["accelerated.vmfb"].stat().st_size > 10_000
    assert build.settings["gpu"] == targets()[device].gpu_arch and "not executed" in build.notes[0]


def test_an_older_gpu_is_refused_by_name(tmp_path: Path) -> None:
    model = as_model(BUILDERS["mlp"](small=True), tmp_path)
    with pytest.raises(TargetUnavailable, match="not for sm_37"):
        accelerate(model, targets()["ml_p2"], {}, tmp_path)
    with pytest.raises(TargetUnavailable, match="give gpu-code in CompilerOptions"):
        accelerate(model, targets()["LINUX_X86_64_NVIDIA"], {}, tmp_path)
    with pytest.raises(TargetUnavailable, match="no code for windows"):
        compile(model, targets()["x86_win64"], {}, tmp_path)
