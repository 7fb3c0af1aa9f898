"""Every device and every cell: a convnet, a transformer block and trees end COMPLETED, or FAILED with the record's sentence.

Targets with the same triple, processor, features and back ends have the same CPU part, which is compiled once; so it
is with GPU parts. What is found must equal docs/support.json, which NEO_RECORD=1 writes.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compiling import archive
from models.small import SMALL
from neo_cli import pipeline
from neo_cli.base.errors import TargetUnavailable
from neo_cli.runtime import cpu
from neo_cli.targets.devices import Target, targets

RECORD = Path(__file__).parents[2] / "docs" / "support.json"
WORDS = ("ran", "emulated", "compiled only", "refused")
pytestmark = pytest.mark.slow


def output_config(target: Target) -> dict[str, Any]:
    """The request's OutputConfig for a record, with the options that NVIDIA cells require."""
    config: dict[str, Any] = {"S3OutputLocation": "file:///out"}
    cell = re.fullmatch(r"(LINUX|ANDROID)_(X86_64|X86|ARM64|ARM_EABIHF|ARM_EABI)(?:_(\w+))?", target.name)
    options: dict[str, str] = {}
    if cell:
        config["TargetPlatform"] = {k: v for k, v in zip(("Os", "Arch", "Accelerator"), cell.groups()) if v}
        if cell[3] == "NVIDIA":
            options |= {"gpu-code": "sm_70", "trt-ver": "6.0.1", "cuda-ver": "10.0"}
    else:
        config["TargetDevice"] = target.name
    if "native" in target.backends and target.name != "LINUX_X86_64":
        options["backend"] = "native"  # one contest is enough here
    return config | ({"CompilerOptions": json.dumps(options)} if options else {})


class Workshop:
    """Jobs for targets, each distinct CPU part and GPU part made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archives = {
            kind: archive(folder / kind / "net.tar.gz", {"net.onnx": make().SerializeToString()})
            for kind, make in SMALL.items()
        }
        self.cpu: dict[Any, str] = {}
        self.gpu: dict[Any, str | None] = {}

    def compile(self, target: Target, kind: str) -> tuple[str, str | None]:
        """How the CPU part was verified, and the GPU part where there is one."""
        first = (kind, target.triple, target.cpu, target.features, target.backends)
        second = (kind, target.accelerate, target.gpu_arch)
        if first not in self.cpu or second not in self.gpu:
            wanted = target if second not in self.gpu else replace(target, accelerate=())
            report = self._job(wanted, kind)
            self.cpu[first] = report["verified"]
            part = report["accelerator"]
            self.gpu.setdefault(second, f"{part['backend']}: {part['verified']}" if part else None)
        return self.cpu[first], self.gpu[second]

    def _job(self, target: Target, kind: str) -> dict[str, Any]:
        work = self.folder / f"{target.name}-{kind}"
        request = {"InputConfig": {"Framework": "ONNX"}, "OutputConfig": output_config(target)}
        environ = {"NEO_HOME": str(self.folder / "home")}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pipeline, "target_of", lambda _: target)
            made = pipeline.compile_job(request, self.archives[kind], work, [].append, environ=environ)
        return dict(json.loads(made.report.read_text()))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("devices")
        patch.setenv("NEO_HOME", str(folder / "home"))
        yield Workshop(folder)


@pytest.fixture(scope="module")
def record() -> Iterator[dict[str, dict[str, str]]]:
    """What the tests recorded before; what they find goes there under NEO_RECORD=1."""
    whole = json.loads(RECORD.read_text()) if RECORD.is_file() else {"targets": {}, "frameworks": {}}
    yield whole["targets"]
    if os.environ.get("NEO_RECORD"):
        whole["targets"] = {name: whole["targets"][name] for name in targets() if name in whole["targets"]}
        RECORD.write_text(json.dumps(whole, indent=1, sort_keys=False) + "\n", encoding="utf-8")


def rank(text: str) -> int:
    """0 for the widest check; "ncnn: emulated" counts as emulated."""
    return next((i for i, word in enumerate(WORDS) if text.endswith(word)), -1)


def compare(target: Target, kind: str, found: str, record: dict[str, dict[str, str]]) -> None:
    """`found` equals the record, as far as this machine has the means; where they are missing in CI, that is a failure."""
    if os.environ.get("NEO_RECORD"):
        record.setdefault(target.name, {})[kind] = found
        return
    wanted = record.get(target.name, {}).get(kind, "nothing recorded")
    if found == wanted:
        return
    weaker = rank(wanted) < rank(found)
    if weaker and "ran" in wanted and not cpu.runs(target.os, target.arch, target.features):
        pytest.skip(f"this CPU cannot run code for {target.name}")
    if weaker and "emulated" in wanted and not os.environ.get("NEO_CI"):
        pytest.skip("the record was made with qemu-user and a Vulkan driver, which are not all here")
    pytest.fail(f"{target.name}, {kind}: '{found}', and docs/support.json says '{wanted}'")


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("name", targets())
def test_a_job_completes_or_says_why_not(
    name: str, kind: str, workshop: Workshop, record: dict[str, dict[str, str]]
) -> None:
    target = targets()[name]
    if target.refuse:
        with pytest.raises(TargetUnavailable) as caught:
            workshop._job(target, kind)
        assert caught.value.message == target.refuse
        compare(target, kind, "refused", record)
        return
    verified, gpu = workshop.compile(target, kind)
    compare(target, kind, verified, record)
    if target.accelerate and kind != "trees":
        assert gpu is not None, f"{name} has no GPU part for the {kind}"
        compare(target, "gpu", gpu, record)
    else:
        assert gpu is None


def test_the_record_has_every_target_and_no_other() -> None:
    found = json.loads(RECORD.read_text())["targets"]
    assert list(found) == list(targets())
    for name, row in found.items():
        assert set(row) == set(SMALL) | ({"gpu"} if targets()[name].accelerate else set())
        assert all(row[kind] in WORDS for kind in SMALL)
        assert (row["convnet"] == "refused") == bool(targets()[name].refuse)
