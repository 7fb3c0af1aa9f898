"""The emitted C: every call named after its node, built once, and the documented example builds and runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import compile, compiler
from neo_cli.targets.devices import targets

DOCS = Path(__file__).parents[3] / "docs" / "native.md"


def test_the_c_names_the_onnx_node_of_each_step(tmp_path: Path):
    graph = BUILDERS["resnet50"](True)
    build = compile(as_model(graph, tmp_path), targets()["LINUX_X86_64"], {}, tmp_path)
    assert list(build.temps) == ["1-import.txt", "2-fusion.txt", "3-layout.txt", "4-memory.txt", "5-compiled.c"]
    text = build.temps["5-compiled.c"].read_text()
    named = " ".join(re.findall(r"^/\* (.*?) \(", text, re.MULTILINE))
    for node in graph.graph.node:
        if node.op_type in ("Conv", "Relu", "Add", "MaxPool", "Gemm"):
            assert node.name in named, node.name


def test_a_build_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
    first = (tmp_path / "compiled.so").read_bytes()
    monkeypatch.setattr(subprocess, "run", None)  # a second call of the compiler would fail
    compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
    assert (tmp_path / "compiled.so").read_bytes() == first


@pytest.mark.parametrize(
    ("language", "command"),
    [("c", ["cc", "-std=c11"]), ("cpp", ["c++", "-std=c++20", "-pthread"])],
)
def test_the_documented_program_builds_and_runs(tmp_path: Path, language: str, command: list[str]):
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} with a standard library here")
    (source,) = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
    (tmp_path / f"main.{language}").write_text(source)
    header = Path(compiler.__file__).with_name("kernels")
    line = [*command, "-Wall", "-Werror", f"-I{header}", "-o", "main", f"main.{language}", "./compiled.so"]
    subprocess.run(line, cwd=tmp_path, check=True)
    feed = feeds(model)
    done = subprocess.run(["./main"], cwd=tmp_path, input=feed["x"].tobytes(), capture_output=True, check=True)
    assert error({"probabilities": np.frombuffer(done.stdout, np.float32).reshape(1, 10)}, model.oracle(feed)) < 5e-6
