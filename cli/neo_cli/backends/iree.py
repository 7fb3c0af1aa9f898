"""The iree back end: MLIR-compiled modules (.vmfb) for x86-64 and ARM64 CPUs, and CUDA code for NVIDIA GPUs.

`compile` makes CPU code, `accelerate` the GPU part of an artifact whose CPU part another back end makes. IREE's CUDA
target starts at sm_60; older GPUs are refused by name.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from neo_cli.base.errors import OperatorNotImplemented, TargetUnavailable
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target

# The best of the flag sets that were compared on MobileNetV2 and ResNet-50.
CPU_FLAGS = (
    "--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu", "--iree-opt-level=O3",
    "--iree-opt-data-tiling", "--iree-llvmcpu-stack-allocation-limit=262144",
    "--iree-preprocessing-pass-pipeline=builtin.module(util.func(iree-preprocessing-convert-conv-to-channels-last))",
)  # fmt: skip
LLVM_TRIPLES = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
OLDEST_GPU = 60


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """CPU code as compiled.vmfb; raises OperatorNotImplemented with IREE's own first error."""
    if target.arch not in LLVM_TRIPLES or target.os not in ("linux", "android"):
        raise TargetUnavailable(f"iree makes no code for {target.os} on {target.arch}.")
    cpu = str(options.get("mcpu") or target.cpu).replace("_", "-")
    flags = [
        *CPU_FLAGS,
        f"--iree-llvmcpu-target-triple={LLVM_TRIPLES[target.arch]}",
        f"--iree-llvmcpu-target-cpu={cpu}",
    ]
    module = _build(model, work, "compiled.vmfb", flags)
    return Build(
        backend="iree", engine="iree", files={"compiled.vmfb": module}, cpu_features=target.features,
        settings={"module": "compiled.vmfb", "driver": "local-task", "function": _entry(model)},
    )  # fmt: skip


def accelerate(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """CUDA code as accelerated.vmfb, for the GPU the options or the device's record name."""
    gpu = str(options.get("gpu_code") or target.gpu_arch or "")
    number = re.fullmatch(r"sm_(\d+)[a-z]?", gpu)
    if number is None:
        raise TargetUnavailable("iree needs to know the GPU: give gpu-code in CompilerOptions.")
    if int(number.group(1)) < OLDEST_GPU:
        raise TargetUnavailable(f"iree makes CUDA code for sm_{OLDEST_GPU} and newer, not for {gpu}.")
    flags = ["--iree-hal-target-device=cuda", f"--iree-cuda-target={gpu}", "--iree-opt-level=O3"]
    module = _build(model, work, "accelerated.vmfb", flags)
    return Build(
        backend="iree", engine="iree", files={"accelerated.vmfb": module}, notes=(f"CUDA code for {gpu}: compiled, not executed.",),
        settings={"module": "accelerated.vmfb", "driver": "cuda", "function": _entry(model), "gpu": gpu},
    )  # fmt: skip


def _entry(model: Model) -> str:
    """The function iree-import-onnx makes of the graph: its name, made an identifier."""
    return re.sub(r"\W", "_", model.graph.graph.name) or "main_graph"


def _build(model: Model, work: Path, name: str, flags: list[str]) -> Path:
    try:
        import iree.compiler.tools.import_onnx.__main__ as importer
        from iree.compiler.tools.binaries import find_tool
    except ImportError:
        raise TargetUnavailable("the iree back end needs its compiler: pip install 'neo-cli[iree]'.") from None
    onnx.save(_renamed(model), work / "iree.onnx")
    try:
        importer.main(importer.parse_arguments([str(work / "iree.onnx"), "-o", str(work / "iree.mlir")]))
    except Exception as error:  # the importer raises many kinds; all mean that it cannot read this graph
        raise OperatorNotImplemented(
            f"iree cannot import the model: {_first(str(error)) or type(error).__name__}."
        ) from error
    command = [find_tool("iree-compile"), str(work / "iree.mlir"), *flags, "-o", str(work / name)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=work)
    if run.returncode:
        raise OperatorNotImplemented(f"iree cannot compile the model: {_first(run.stderr)}.")
    return work / name


def _renamed(model: Model) -> onnx.ModelProto:
    graph = onnx.ModelProto()
    graph.CopyFrom(model.graph)
    graph.graph.name = _entry(model)
    return graph


def _first(text: str) -> str:
    """The first error line, without the path before it."""
    lines = [line for line in text.splitlines() if "error" in line.lower()] or text.strip().splitlines()
    return re.sub(r"^.*?error:\s*", "", lines[0]).strip().rstrip(".") if lines else ""
