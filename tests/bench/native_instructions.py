"""Instructions that one inference executes on aarch64, of native's build and of IREE's, counted under qemu-user.

    python tests/bench/native_instructions.py [--target ml_m6g] [--no-iree] NAME...

Both run with one thread on the same emulated processor, under the same counter (instruction_count.c, a plugin of
qemu-user); the count of one run is the difference between several runs and one, so that loading does not count. IREE's
module runs in IREE's own program iree-benchmark-module, of its aarch64 wheel, which pip downloads; it needs an aarch64
libc: apt-get install libc6-arm64-cross libstdc++6-arm64-cross. NAME is one of tests/models/builders.py, or an ONNX file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends import iree
from neo_cli.backends.native import build, compiler, emulate
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.base.errors import NeoError
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target, targets

PLUGIN = Path(__file__).with_name("instruction_count.c")
LIBC = Path("/usr/aarch64-linux-gnu")
RUNS = (1, 3)  # the difference of both is counted
WHEEL = ["--platform=manylinux_2_28_aarch64", "--python-version=3.11", "--only-binary=:all:", "--no-deps"]


class Counter:
    """Runs programs under qemu-user and tells how many instructions they executed."""

    def __init__(self, emulator: str, processor: str, work: Path) -> None:
        self.library, self.out, self.work = work / "count.so", work / "count.txt", work
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-target",
            "x86_64-linux-gnu",
            "-O2",
            "-fPIC",
            "-shared",
            "-s",
        ]
        subprocess.run([*command, "-o", str(self.library), str(PLUGIN), "-Wl,-z,undefs"], check=True, cwd=work)
        self.command = [emulator, "-cpu", processor.replace("_", "-"), "-plugin", f"{self.library},to={self.out}"]

    def count(self, *command: str) -> int:
        """RuntimeError with what the program said when it fails."""
        self.out.unlink(missing_ok=True)
        done = subprocess.run([*self.command, *command], capture_output=True, text=True, check=False, cwd=self.work)
        if done.returncode or not self.out.is_file():
            raise RuntimeError(f"{command[0]} ended with code {done.returncode}: {(done.stderr or done.stdout)[-500:]}")
        return int(self.out.read_text())


def native(model: Model, target: Target, counter: Counter, work: Path) -> tuple[int, float]:
    """Instructions of one run, and the error of its outputs."""
    cpu = cpu_of(target)
    program = compiler.lower(model, cpu, target, {}, compiler.Stages(work))
    params = work / "compiled.params"
    program.weights.write(params)
    feed, counts = feeds(model), []
    for runs in RUNS:
        text = f"#define RUNNER_RUNS {runs}\n" + emulate.source(program)
        binary = build.program(text, target, cpu, work)
        counter.out.unlink(missing_ok=True)
        found = emulate.emulate(counter.command, binary, program, params, feed)
        counts.append(int(counter.out.read_text()))
    return (counts[1] - counts[0]) // (RUNS[1] - RUNS[0]), error(found, model.oracle(feed))


def iree_program(work: Path) -> Path:
    """iree-benchmark-module for aarch64, of the wheel that fits the compiler."""
    release = version("iree-base-compiler")
    command = [sys.executable, "-m", "pip", "download", "-q", *WHEEL, "-d", str(work), f"iree-base-runtime=={release}"]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(work.glob("iree_base_runtime-*.whl"))) as wheel:
        wheel.extractall(work)
    found = work / "iree" / "_runtime_libs" / "iree-benchmark-module"
    found.chmod(0o755)
    return found


def compiled_by_iree(model: Model, target: Target, counter: Counter, program: Path, work: Path) -> int:
    """Instructions of one run of IREE's module on its synchronous device, which has no threads of its own."""
    settings = iree.compile(model, target, {}, work).settings
    files = []
    for index, tensor in enumerate(model.inputs):
        files.append(work / f"input{index}.npy")
        np.save(files[-1], feeds(model)[tensor.name])
    command = [
        "-L", str(LIBC), str(program), "--device=local-sync", f"--module={work / settings['module']}",
        f"--function={settings['function']}", *(f"--input=@{file}" for file in files),
    ]  # fmt: skip
    counts = [counter.count(*command, f"--benchmark_min_time={runs}x") for runs in RUNS]
    return (counts[1] - counts[0]) // (RUNS[1] - RUNS[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--target", default="ml_m6g")
    parser.add_argument("--no-iree", action="store_true")
    asked = parser.parse_args()
    target = targets()[asked.target]
    emulator = emulate.emulator(target)
    if target.arch != "arm64" or emulator is None:
        raise SystemExit("This counts on aarch64, with qemu-aarch64 of the package qemu-user.")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        counter = Counter(emulator, target.cpu, work)
        program = None if asked.no_iree else iree_program(work)
        for name in asked.names:
            model = as_model(BUILDERS[name](False) if name in BUILDERS else onnx.load(name), work)
            mine, off = native(model, target, counter, work)
            line = f"{name} on {target.cpu}: native {mine / 1e6:.1f} million instructions (error {off:.1e})"
            if program is not None:
                try:
                    other = compiled_by_iree(model, target, counter, program, work)
                    line += (
                        f", IREE {version('iree-base-compiler')} {other / 1e6:.1f} million, ratio {mine / other:.3f}"
                    )
                except (NeoError, RuntimeError) as fault:
                    line += f"; IREE: {fault}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
