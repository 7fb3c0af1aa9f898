"""A cache of builds for the whole run, and models as the native back end compiles them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from backends.graphs import as_model
from neo_cli.backends.native import compile
from neo_cli.model.model import Model
from neo_cli.runtime.engines.native import Engine
from neo_cli.targets.devices import targets

Start = Callable[..., tuple[Model, Engine]]


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds are kept in a folder of this test run."""
    monkeypatch.setenv("NEO_HOME", str(tmp_path_factory.getbasetemp() / "native-home"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`start(graph, threads=1, target=..., **options)`: the model and its engine, with a scratch full of NaN."""
    engines: list[Engine] = []

    def run(
        graph: onnx.ModelProto, threads: int = 1, target: str = "LINUX_X86_64", **options: object
    ) -> tuple[Model, Engine]:
        model = as_model(graph, tmp_path)
        folder = tmp_path / f"build{len(engines)}"
        folder.mkdir()
        build = compile(model, targets()[target], options, folder)
        tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
        engine = Engine(folder, {"settings": build.settings, **tensors}, threads)
        engine._scratch[:] = 0xFF
        engines.append(engine)
        return model, engine

    yield run
    for engine in engines:
        engine.close()
