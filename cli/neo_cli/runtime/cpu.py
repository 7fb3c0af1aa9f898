"""What the processor and system of this machine are, in the words of the device records."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path

from neo_cli.runtime.errors import ArtifactError

_ARCH = {
    "x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64",
    "i386": "x86", "i486": "x86", "i586": "x86", "i686": "x86",
}  # fmt: skip


def machine() -> tuple[str, str]:
    """(os, arch), such as ("linux", "x86_64")."""
    system = {"linux": "android" if hasattr(sys, "getandroidapilevel") else "linux", "win32": "windows"}
    name = platform.machine().lower()
    arch = _ARCH.get(name, "armhf" if name.startswith("arm") else name)
    return system.get(sys.platform, sys.platform), arch


@functools.cache
def features() -> frozenset[str] | None:
    """The CPU's features by the names of /proc/cpuinfo; None where they cannot be read."""
    words = _cpuinfo().get("flags") or _cpuinfo().get("Features")
    ours = "flags" if machine()[1] in ("x86_64", "x86") else "Features"
    return frozenset(words.split()) if words and ours in _cpuinfo() else None  # under qemu-user the host's show


def name() -> str:
    """The processor's name, as people know it."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def missing(wanted: Iterable[str]) -> list[str]:
    """The features of `wanted` that this CPU lacks; empty where they cannot be read."""
    have = features()
    return [] if have is None else [feature for feature in wanted if feature not in have]


def runs(system: str, arch: str, wanted: Iterable[str]) -> bool:
    """Can code for that machine run on this one?"""
    here = machine()
    linux = {"linux", "android"}
    return (system == here[0] or {system, here[0]} == linux) and arch == here[1] and not missing(wanted)


def demand(wanted: Iterable[str], system: str, arch: str, portable: bool) -> None:
    """Raise ArtifactError with a sentence when this machine cannot run what was compiled."""
    here = machine()
    if not portable and arch != here[1]:
        raise ArtifactError(
            f"The artifact was compiled for {system} on {arch}; this machine is {here[0]} on {here[1]}."
        )
    lacking = missing(wanted)
    if lacking:
        raise ArtifactError(
            f"The artifact needs the CPU features {', '.join(lacking)}, which this CPU ({name()}) lacks."
        )


@functools.cache
def _cpuinfo() -> dict[str, str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines() if ":" in line)
    found: dict[str, str] = {}
    for key, _, value in pairs:
        found.setdefault(key.strip(), value.strip())
    return found
