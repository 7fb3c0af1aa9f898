"""The machine a library was built for, read from its own header, is the target's; anything else fails the job."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from neo_cli.base.errors import InternalError
from neo_cli.targets.devices import Target

# target.arch -> (ELF class, ELF machine, PE machine)
_MACHINES: dict[str, tuple[int, int, int]] = {
    "x86_64": (2, 62, 0x8664),
    "x86": (1, 3, 0x14C),
    "arm64": (2, 183, 0xAA64),
    "armhf": (1, 40, 0x1C4),
    "armel": (1, 40, 0x1C4),
}
_SHARED, _DLL = 3, 0x2000  # e_type of a shared object; the DLL bit of a PE file
# Of e_flags on ARM: EABI version 5, and how floats are passed (Arm's ELF specification, "ELF header").
_EABI, _FLOATS = 0x0500_0000, {"armhf": 0x400, "armel": 0x200}


def check(files: Iterable[Path], target: Target) -> None:
    """Compare every ELF and PE library among `files` with the target; InternalError says how one differs.

    A target without a triple is a vendor compiler's own, and so is what it makes.
    """
    for file in files if target.triple else ():
        with file.open("rb") as stream:
            head = stream.read(4096)
        if head.startswith(b"\x7fELF"):
            fault = _elf(head, target)
        elif head.startswith(b"MZ"):
            fault = _pe(head, target)
        else:
            continue
        if fault:
            raise InternalError(f"The library {file.name} was not built for {target.name}: {fault}.")


def _elf(head: bytes, target: Target) -> str | None:
    if len(head) < 52:
        return "its ELF header is cut off"
    bits, order = head[4], head[5]
    kind, machine = struct.unpack_from("<HH", head, 16)
    if target.os not in ("linux", "android"):
        return f"it is an ELF file, and {target.os} has none"
    wanted = _MACHINES[target.arch]
    if (bits, order, machine) != (wanted[0], 1, wanted[1]):
        return f"ELF class {bits}, byte order {order}, machine {machine} instead of {wanted[0]}, 1, {wanted[1]}"
    if kind != _SHARED:
        return f"it is no shared object (ELF type {kind})"
    if target.arch in _FLOATS:
        flags = struct.unpack_from("<I", head, 36)[0]
        if flags & 0xFF00_0000 != _EABI or flags & 0x600 != _FLOATS[target.arch]:
            return f"its ARM flags are {flags:#x} instead of {_EABI | _FLOATS[target.arch]:#x}"
    return None


def _pe(head: bytes, target: Target) -> str | None:
    if target.os != "windows":
        return f"it is a PE file, and {target.os} has none"
    start = struct.unpack_from("<I", head, 60)[0] if len(head) >= 64 else len(head)
    if start + 24 > len(head) or head[start : start + 4] != b"PE\0\0":
        return "its PE header is cut off"
    machine, flags = struct.unpack_from("<H", head, start + 4)[0], struct.unpack_from("<H", head, start + 22)[0]
    if machine != _MACHINES[target.arch][2]:
        return f"PE machine {machine:#x} instead of {_MACHINES[target.arch][2]:#x}"
    return None if flags & _DLL else "it is no DLL"
