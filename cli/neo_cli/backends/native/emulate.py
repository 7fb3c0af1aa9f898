"""Runs what was compiled for another machine: the same C with a small program around it, under qemu-user."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from neo_cli.backends.native import build
from neo_cli.backends.native.cpus import Cpu
from neo_cli.backends.native.emit import Program, kernels
from neo_cli.backends.native.ir import Value
from neo_cli.base.errors import CompileError, TargetUnavailable
from neo_cli.targets.devices import Target

EMULATORS = {
    "arm64": "qemu-aarch64",
    "armhf": "qemu-arm",
    "armel": "qemu-arm",
    "x86": "qemu-i386",
    "x86_64": "qemu-x86_64",
}
# Systems whose programs do not run under qemu-user: their code is checked as Linux code of the same processor.
_LINUX = {"arm64": "aarch64-linux-gnu", "x86": "x86-linux-gnu", "x86_64": "x86_64-linux-gnu"}
SECONDS = 1800
Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


def emulator(target: Target) -> str | None:
    """The path of the emulator for a target; None when it is not installed here, or lacks the target's instructions."""
    if any(feature.startswith(("avx512", "amx")) for feature in target.features):
        return None  # qemu-user has neither
    name = EMULATORS.get(target.arch, "")
    return shutil.which(name) or shutil.which(f"{name}-static") if name else None


def told(target: Target) -> str:
    """What the report calls this check."""
    name = EMULATORS[target.arch]
    return name if target.os in ("linux", "android") else f"{name}, the same C as Linux code"


def as_linux(target: Target) -> Target:
    """The target, or Linux on its processor where its system's programs do not start here."""
    if target.os in ("linux", "android"):
        return target
    return replace(target, os="linux", triple=_LINUX[target.arch])


def runner(program: Program, target: Target, cpu: Cpu, params: Path, work: Path) -> Run | None:
    """A function from inputs to outputs; None without an emulator. The program is built at the first call."""
    found = emulator(target)
    if found is None:
        return None
    target = as_linux(target)
    made: list[Path] = []

    def run(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if not made:
            made.append(build.program(source(program), target, cpu, work))
        rows = _rows(program, inputs)
        parts = [emulate([found], made[0], program, params, row) for row in rows]
        return {
            name: np.concatenate([part[name] for part in parts]) if len(rows) > 1 else parts[0][name]
            for name in parts[0]
        }

    return run


def source(program: Program) -> str:
    """The library's text with a program around it."""
    graph = program.graph
    sizes = {
        "WEIGHTS": program.weights.size,
        "INPUTS": sum(_up(v) for v in graph.inputs),
        "OUTPUTS": sum(_up(v) for v in graph.outputs),
        "SCRATCH": program.scratch(1),
    }
    return "\n".join([program.text, *(f"#define RUNNER_{k} {v}u" for k, v in sizes.items()), *kernels(("runner.c",))])


def emulate(
    command: list[str], binary: Path, program: Program, params: Path, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """One run of a built program; TargetUnavailable when it does not start, CompileError when it fails."""
    feed = b"".join(_padded(np.ascontiguousarray(inputs[v.name])) for v in program.graph.inputs)
    line = ["sh", "-c", 'exec 3<"$0"; exec "$@"', str(params), *command, str(binary)]
    try:
        done = subprocess.run(line, input=feed, capture_output=True, timeout=SECONDS, check=False)
    except OSError as error:
        raise TargetUnavailable(f"{command[0] if command else binary} does not start: {error}.") from error
    except subprocess.TimeoutExpired as error:
        raise CompileError(f"The compiled model ran longer than {SECONDS} s under {command[0]}.") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
        raise CompileError(f"The compiled model ended with code {done.returncode} under emulation: {said[0][:300]}")
    found, at = {}, 0
    for value in program.graph.outputs:
        count = value.size * value.itemsize
        found[value.name] = np.frombuffer(done.stdout, value.dtype, value.size, at).reshape(value.shape) if count else (
            np.zeros(value.shape, value.dtype)
        )  # fmt: skip
        at += _up(value)
    return found


def _rows(program: Program, inputs: Mapping[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
    """The inputs, or each of their rows where a free batch was given more than the one it was compiled for."""
    wanted = {v.name: v.shape for v in program.graph.inputs}
    if all(inputs[name].shape == shape for name, shape in wanted.items()):
        return [{name: inputs[name] for name in wanted}]
    count = {inputs[name].shape[0] for name in wanted}.pop()
    return [{name: inputs[name][row : row + 1] for name in wanted} for row in range(count)]


def _up(value: Value) -> int:
    return -(-value.size * value.itemsize // 64) * 64


def _padded(array: np.ndarray) -> bytes:
    return array.tobytes().ljust(-(-array.nbytes // 64) * 64, b"\0")
