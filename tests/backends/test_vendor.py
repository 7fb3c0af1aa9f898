"""The door for vendor compilers: refused by name without a plug-in, opened by one."""

import json
import sys
import tarfile
from pathlib import Path

import pytest

from compiling import compile_here
from models.builders import BUILDERS
from neo_cli.backends import vendor
from neo_cli.base.errors import TargetUnavailable
from neo_cli.model.build import Build
from neo_cli.targets.devices import targets

PLUGIN = """
from neo_cli.model.build import Build

def compile(model, target, options, work):
    file = work / "model_neuron.bin"
    file.write_bytes(b"from the vendor for " + target.name.encode())
    return Build(backend="vendor", engine="vendor", files={"model_neuron.bin": file})
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package on sys.path that provides neuronx-cc, as pip would install it."""
    info = tmp_path / "acme_neuron-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-neuron\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[neo_cli.compilers]\nneuronx-cc = acme_neuron:compile\n")
    (tmp_path / "acme_neuron.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("acme_neuron", None)


def test_without_a_plugin_the_refusal_names_the_tool(tmp_path: Path) -> None:
    target = targets()["ml_trn1"]
    assert "neuronx-cc" in (vendor.refusal(target) or "")
    with pytest.raises(TargetUnavailable, match="neuronx-cc"):
        vendor.compile(None, target, {}, tmp_path)  # type: ignore[arg-type]


def test_a_plugin_opens_its_targets_and_no_other(plugin: None, tmp_path: Path) -> None:
    target = targets()["ml_trn1"]
    assert vendor.refusal(target) is None
    build = vendor.compile(None, target, {}, tmp_path)  # type: ignore[arg-type]
    assert isinstance(build, Build)
    assert build.files["model_neuron.bin"].read_bytes() == b"from the vendor for ml_trn1"
    assert vendor.refusal(targets()["jacinto_tda4vm"]) is not None
    assert vendor.refusal(targets()["ml_c5"]) is None


def test_a_job_for_a_refused_device_fails_at_once_with_its_sentence(tmp_path: Path) -> None:
    log: list[str] = []
    with pytest.raises(TargetUnavailable) as caught:
        compile_here(BUILDERS["mlp"](True), tmp_path, target="ml_inf2", options='"--verbose 1"', log=log)
    assert caught.value.message == targets()["ml_inf2"].refuse
    assert log == []


def test_a_plugin_compiles_the_job_and_gets_the_flags(plugin: None, tmp_path: Path) -> None:
    made = compile_here(BUILDERS["mlp"](True), tmp_path, target="ml_inf2", options='"--verbose 1"')
    assert made.verified == "compiled only"
    report = json.loads(made.report.read_text())
    assert (report["chosen"], report["options"]) == ("vendor", {"flags": "--verbose 1"})
    with tarfile.open(made.artifact) as tar:
        assert "model_neuron.bin" in tar.getnames()
