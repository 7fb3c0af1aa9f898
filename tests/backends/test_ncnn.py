"""ncnn: its own run of a translated network equals the source, on the CPU and on a Vulkan device where there is one."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.ncnn import accelerate, compile
from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.targets.devices import targets

if importlib.util.find_spec("ncnn") is None:
    pytest.skip("the ncnn extra is not installed", allow_module_level=True)


def vulkan_devices() -> int:
    """Counted in a process of its own: a Vulkan driver must not be torn down in the middle of the suite's."""
    run = subprocess.run(
        [sys.executable, "-c", "import ncnn; print(ncnn.get_gpu_count())"], capture_output=True, text=True
    )
    return int(run.stdout.strip() or 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv2", "yolo"])
def test_a_network_equals_its_source(name: str, tmp_path: Path) -> None:
    model = as_model(BUILDERS[name](small=True), tmp_path)
    build = compile(model, targets()["rk3399"], {}, tmp_path)
    assert build.emulate is not None and set(build.files) == {"compiled.param", "compiled.bin"}
    given = feeds(model)
    assert error(build.emulate(given), model.oracle(given)) < 1e-4


@pytest.mark.slow
def test_vulkan_code_equals_its_source(tmp_path: Path) -> None:
    if not vulkan_devices():
        pytest.skip("this machine has no Vulkan device (mesa-vulkan-drivers brings a software one)")
    model = as_model(BUILDERS["mobilenetv2"](small=True), tmp_path)
    build = accelerate(model, targets()["rk3399"], {}, tmp_path)
    assert build.emulate is not None and build.settings["vulkan"]
    given = feeds(model)
    assert error(build.emulate(given), model.oracle(given)) < 1e-4


@pytest.mark.slow
def test_what_ncnn_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorNotImplemented, match=r"ncnn has no layer for: .*Tensor\.to"):
        compile(as_model(BUILDERS["bert"](small=True), tmp_path), targets()["rk3399"], {}, tmp_path)
