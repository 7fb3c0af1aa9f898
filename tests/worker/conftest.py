"""Jobs for real runners: a store in a folder of its own, and archives whose compilation takes as long as a test wants."""

from __future__ import annotations

import os
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from neo_cli.jobs.opened import open_store
from neo_cli.jobs.service import Service
from neo_cli.jobs.stores.base import Store

ROLE = "arn:aws:iam::123456789012:role/Neo"


def tiny() -> onnx.ModelProto:
    """One Relu: compiles in a moment."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [1, 8])],
        [value("y", TensorProto.FLOAT, [1, 8])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class House:
    """A home folder, its store, and requests made the short way."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_"))} | {
            "NEO_HOME": str(root / "home"),
            "NEO_SLOTS": "1",
        }
        self.store: Store = open_store(self.environ)
        self.service = Service(self.store, lambda: round(time.time(), 3), None, self.environ)
        self.archive = root / "model.tar.gz"
        onnx.save(tiny(), root / "model.onnx")
        with tarfile.open(self.archive, "w:gz") as tar:
            tar.add(root / "model.onnx", "model.onnx")

    def create(self, name: str, **members: Any) -> None:
        request = {
            "CompilationJobName": name, "RoleArn": ROLE,
            "InputConfig": {"S3Uri": f"file://{self.archive}", "Framework": "ONNX"},
            "OutputConfig": {"S3OutputLocation": f"file://{self.root}/out", "TargetDevice": "ml_c4", "CompilerOptions": '{"backend": "onnxruntime"}'},
            "StoppingCondition": {"MaxRuntimeInSeconds": 120},
        }  # fmt: skip
        request = {k: v for k, v in {**request, **members}.items() if v is not None}
        self.service.call("CreateCompilationJob", request)

    def status(self, name: str) -> str:
        job = self.store.get(name)
        return job.status if job else "none"

    def until(self, name: str, *statuses: str, seconds: float = 60.0) -> str:
        return wait_for(lambda: s if (s := self.status(name)) in statuses else None, seconds)

    @property
    def output(self) -> list[str]:
        folder = self.root / "out"
        return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def wait_for(look: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `look` returns once it is true."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)
