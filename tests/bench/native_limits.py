"""This machine's limits with the code that a target may use: multiply-adds a second, bytes read a second by working set.

python tests/bench/native_limits.py [--target ml_c5]
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neo_cli.backends.native import build
from neo_cli.backends.native.cpus import Cpu, cpu_of
from neo_cli.targets.devices import Target, targets

SOURCE = Path(__file__).with_suffix(".c")
SETS = (16 << 10, 128 << 10, 512 << 10, 2 << 20, 8 << 20, 24 << 20, 128 << 20)  # bytes


@dataclass
class Limits:
    """The best that was measured: `macs` a second in registers, bytes a second of `reads` by size of the set read."""

    macs: float
    reads: dict[int, float]
    ticks: float  # of the time stamp counter, a second

    def read(self, size: float) -> float:
        """Bytes a second while a set of `size` bytes is gone through again and again."""
        return self.reads[next((s for s in SETS if size <= s), SETS[-1])]

    def better(self, other: Limits) -> Limits:
        """What either has reached: another program may have had the machine meanwhile."""
        reads = {size: max(rate, other.reads[size]) for size, rate in self.reads.items()}
        return Limits(max(self.macs, other.macs), reads, self.ticks)


class Meter:
    """The measuring library, built with the compiler and the flags of the models' own libraries."""

    def __init__(self, target: Target, cpu: Cpu, work: Path) -> None:
        work.mkdir(exist_ok=True)
        self.lanes = cpu.lanes
        text = f"#define VL {cpu.lanes}\n" + SOURCE.read_text(encoding="utf-8")
        self.library = ctypes.CDLL(str(build.library(text, target, cpu, work)))
        self.library.limits_ticks.restype = ctypes.c_uint64
        self.library.limits_fma.argtypes = [ctypes.c_int64, ctypes.c_void_p]
        self.library.limits_read.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
        self.library.limits_fma.restype = self.library.limits_read.restype = None
        raw = np.ones(SETS[-1] // 4 + 16, np.float32)  # written, else all of it would be one page of zeros
        start = -raw.ctypes.data // 4 % 16
        self.data = raw[start : start + SETS[-1] // 4]  # from a cache line's beginning on
        self.out = np.full(2 * cpu.lanes, 0.5, np.float32)

    def measure(self, tries: int = 7) -> Limits:
        """The shortest of several tries of a few milliseconds each."""
        rounds, sums = 200_000, 24 if self.lanes == 16 else 12
        fma = self._best(lambda: self.library.limits_fma(rounds, self.out.ctypes.data), tries)
        reads = {}
        for size in SETS:
            again = max(1, (32 << 20) // size)
            read = functools.partial(
                self.library.limits_read, self.data.ctypes.data, size // 4, again, self.out.ctypes.data
            )
            reads[size] = size * again / self._best(read, tries)
        start, first = time.perf_counter(), self.library.limits_ticks()
        time.sleep(0.05)
        ticks = (self.library.limits_ticks() - first) / (time.perf_counter() - start)
        return Limits(rounds * sums * self.lanes / fma, reads, ticks)

    def _best(self, call: Callable[[], object], tries: int) -> float:
        found = []
        for _ in range(tries):
            self.out[:] = 0.5
            start = time.perf_counter()
            call()
            found.append(time.perf_counter() - start)
        return min(found)


def machine() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    family = {line.split(":", 1)[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    told = f" (family {family['cpu family']}, model {family['model']})" if "cpu family" in family else ""
    return f"{names[0] if names else platform.processor() or platform.machine()}{told}, {len(names) or 1} cores"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", default="ml_c5")
    asked = parser.parse_args()
    target = targets()[asked.target]
    with tempfile.TemporaryDirectory() as folder:
        found = Meter(target, cpu_of(target), Path(folder)).measure()
    print(f"{machine()}: {2 * found.macs / 1e9:.0f} GFLOP/s in registers")
    for size, rate in found.reads.items():
        print(f"{size >> 10:8} kB read with {rate / 1e9:6.1f} GB/s")


if __name__ == "__main__":
    main()
