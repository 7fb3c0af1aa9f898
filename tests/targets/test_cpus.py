"""Processor names: those of devices.toml, Neo's and GCC's are understood, a wrong one is told with its neighbours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import CompileError
from neo_cli.targets.cpus import CPUS, named, settled
from neo_cli.targets.devices import targets
from neo_cli.targets.options import meanings

C5, PI, ARM64 = targets()["ml_c5"], targets()["rasp3b"], targets()["LINUX_ARM64"]


def test_every_record_names_a_processor_that_zig_has() -> None:
    for target in targets().values():
        if target.triple and target.os != "ios":
            assert target.cpu.split("+")[0] in CPUS[target.arch], target.name


@pytest.mark.parametrize(
    "text, name",
    [
        ("core-avx2", "haswell"),
        ("skylake-avx512", "skylake_avx512"),
        ("Haswell", "haswell"),
        ("x86-64-v3", "x86_64_v3"),
    ],
)
def test_names_of_gcc_and_llvm_are_understood(text: str, name: str) -> None:
    assert named(C5, text) == name


def test_an_unknown_processor_is_told_with_similar_ones() -> None:
    with pytest.raises(
        CompileError, match=r"there is no processor 'skylake-avx51' for ml_c5 \(x86_64\); similar: skyl"
    ):
        named(C5, "skylake-avx51")
    with pytest.raises(CompileError, match=r"there is no processor 'haswell' for LINUX_ARM64 \(arm64\)"):
        named(ARM64, "haswell")


@given(st.text(max_size=40))
def test_any_text_is_a_name_or_a_refusal(text: str) -> None:
    try:
        assert named(PI, text) in CPUS["armhf"]
    except CompileError as error:
        assert error.message.startswith("CompilerOptions: there is no processor '")


def test_arm_features_get_zigs_names_and_neon_is_one_of_them() -> None:
    assert settled({"mattr": ["+neon", "+vfpv4"]}, PI) == {"mattr": ["+neon", "+vfp4"]}
    assert settled({"neon": True}, PI) == {"neon": True, "mattr": ["+neon"]}
    assert settled({"neon": False, "mattr": ["+vfpv3"]}, PI)["mattr"] == ["+vfp3", "-neon"]
    assert settled({"neon": True}, ARM64) == {"neon": True}
    assert settled({}, C5) == {}


def test_options_of_the_devices_own_software_are_explained() -> None:
    asked = {"android_platform": 27, "jetpack_version": "4.6", "trt_ver": "6.0.1", "cuda_ver": "10.0", "neon": True}
    told = meanings({**asked, "gpu_code": "sm_72", "mcpu": "generic"}, targets()["jetson_nano"])
    assert [line.split()[0] for line in told] == [
        "ANDROID_PLATFORM", "JETPACK_VERSION", "trt-ver", "cuda-ver", "gpu-code", "mcpu", "NEON:",
    ]  # fmt: skip
    assert meanings({"backend": "native"}, C5) == []
