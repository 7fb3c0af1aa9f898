"""The ncnn back end: a small network description with weights, run on CPUs and, through Vulkan, on GPUs.

pnnx translates the ONNX graph. ncnn has no batch dimension and few integer operators, so a batch other than one, and
graphs whose translation holds an operator ncnn lacks, are refused.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from neo_cli.base.errors import OperatorNotImplemented, TargetUnavailable
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.targets.devices import Target

SECONDS = 300  # for a translation, and for a run of it


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """compiled.param and compiled.bin for ncnn's CPU code."""
    return _build(model, work, "compiled", vulkan=False)


def accelerate(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """accelerated.param and accelerated.bin for ncnn's Vulkan code, the GPU part of an artifact."""
    return _build(model, work, "accelerated", vulkan=True)


def _build(model: Model, work: Path, stem: str, *, vulkan: bool) -> Build:
    classic = sorted({n.op_type for n in model.graph.graph.node if n.domain == "ai.onnx.ml"})
    if classic:
        raise OperatorNotImplemented(f"ncnn has no layer for: {', '.join(classic)}.")
    if any(not t.shape or t.shape[0] != 1 for t in (*model.inputs, *model.outputs)):
        raise OperatorNotImplemented("ncnn runs one sample at a time: every input and output must have a batch of 1.")
    if any(not t.dtype.startswith(("float", "int")) for t in (*model.inputs, *model.outputs)):
        raise OperatorNotImplemented("ncnn takes and gives float and integer tensors only.")
    files = {f"{stem}.{kind}": path for kind, path in _translate(model, work, stem).items()}
    settings = {"param": f"{stem}.param", "bin": f"{stem}.bin", "vulkan": vulkan}
    record = {
        "settings": settings,
        "inputs": [t.record() for t in model.inputs],
        "outputs": [t.record() for t in model.outputs],
    }
    device = "Vulkan" if vulkan else "CPU"

    def emulate(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return _run_apart(work, record, inputs)

    here = not vulkan or _devices() > 0
    return Build(
        backend="ncnn",
        engine="ncnn",
        files=files,
        settings=settings,
        notes=() if here else ("Vulkan code: translated, not executed, because this machine has no Vulkan device.",),
        emulate=emulate if here else None,
        emulator=f"ncnn on this machine's {device}" if here else "",
    )


@functools.cache
def _devices() -> int:
    """Vulkan devices, counted in a process of its own: a driver that dies must not end the job."""
    run = subprocess.run(
        [sys.executable, "-c", "import ncnn; print(ncnn.get_gpu_count())"], capture_output=True, text=True
    )
    words = run.stdout.split()
    return int(words[-1]) if run.returncode == 0 and words and words[-1].isdigit() else 0


def _translate(model: Model, work: Path, stem: str) -> dict[str, Path]:
    """Run pnnx; returns the .param and .bin files. fp16=0 keeps the weights float32."""
    try:
        import ncnn  # noqa: F401  the check needs it
        import pnnx  # noqa: F401  its package holds the translator
    except ImportError:
        raise TargetUnavailable("the ncnn back end needs ncnn and pnnx: pip install 'neo-cli[ncnn]'.") from None
    onnx.save(model.graph, work / "ncnn.onnx")
    code = "import sys; from pnnx import pnnx; sys.exit(pnnx())"
    command = [sys.executable, "-c", code, "ncnn.onnx", "fp16=0", f"ncnnparam={stem}.param", f"ncnnbin={stem}.bin"]
    run = _run(command, work, "translate the model")
    param, binary = work / f"{stem}.param", work / f"{stem}.bin"
    if run.returncode or not param.is_file() or not binary.is_file():
        raise OperatorNotImplemented(f"ncnn: pnnx cannot translate the model: {_last(run.stderr or run.stdout)}.")
    foreign = sorted(
        {
            line.split()[0]
            for line in param.read_text(encoding="utf-8").splitlines()[2:]
            if "." in line.split()[0] or "_" in line.split()[0]
        }
    )
    if foreign:
        raise OperatorNotImplemented(f"ncnn has no layer for: {', '.join(foreign)}.")
    return {"param": param, "bin": binary}


def _run_apart(work: Path, record: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Run the network in a process of its own: a fault inside the GPU driver must not end the job."""
    (work / "ncnn.json").write_text(json.dumps(record), encoding="utf-8")
    np.savez(work / "ncnn_in.npz", **{f"a{i}": v for i, v in enumerate(inputs.values())})
    code = (
        "import json,sys,pathlib,numpy as np\nfrom neo_cli.runtime.engines.ncnn import Engine\nw=pathlib.Path(sys.argv[1])\n"
        "r=json.loads((w/'ncnn.json').read_text());d=np.load(w/'ncnn_in.npz',allow_pickle=False)\n"
        "o=Engine(w,r,1).run({n:d[f'a{i}'] for i,n in enumerate(json.loads(sys.argv[2]))})\n"
        "np.savez(w/'ncnn_out.npz',**{f'a{i}':v for i,v in enumerate(o.values())})\n"
    )
    run = _run([sys.executable, "-c", code, str(work), json.dumps(list(inputs))], work, "run its translation")
    if run.returncode:
        raise OperatorNotImplemented(f"ncnn cannot run its own translation of the model: {_last(run.stderr)}.")
    with np.load(work / "ncnn_out.npz", allow_pickle=False) as found:
        return {t["name"]: found[f"a{i}"] for i, t in enumerate(record["outputs"])}


def _run(command: list[str], work: Path, what: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise OperatorNotImplemented(f"ncnn: it takes more than {SECONDS} s to {what}.") from None


def _last(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it ended without a word"
