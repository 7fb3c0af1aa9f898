"""Compiled models called from C: the emitted C linked with caller.c, with AddressSanitizer where that is asked for."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from neo_cli.backends.native import build, compiler, emulate, tuning
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.backends.native.emit import Program
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target, targets

HERE = Path(__file__).parent
HEADERS = Path(compiler.__file__).with_name("kernels")
# zig's clang instruments; the runtimes of both sanitizers are GCC's, which speak the same protocol (version 8 of it).
# What is left out takes most of the compiler's time, and AddressSanitizer sees where such a pointer is used.
# `-fno-sanitize=all` must go: zig drops a later `-fsanitize=undefined` without a word.
SANITIZERS = (
    "-fsanitize=undefined", "-fno-sanitize=function,pointer-overflow,object-size", "-fno-sanitize-recover=all", "-fno-sanitize-trap=all",
    "-Xclang", "-fsanitize=address", "-mllvm", "-asan-instrumentation-with-call-threshold=0", "-g", "-O1",
)  # fmt: skip
RUNTIMES = "-fsanitize=address,undefined"
Arrays = dict[str, np.ndarray]


@functools.cache
def can_sanitise() -> bool:
    """Whether a GCC with both runtimes is here."""
    tool = shutil.which("gcc")
    if tool is None:
        return False
    line = [tool, RUNTIMES, "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(line, input=b"int main(void) { return 0; }", capture_output=True).returncode == 0


def lowered(model: Model, target: str, work: Path, **options: object) -> tuple[Program, Target]:
    """The model as C for a target (and CompilerOptions, mcpu among them), its weights in compiled.params."""
    record = tuning.levels(targets()[target], options)[0]
    program = compiler.lower(model, cpu_of(record), record, options, compiler.Stages(work))
    program.weights.write(work / compiler.PARAMS)
    return program, record


def linked(program: Program, target: Target, work: Path, sanitise: bool = False) -> Path:
    """A program of this machine that calls the model."""
    (work / "model.c").write_text(program.text)
    left_out = ("-O3", "-g0", "-s", "-fno-sanitize=all") if sanitise else ()
    flags = [f for f in build.flags(target, cpu_of(target)) if f not in left_out and not f.startswith("-Wl,")]
    extra = SANITIZERS if sanitise else ()
    line = [sys.executable, "-m", "ziglang", "cc", *flags, *extra, "-fPIC", "-c", "model.c", "-o", "model.o"]
    subprocess.run(line, cwd=work, check=True)
    line = ["gcc", "-std=gnu11", "-O1", "-pthread", f"-I{HEADERS}", *([RUNTIMES] if sanitise else [])]
    subprocess.run([*line, str(HERE / "caller.c"), "model.o", "-o", "caller"], cwd=work, check=True)
    return work / "caller"


def call(
    binary: Path, program: Program, feeds: Sequence[Mapping[str, np.ndarray]], threads: int = 1, how: str = "run"
) -> tuple[list[Arrays], int]:
    """Outputs for each of `feeds`, all run at the same time, and the peak of the process's memory in bytes."""
    graph = program.graph
    given = b"".join(np.ascontiguousarray(feed[v.name]).tobytes() for feed in feeds for v in graph.inputs)
    line = [str(binary), str(binary.parent / compiler.PARAMS), str(threads), str(len(feeds)), how]
    # The process ends at once: what it did not free is no concern of the library, which allocates nothing.
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(line, input=given, capture_output=True, env=environment)
    said = done.stderr.decode("utf-8", "replace")
    assert done.returncode == 0, f"code {done.returncode}: {said[:3000]}"
    found, at = [], 0
    for _ in feeds:
        arrays = {}
        for v in graph.outputs:
            arrays[v.name] = np.frombuffer(done.stdout, v.dtype, v.size, at).reshape(v.shape)
            at += arrays[v.name].nbytes
        found.append(arrays)
    return found, int(said.split()[-1]) << 10


def threaded(program: Program, target: Target, work: Path, threads: int) -> emulate.Run:
    """The model run by several threads under qemu-user, or here: by the caller's threads and by a team (threads.c)."""
    target = emulate.as_linux(target)
    text = emulate.source(replace(program, plan=replace(program.plan, private=program.plan.private * threads)))
    text = text.replace("void _start(void)", "void unused(void)")
    text = "\n".join([text, f"enum {{ THREADS = {threads} }};", (HERE / "threads.c").read_text()])
    binary = build.program(text, target, cpu_of(target), work)
    command = emulate.emulator(target) if target.arch != "x86_64" else None
    params = work / compiler.PARAMS
    return lambda feed: emulate.emulate([command] if command else [], binary, program, params, feed)
