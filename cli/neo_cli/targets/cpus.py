"""The processors that a target's compilers know by name, so that a wrong `mcpu` is told with the names it may mean.

The names are zig's, which are LLVM's with '_' for '-'; `python -m ziglang targets` prints them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from neo_cli.base.errors import CompileError
from neo_cli.targets.devices import Target

# GCC's names of ARM features, which Neo's examples use, and zig's.
FEATURES = {"vfpv3": "vfp3", "vfpv4": "vfp4", "vfpv2": "vfp2", "asimd": "neon", "fp16": "fullfp16", "simd": "neon"}

_X86 = """
alderlake amdfam10 arrowlake arrowlake_s athlon athlon64 athlon64_sse3 athlon_4 athlon_fx athlon_mp athlon_tbird
athlon_xp atom atom_sse4_2_movbe barcelona bdver1 bdver2 bdver3 bdver4 bonnell broadwell btver1 btver2 c3 c3_2
cannonlake cascadelake clearwaterforest cooperlake core2 corei7 diamondrapids emeraldrapids generic geode goldmont
goldmont_plus gracemont grandridge graniterapids graniterapids_d haswell i386 i486 i586 i686 i86 icelake_client
icelake_server ivybridge k6 k6_2 k6_3 k8 k8_sse3 knl knm lakemont lunarlake meteorlake nehalem nocona novalake opteron
opteron_sse3 pantherlake penryn pentium pentium2 pentium3 pentium3m pentium4 pentium_m pentium_mmx pentiumpro prescott
raptorlake rocketlake sandybridge sapphirerapids sierraforest silvermont skx skylake skylake_avx512 slm tigerlake
tremont westmere wildcatlake winchip2 winchip_c6 x86_64 x86_64_v2 x86_64_v3 x86_64_v4 yonah znver1 znver2 znver3
znver4 znver5
"""
_ARM64 = """
a64fx ampere1 ampere1a ampere1b ampere1c apple_a10 apple_a11 apple_a12 apple_a13 apple_a14 apple_a15 apple_a16
apple_a17 apple_a18 apple_a19 apple_a7 apple_a8 apple_a9 apple_m1 apple_m2 apple_m3 apple_m4 apple_m5 apple_s10
apple_s4 apple_s5 apple_s6 apple_s7 apple_s8 apple_s9 c1_nano c1_premium c1_pro c1_ultra carmel cobalt_100 cortex_a320
cortex_a34 cortex_a35 cortex_a510 cortex_a520 cortex_a520ae cortex_a53 cortex_a55 cortex_a57 cortex_a65 cortex_a65ae
cortex_a710 cortex_a715 cortex_a72 cortex_a720 cortex_a720ae cortex_a725 cortex_a73 cortex_a75 cortex_a76 cortex_a76ae
cortex_a77 cortex_a78 cortex_a78ae cortex_a78c cortex_x1 cortex_x1c cortex_x2 cortex_x3 cortex_x4 cortex_x925 cyclone
emag exynos_m1 exynos_m2 exynos_m3 exynos_m4 exynos_m5 falkor fujitsu_monaka gb10 generic grace kryo neoverse_512tvb
neoverse_e1 neoverse_n1 neoverse_n2 neoverse_n3 neoverse_v1 neoverse_v2 neoverse_v3 neoverse_v3ae olympus oryon_1
saphira thunderx thunderx2t99 thunderx3t110 thunderxt81 thunderxt83 thunderxt88 tsv110 xgene1
"""
_ARM = """
arm1020e arm1020t arm1022e arm10e arm10tdmi arm1136j_s arm1136jf_s arm1156t2_s arm1156t2f_s arm1176jz_s arm1176jzf_s
arm710t arm720t arm7tdmi arm7tdmi_s arm8 arm810 arm9 arm920 arm920t arm922t arm926ej_s arm940t arm946e_s arm966e_s
arm968e_s arm9e arm9tdmi baseline cortex_a12 cortex_a15 cortex_a17 cortex_a32 cortex_a35 cortex_a5 cortex_a510
cortex_a53 cortex_a55 cortex_a57 cortex_a7 cortex_a710 cortex_a72 cortex_a73 cortex_a75 cortex_a76 cortex_a76ae
cortex_a77 cortex_a78 cortex_a78ae cortex_a78c cortex_a8 cortex_a9 cortex_x1 cortex_x1c cyclone ep9312 exynos_m1
exynos_m2 exynos_m3 exynos_m4 exynos_m5 generic iwmmxt krait kryo mpcore mpcorenovfp neoverse_n1 neoverse_n2
neoverse_v1 strongarm strongarm110 strongarm1100 strongarm1110 swift xscale
"""
CPUS = {
    "x86_64": frozenset(_X86.split()),
    "x86": frozenset(_X86.split()),
    "arm64": frozenset(_ARM64.split()),
    "armhf": frozenset(_ARM.split()),
    "armel": frozenset(_ARM.split()),
}
# What GCC, clang and Neo's own examples call processors that zig has under one name.
ALIASES = {
    "core_avx2": "haswell",
    "core_avx_i": "ivybridge",
    "corei7_avx": "sandybridge",
    "x86_64_v1": "x86_64",
}


def settled(options: Mapping[str, Any], target: Target) -> dict[str, Any]:
    """The options with `mcpu` and `mattr` in zig's names; NEON is part of `mattr` on 32-bit ARM, and nothing elsewhere."""
    found = dict(options)
    if "mcpu" in found:
        found["mcpu"] = named(target, found["mcpu"])
    features = [f[0] + _feature(f[1:]) for f in found.get("mattr", ())]
    if "neon" in found and target.arch in ("armhf", "armel"):
        features.append("+neon" if found["neon"] else "-neon")
    return found | ({"mattr": features} if features else {})


def _feature(text: str) -> str:
    name = text.lower().replace("-", "_").replace(".", "_")
    return FEATURES.get(name, name)


def named(target: Target, text: str) -> str:
    """zig's name of the processor; CompileError with similar names when `target` has none of that name."""
    known = CPUS.get(target.arch, frozenset())
    name = text.lower().replace("-", "_").replace(".", "_")
    name = ALIASES.get(name, name)
    if name in known:
        return name
    close = difflib.get_close_matches(name, sorted(known), 5, 0.5)
    told = f"; similar: {', '.join(close)}" if close else ""
    raise CompileError(f"CompilerOptions: there is no processor '{text}' for {target.name} ({target.arch}){told}.")
