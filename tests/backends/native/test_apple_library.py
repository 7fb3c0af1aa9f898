"""The C as a macOS library: its Mach-O headers, exports and undefined symbols. Compiled, not executed."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path

import pytest

from backends.graphs import as_model
from models.builders import BUILDERS
from neo_cli.backends.native import build, compiler
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.targets.devices import targets

HEADER = Path(compiler.__file__).with_name("kernels") / "compiled.h"
# Of Apple's loader.h and nlist.h.
MAGIC, ARM64, DYLIB, MACOS = 0xFEEDFACF, 0x100000C, 6, 1
SYMTAB, BUILD_VERSION = 0x2, 0x32
EXTERNAL, KIND, UNDEFINED, STAB = 0x01, 0x0E, 0x00, 0xE0


@dataclass(frozen=True)
class Dylib:
    processor: int
    kind: int
    platform: int
    oldest: tuple[int, int]  # of the system
    exports: frozenset[str]
    undefined: frozenset[str]


def read(data: bytes) -> Dylib:
    magic, processor, _, kind, commands = struct.unpack_from("<5I", data)
    assert magic == MAGIC
    at, platform, oldest, exports, undefined = 32, 0, 0, set(), set()
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", data, at)
        if command == BUILD_VERSION:
            platform, oldest = struct.unpack_from("<2I", data, at + 8)
        if command == SYMTAB:
            first, count, strings, _ = struct.unpack_from("<4I", data, at + 8)
            for entry in range(first, first + 16 * count, 16):
                name, flags = struct.unpack_from("<IB", data, entry)
                text = data[strings + name : data.index(b"\0", strings + name)].decode().removeprefix("_")
                if flags & EXTERNAL and not flags & STAB:
                    (undefined if flags & KIND == UNDEFINED else exports).add(text)
        at += size
    return Dylib(
        processor, kind, platform, (oldest >> 16, oldest >> 8 & 0xFF), frozenset(exports), frozenset(undefined)
    )


@pytest.mark.parametrize("name", ["mobilenetv2", "bert"])
def test_a_macos_library_exports_the_interface_and_wants_nothing(tmp_path: Path, name: str):
    target = next(t for t in targets().values() if t.triple == "aarch64-macos")
    target = changed(target, triple="aarch64-macos.13.0")
    program = compiler.lower(
        as_model(BUILDERS[name](True), tmp_path), cpu_of(target), target, {}, compiler.Stages(tmp_path)
    )
    found = read(build.library(program.text, target, cpu_of(target), tmp_path).read_bytes())
    assert (found.processor, found.kind, found.platform, found.oldest) == (ARM64, DYLIB, MACOS, (13, 0))
    declared = set(re.findall(r"^NEO_API .*?\b(neo_\w+)\(", HEADER.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(declared) > 15 and declared <= found.exports
    assert found.undefined <= {"dyld_stub_binder"}  # the loader's own
