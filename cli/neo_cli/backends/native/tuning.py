"""CompilerOptions' mcpu and mattr as targets: the processor asked for, or several feature levels in one artifact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from neo_cli.base.errors import CompileError
from neo_cli.targets.devices import Target

_AVX512 = ("avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl")
_VNNI = (*_AVX512, "avx512_vnni")
# zig's name of an x86-64 processor -> the features its code may use, by the names of /proc/cpuinfo.
X86 = {
    "x86_64": ("sse2",), "x86_64_v2": ("sse4_2",), "x86_64_v3": ("avx2", "fma"), "x86_64_v4": _AVX512,
    "nehalem": ("sse4_2",), "silvermont": ("sse4_2",), "sandybridge": ("sse4_2", "avx"), "ivybridge": ("sse4_2", "avx"),
    "haswell": ("avx2", "fma"), "broadwell": ("avx2", "fma"), "skylake": ("avx2", "fma"), "alderlake": ("avx2", "fma"),
    "znver1": ("avx2", "fma"), "znver2": ("avx2", "fma"), "znver3": ("avx2", "fma"), "znver4": _VNNI,
    "skylake_avx512": _AVX512, "cascadelake": _VNNI, "icelake_server": _VNNI, "sapphirerapids": _VNNI,
    **dict.fromkeys(("znver5", "cooperlake", "emeraldrapids", "graniterapids"), _VNNI),
}  # fmt: skip
# What code for bfloat16 may use besides; float32 code does without, and runs on machines that lack it.
_BF16 = ("avx512_bf16",)
_AMX = (*_BF16, "amx_tile", "amx_bf16")
HALVES = {
    **dict.fromkeys(("cooperlake", "znver4", "znver5"), _BF16),
    **dict.fromkeys(("sapphirerapids", "emeraldrapids", "graniterapids"), _AMX),
}
# arm64 processors that add four products of 8-bit numbers at once (asimddp).
_DOT = """
cortex_a55 cortex_a65 cortex_a75 cortex_a76 cortex_a76ae cortex_a77 cortex_a78 cortex_a78c cortex_a510 cortex_a710
cortex_a715 cortex_x1 cortex_x2 cortex_x3 neoverse_e1 neoverse_n1 neoverse_n2 neoverse_v1 neoverse_v2 apple_a13 apple_a14
apple_a15 apple_a16 apple_m1 apple_m2 apple_m3 ampere1 ampere1a grace oryon_1
"""
DOT = frozenset(_DOT.split())
ALIASES = {"core_avx2": "haswell", "core_avx_i": "ivybridge", "corei7_avx": "sandybridge", "corei7": "nehalem"}
LEVELS = ("x86_64", "haswell", "skylake_avx512")  # of a fat artifact, the best that the machine has is taken
LEVELS_INT8 = (*LEVELS, "cascadelake")


def levels(target: Target, options: Mapping[str, Any], precision: str = "float32") -> tuple[Target, ...]:
    """The targets to build, the most general first; several only for `{"mcpu": "generic"}` on x86-64.

    `precision` is the model's own; int8 has a level of its own.
    """
    wanted = str(options.get("mcpu", "")).lower().replace("-", "_")
    attributes = options.get("mattr") or ()
    extra = [str(a) for a in (attributes if isinstance(attributes, list | tuple) else [attributes])]
    if wanted in ("generic", "") and target.arch != "x86_64":
        wanted = ""
    if options.get("precision") == "bfloat16":
        return (_halves(target, wanted, extra),)
    if wanted == "generic":
        names = LEVELS_INT8 if precision == "int8" else LEVELS
        return tuple(replace(target, cpu=cpu, features=X86[cpu]) for cpu in names)
    if wanted:
        target = _named(target, ALIASES.get(wanted, wanted))
    return (_with(target, extra),)


def _halves(target: Target, wanted: str, extra: list[str]) -> Target:
    """The target with the features that multiply bfloat16; CompileError names the processors that have them.

    mattr may add them to another processor ("+avx512bf16") or take AMX away ("-amx-tile").
    """
    if wanted and wanted != "generic" and target.arch == "x86_64":
        target = _named(target, ALIASES.get(wanted, wanted))
    target = _with(target, extra)
    cpu, *changes = re.split(r"(?=[+-])", target.cpu)
    found = list(HALVES.get(cpu, ())) if target.arch == "x86_64" else []
    if "+avx512bf16" in changes and "avx512f" in target.features:
        found = found or list(_BF16)
    if {"-amx_tile", "-amx_bf16"} & set(changes) or target.os != "linux":  # others are asked for tiles in other ways
        found = [f for f in found if not f.startswith("amx")]
    if "avx512_bf16" not in found or "-avx512bf16" in changes:
        raise CompileError(
            f"The back end native multiplies bfloat16 only on processors that have instructions for it, with mcpu one of "
            f"{', '.join(HALVES)}; {target.name} would get {cpu or 'its baseline'}."
        )
    return replace(target, features=(*target.features, *found))


def _named(target: Target, cpu: str) -> Target:
    if target.arch == "x86_64":
        if cpu not in X86:
            raise CompileError(
                f"The back end native does not know the processor '{cpu}'; known: {', '.join(X86)}, generic."
            )
        return replace(target, cpu=cpu, features=X86[cpu])
    if not re.fullmatch(r"[a-z0-9_]+", cpu):
        raise CompileError(f"'{cpu}' is no name of a processor.")
    features = tuple(f for f in target.features if f != "asimddp")
    return replace(target, cpu=cpu, features=(*features, "asimddp") if cpu in DOT else features)


def _with(target: Target, extra: list[str]) -> Target:
    """mattr's "+name" and "-name" behind the processor's name; what LLVM calls neon is there or not in `features`."""
    cpu, features = target.cpu, list(target.features)
    for text in extra:
        match = re.fullmatch(r"([+-]?)([a-z0-9_.-]+)", text.lower())
        if match is None:
            raise CompileError(f"mattr's '{text}' is no CPU feature with + or - before it.")
        sign, name = match[1] or "+", match[2].replace("-", "_").replace(".", "_")
        cpu += f"{sign}{name}"
        if name == "neon" and target.arch in ("armhf", "armel"):
            features = [f for f in features if f != "neon"] + (["neon"] if sign == "+" else [])
        if name == "dotprod" and target.arch == "arm64":
            features = [f for f in features if f != "asimddp"] + (["asimddp"] if sign == "+" else [])
    return replace(target, cpu=cpu, features=tuple(features))
