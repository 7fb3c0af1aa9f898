"""ONNX Runtime: the model optimised ahead of time, as one ONNX file that its session loads quickly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neo_cli.base.errors import CompileError, OperatorNotImplemented
from neo_cli.model import proto
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.runtime import cpu
from neo_cli.targets.devices import Target

NAME = "onnxruntime"
FILE = "compiled.onnx"
LARGE = 1 << 30
# The features by which ONNX Runtime chooses its blocked layouts; the last level writes this CPU's choice into the file.
LAYOUT_FEATURES = frozenset(
    {"avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "amx_tile", "avx512_bf16"}
)


def compile(model: Model, target: Target, options: Mapping[str, Any], work: Path) -> Build:
    """An offline-optimised model; OperatorNotImplemented where ONNX Runtime has no kernel for a node."""
    import onnxruntime

    source = proto.save(model.graph, work / "model.onnx")
    same_cpu = cpu.machine() == (target.os, target.arch) and (cpu.features() or frozenset()) & LAYOUT_FEATURES == set(
        target.features
    )
    levels = onnxruntime.GraphOptimizationLevel
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = levels.ORT_ENABLE_ALL if same_cpu else levels.ORT_ENABLE_EXTENDED
    settings.optimized_model_filepath = str(work / FILE)
    settings.log_severity_level = 4
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.disable_prepacking", "1")
    if len(source) > 1:
        settings.add_session_config_entry("session.optimized_model_external_initializers_file_name", FILE + ".data")
        settings.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "4096")
    try:
        onnxruntime.InferenceSession(str(source[0]), settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common parent of their own
        raise _refusal(error) from error
    files = {path.name: path for path in (work / FILE, work / (FILE + ".data")) if path.is_file()}
    return Build(
        backend=NAME,
        engine="onnxruntime",
        files=files,
        settings={"file": FILE, "final": True} if same_cpu else {"file": FILE},
        cpu_features=target.features if same_cpu else (),
        notes=(
            f"ONNX Runtime {onnxruntime.__version__}, {'all' if same_cpu else 'extended'} optimisations ahead of time",
        ),
    )


def _refusal(error: Exception) -> CompileError:
    text = " ".join(str(error).split())[:400]
    kind = OperatorNotImplemented if "NOT_IMPLEMENTED" in text or "not a registered function" in text else CompileError
    return kind(f"The back end {NAME} cannot compile the model: {text}")
