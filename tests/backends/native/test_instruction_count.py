"""The counter of tests/bench/native_instructions.py counts a loop of known length exactly."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.native_instructions import Counter

EMULATOR = shutil.which("qemu-aarch64")
LOOP = """
void _start(void) {{
    __asm__ volatile("mov x1, %0\\n1: fmla v0.4s, v1.4s, v2.4s\\n\\tsubs x1, x1, #1\\n\\tb.ne 1b" : : "r"({turns}ul) : "x1", "cc");
    __asm__ volatile("mov x8, #94\\n\\tmov x0, #0\\n\\tsvc 0");
}}
"""


def release() -> int:
    if EMULATOR is None:
        return 0
    told = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", told)
    return int(found[1]) if found else 0


@pytest.mark.emulation
@pytest.mark.skipif(not 4 < release() < 9, reason="plugins of this form need qemu-user 5 to 8")
def test_a_loop_of_three_instructions_is_counted_exactly(tmp_path: Path):
    assert EMULATOR is not None
    counter, counts = Counter(EMULATOR, "neoverse_n1", tmp_path), []
    for turns in (1000, 51000):
        source, made = tmp_path / f"loop{turns}.c", tmp_path / f"loop{turns}"
        source.write_text(LOOP.format(turns=turns))
        line = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-target",
            "aarch64-linux-gnu",
            "-mcpu=neoverse_n1",
            "-O1",
            "-g0",
        ]
        flags = ["-ffreestanding", "-nostdlib", "-static", "-fno-sanitize=all", "-o", str(made), str(source)]
        subprocess.run([*line, *flags], check=True, capture_output=True)
        counts.append(counter.count(str(made)))
    assert 0 < counts[0] < 3100
    assert counts[1] - counts[0] in range(3 * 50000 - 4, 3 * 50000 + 5)  # a number of 17 bits may take two instructions
    with pytest.raises(RuntimeError, match="ended with code"):
        counter.count(str(tmp_path / "absent"))
