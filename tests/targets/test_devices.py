"""The device records: complete, consistent, and true to the API's enums."""

import json
from pathlib import Path

import pytest

import neo_cli
from neo_cli.backends import BACKENDS
from neo_cli.targets.devices import Target, absent, platform_name, target_of, targets

MODEL = json.loads((Path(neo_cli.__file__).parent / "api" / "model.json").read_text(encoding="utf-8"))["shapes"]
# The developer guide's table of documented combinations.
CELLS = {
    ("LINUX", "X86_64", ""), ("LINUX", "ARM64", ""), ("LINUX", "ARM_EABIHF", ""), ("LINUX", "ARM_EABI", ""),
    ("LINUX", "X86_64", "NVIDIA"), ("LINUX", "ARM64", "NVIDIA"), ("LINUX", "X86_64", "INTEL_GRAPHICS"),
    ("LINUX", "ARM64", "MALI"), ("LINUX", "ARM_EABIHF", "MALI"), ("LINUX", "ARM_EABI", "MALI"),
    ("ANDROID", "X86_64", ""), ("ANDROID", "X86", ""), ("ANDROID", "ARM64", ""), ("ANDROID", "ARM_EABI", ""),
    ("ANDROID", "X86_64", "INTEL_GRAPHICS"), ("ANDROID", "X86", "INTEL_GRAPHICS"),
    ("ANDROID", "ARM64", "MALI"), ("ANDROID", "ARM_EABI", "MALI"),
}  # fmt: skip
REFUSED = {
    "ml_inf1",
    "ml_inf2",
    "ml_trn1",
    "ml_eia2",
    "amba_cv2",
    "amba_cv22",
    "amba_cv25",
    "jacinto_tda4vm",
    "imx8mplus",
}


def test_each_api_device_has_one_record() -> None:
    devices = MODEL["TargetDevice"]["enum"]
    assert [name for name in targets() if name in devices] == devices


def test_each_documented_cell_has_one_record_and_no_other() -> None:
    cells = {platform_name({"Os": os, "Arch": arch, "Accelerator": accelerator}) for os, arch, accelerator in CELLS}
    assert {name for name in targets() if name not in MODEL["TargetDevice"]["enum"]} == cells


def test_only_nine_devices_are_refused_and_each_says_why() -> None:
    refused = {name: t for name, t in targets().items() if t.refuse}
    assert set(refused) == REFUSED
    for name, target in refused.items():
        assert target.refuse and target.refuse.startswith(name) and target.refuse.endswith(".")
        assert not target.backends


@pytest.mark.parametrize("target", targets().values(), ids=lambda t: t.name)
def test_a_record_is_consistent(target: Target) -> None:
    assert all(b in BACKENDS for b in (*target.backends, *target.on_request))
    assert bool(target.backends) != bool(target.refuse)
    arch = {"x86_64": "x86_64", "x86": "x86", "arm64": "aarch64", "armhf": "arm", "armel": "arm", "none": ""}[
        target.arch
    ]
    assert target.triple.split("-")[0] == arch
    if target.gpu_arch:
        assert target.accelerator == "NVIDIA"


def test_target_of_reads_both_forms_of_output_config() -> None:
    assert target_of({"TargetDevice": "ml_c5"}) is targets()["ml_c5"]
    assert (
        target_of({"TargetPlatform": {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "MALI"}})
        is targets()["LINUX_ARM64_MALI"]
    )
    assert target_of({"TargetPlatform": {"Os": "LINUX", "Arch": "X86"}}) is None
    assert target_of({"TargetPlatform": {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "NNA"}}) is None


def test_what_has_no_record_is_told_with_what_there_is() -> None:
    assert absent({"TargetDevice": "abacus"}) == "There is no target abacus."
    told = absent({"TargetPlatform": {"Os": "ANDROID", "Arch": "ARM_EABIHF"}})
    assert told.startswith(
        "There is no target ANDROID_ARM_EABIHF. For ANDROID there are X86_64, X86_64_INTEL_GRAPHICS, X86,"
    )
    nna = {"Os": "LINUX", "Arch": "ARM64", "Accelerator": "NNA"}
    assert absent({"TargetPlatform": nna}).startswith("The NNA accelerator has no public compiler")
