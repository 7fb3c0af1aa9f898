"""What workshop tests share: archives, requests, one job in this process."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from neo_cli.frontends.onnx import load
from neo_cli.model.inputs import parse
from neo_cli.model.model import Model, Source
from neo_cli.pipeline import Result, compile_job
from neo_cli.targets.devices import Target, targets


def archive(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar.gz of these files."""
    source = path.parent / f"{path.name}.files"
    source.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, data in members.items():
            place = source / name.replace("/", "_")
            place.write_bytes(data)
            tar.add(place, name)
    return path


def request(
    target: str = "LINUX_X86_64", config: str | None = None, options: str | None = None, framework: str = "ONNX"
) -> dict[str, Any]:
    """A CreateCompilationJob request as the store keeps it."""
    output: dict[str, Any] = {"S3OutputLocation": "file:///out"}
    if target.isupper():
        output["TargetPlatform"] = dict(zip(("Os", "Arch"), target.split("_", 1)))
    else:
        output["TargetDevice"] = target
    if options:
        output["CompilerOptions"] = options
    inputs = {"S3Uri": "file:///in/model.tar.gz", "Framework": framework}
    return {"InputConfig": inputs | ({"DataInputConfig": config} if config else {}), "OutputConfig": output}


def compile_here(
    model: bytes | onnx.ModelProto, folder: Path, *, extra: Mapping[str, bytes] | None = None, environ: Mapping[str, str] | None = None,
    log: list[str] | None = None, **asked: str,
) -> Result:  # fmt: skip
    """One job on this model; `folder` takes everything it writes."""
    folder.mkdir(parents=True, exist_ok=True)
    data = model if isinstance(model, bytes) else model.SerializeToString()
    packed = archive(folder / "net.tar.gz", {"net.onnx": data, **(extra or {})})
    lines: list[str] = [] if log is None else log
    return compile_job(
        request(**asked),
        packed,
        folder / "work",
        lines.append,
        environ={"NEO_HOME": str(folder / "home"), **(environ or {})},
    )


def loaded(model: onnx.ModelProto, folder: Path, config: str | None = None, log: list[str] | None = None) -> Model:
    """What the ONNX front end makes of a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return load(Source("ONNX", folder, log=(log if log is not None else []).append), parse(config))


def target(name: str = "LINUX_X86_64") -> Target:
    return targets()[name]


def one_node(
    kind: str, inputs: Mapping[str, tuple], outputs: Mapping[str, tuple], weights: Mapping[str, np.ndarray] | None = None, *,
    opset: int = 17, domain: str = "", ir_version: int = 8, order: list[str] | None = None, **attributes: Any,
) -> onnx.ModelProto:  # fmt: skip
    """A model of one node. `inputs` and `outputs` map names to (shape,) or (shape, element type)."""

    def infos(values: Mapping[str, tuple]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, *(v[1:] or (TensorProto.FLOAT,)), v[0]) for n, v in values.items()]

    weights = weights or {}
    node = helper.make_node(
        kind, order or [*inputs, *weights], list(outputs), name="the_node", domain=domain, **attributes
    )
    tensors = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph([node], "one", infos(inputs), infos(outputs), tensors)
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=ir_version)
