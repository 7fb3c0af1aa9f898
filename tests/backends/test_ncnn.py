"""ncnn: its own run of a translated network equals the source, on the CPU and on a Vulkan device where there is one."""

import importlib.util
import os
from pathlib import Path

import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from models.small import SMALL
from neo_cli.backends import ncnn
from neo_cli.backends.ncnn import accelerate, compile
from neo_cli.base.errors import OperatorNotImplemented
from neo_cli.targets.devices import targets

if importlib.util.find_spec("ncnn") is None:
    pytest.skip("the ncnn extra is not installed", allow_module_level=True)


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
    if not ncnn._devices():
        assert not os.environ.get("NEO_CI"), "the CI machine must have a Vulkan driver"
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


@pytest.mark.slow
def test_without_a_vulkan_device_the_gpu_part_is_compiled_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ncnn, "_devices", lambda: 0)
    build = accelerate(as_model(SMALL["convnet"](), tmp_path), targets()["rk3399"], {}, tmp_path)
    assert build.emulate is None and "not executed" in build.notes[0]
    assert set(build.files) == {"accelerated.param", "accelerated.bin"}


def test_trees_are_refused_before_anything_is_translated(tmp_path: Path) -> None:
    with pytest.raises(OperatorNotImplemented, match=r"ncnn has no layer for: TreeEnsembleRegressor\."):
        accelerate(as_model(SMALL["trees"](), tmp_path), targets()["rk3399"], {}, tmp_path)
