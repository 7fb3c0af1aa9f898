"""Every TargetDevice and every Os/Arch/Accelerator cell, read from devices.toml: one record each."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """What a compiler must know about a target.

    `triple` and `cpu` are zig's names (`zig cc -target … -mcpu=…`); `features` are the CPU features the code may
    use, by the names of Linux's /proc/cpuinfo, and the runtime refuses a machine that lacks one.
    `backends` make the CPU part, in order of preference; `accelerate` names who may make the GPU part beside it;
    `on_request` are back ends that make code too, when CompilerOptions asks for them by name.
    `refuse` is the sentence with which a job for this target fails; `notes` are facts shown to people.
    """

    name: str
    family: str
    os: str
    arch: str
    triple: str
    cpu: str
    features: tuple[str, ...] = ()
    accelerator: str | None = None
    gpu_arch: str | None = None
    device_type: str = "cpu"
    backends: tuple[str, ...] = ()
    accelerate: tuple[str, ...] = ()
    on_request: tuple[str, ...] = ()
    cloud: bool = False
    plugin: str | None = None
    refuse: str | None = None
    verify: str = "compiled"
    notes: tuple[str, ...] = ()
    defaults: Mapping[str, Any] | None = None


_FILE = Path(__file__).with_name("devices.toml")


@functools.cache
def _document() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


@functools.cache
def targets() -> dict[str, Target]:
    """All targets by name: TargetDevice values, and cells as "LINUX_ARM64_MALI"."""
    families: dict[str, dict[str, Any]] = _document()["family"]
    known = {f.name for f in fields(Target)}
    found = {}
    for kind in ("device", "platform"):
        for name, record in _document()[kind].items():
            merged = {**families[record["family"]], **record, "name": name}
            unknown = set(merged) - known
            if unknown:
                raise ValueError(f"devices.toml: {name} has unknown keys: {', '.join(sorted(unknown))}")
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in merged.items()}
            found[name] = Target(**values)
    return found


def platform_name(platform: Mapping[str, str]) -> str:
    """The name of a TargetPlatform cell: OS_ARCH or OS_ARCH_ACCELERATOR."""
    return "_".join(platform[key] for key in ("Os", "Arch", "Accelerator") if platform.get(key))


def target_of(output_config: Mapping[str, Any]) -> Target | None:
    """The target an OutputConfig asks for, or None when there is no such record."""
    name = output_config.get("TargetDevice") or platform_name(output_config.get("TargetPlatform") or {})
    return targets().get(name)


UNDOCUMENTED_ACCELERATOR = "NNA"  # in the API's enum, with no text and no row in any table


def documented(platform: Mapping[str, str]) -> bool:
    """Whether the developer guide's table has this Os/Arch/Accelerator cell, or the API alone names its accelerator."""
    return platform_name(platform) in targets() or platform.get("Accelerator") == UNDOCUMENTED_ACCELERATOR


def absent(output_config: Mapping[str, Any]) -> str:
    """Why there is no target of this OutputConfig, in one sentence."""
    platform = output_config.get("TargetPlatform") or {}
    if platform.get("Accelerator") == UNDOCUMENTED_ACCELERATOR:
        return "The NNA accelerator has no public compiler and no documentation, so nothing can be compiled for it."
    cells = (
        [name.removeprefix(f"{platform['Os']}_") for name in targets() if name.startswith(f"{platform['Os']}_")]
        if platform
        else []
    )
    told = f" For {platform['Os']} there are {', '.join(cells)}." if cells else ""
    return f"There is no target {output_config.get('TargetDevice') or platform_name(platform)}.{told}"
