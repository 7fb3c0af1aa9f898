"""Headers of libraries against the target: zig's own output for every family, and every way to differ."""

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import InternalError
from neo_cli.packaging import headers
from neo_cli.targets.devices import Target, targets

FAMILIES = {(t.triple, t.arch): t for t in targets().values() if t.arch not in ("none",) and t.os != "ios"}


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A library of one function for every triple."""
    folder, made = tmp_path_factory.mktemp("headers"), {}
    (folder / "f.c").write_text("float f(float a) { return a + a; }\n")
    for key, target in FAMILIES.items():
        made[key] = folder / f"{target.triple}.lib"
        extra = ["-Wl,--no-entry"] if target.os == "windows" else ["-fPIC"]
        command = ["-m", "ziglang", "cc", "-target", target.triple, f"-mcpu={target.cpu}", "-shared", "-nostdlib"]
        line = [sys.executable, *command, "-ffreestanding", *extra, "-o", str(made[key]), "f.c"]
        subprocess.run(line, cwd=folder, check=True, capture_output=True)
    return made


def test_each_triple_fits_its_own_targets_and_no_other_processor(libraries: dict[tuple[str, str], Path]) -> None:
    for key, target in FAMILIES.items():
        headers.check([libraries[key]], target)
        for other in FAMILIES.values():
            same_system = {target.os, other.os} <= {"linux", "android"} or target.os == other.os
            if not (same_system and target.arch == other.arch):
                with pytest.raises(InternalError, match=f"was not built for {other.name}: "):
                    headers.check([libraries[key]], other)


def test_other_files_are_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "compiled.params").write_bytes(b"weights")
    (tmp_path / "empty").write_bytes(b"")
    headers.check(tmp_path.iterdir(), targets()["rasp3b"])
    (tmp_path / "vendor.so").write_bytes(elf())
    headers.check(tmp_path.iterdir(), targets()["jacinto_tda4vm"])


def elf(bits: int = 1, machine: int = 40, kind: int = 3, flags: int = 0x5000400) -> bytes:
    head = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HHIIIII", kind, machine, 1, 0, 0, 0, flags)
    return head + bytes(32)


@pytest.mark.parametrize(
    "head, words",
    [
        (elf(bits=2), "ELF class 2"),
        (elf(machine=62), "machine 62 instead of 1, 1, 40"),
        (elf(kind=2), "no shared object"),
        (elf(flags=0x5000200), "its ARM flags are 0x5000200 instead of 0x5000400"),
        (elf(flags=0x5000600), "its ARM flags"),
        (elf()[:20], "cut off"),
        (b"MZ" + bytes(100), "PE file, and linux has none"),
    ],
)
def test_a_difference_is_told(head: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "compiled.so").write_bytes(elf())
    headers.check([tmp_path / "compiled.so"], targets()["rasp3b"])
    (tmp_path / "compiled.so").write_bytes(head)
    with pytest.raises(InternalError, match=words):
        headers.check([tmp_path / "compiled.so"], targets()["rasp3b"])


@given(st.sampled_from([b"\x7fELF", b"MZ"]), st.binary(max_size=200), st.sampled_from(list(FAMILIES.values())))
def test_damaged_headers_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, magic: bytes, rest: bytes, target: Target) -> None:  # fmt: skip
    file = tmp_path_factory.getbasetemp() / "damaged.so"
    file.write_bytes(magic + rest)
    with pytest.raises(InternalError):
        headers.check([file], replace(target, name="damaged"))
