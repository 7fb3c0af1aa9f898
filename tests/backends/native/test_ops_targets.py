"""One graph of many plain operators gives ONNX Runtime's numbers on every processor, soft-float ARM and i386 included."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from backends.native.contributed_families import CONTRIBUTED
from backends.native.random_families import FAMILIES, draw
from backends.native.random_graphs import Maker, Sample
from backends.native.rules_bench import model_of
from neo_cli.backends.native import compile
from neo_cli.backends.native.emulate import EMULATORS
from neo_cli.targets.devices import targets

ARCHES = ("arm64", "armhf", "armel", "x86")
OPSET = 17


def merged(samples: list[Sample]) -> tuple[onnx.ModelProto, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """All samples side by side in one graph, their names numbered."""
    nodes, inputs, outputs, weights = [], [], [], []
    feeds, wanted = {}, {}
    for index, sample in enumerate(samples):
        graph = onnx.GraphProto()
        graph.CopyFrom(sample.model.graph)
        for group in (graph.input, graph.output, graph.initializer):
            for item in group:
                item.name = f"s{index}{item.name}"
        for node in graph.node:
            node.name = f"s{index}{node.name}"
            for names in (node.input, node.output):
                names[:] = [f"s{index}{n}" if n else "" for n in names]
        nodes, weights = nodes + list(graph.node), weights + list(graph.initializer)
        inputs, outputs = inputs + list(graph.input), outputs + list(graph.output)
        feeds |= {f"s{index}{name}": array for name, array in sample.inputs.items()}
        wanted |= {v.name: array for v, array in zip(graph.output, sample.outputs)}
    made = helper.make_graph(nodes, "many", inputs, outputs, weights)
    sets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(made, opset_imports=sets, ir_version=8), feeds, wanted


def samples() -> list[Sample]:
    found = [sample for family in FAMILIES for sample in draw(family, 11, 9)]
    plain = [s for s in found if s.model.opset_import[0].version == OPSET and not s.model.graph.node[0].domain]
    maker = Maker(11)
    packed = [CONTRIBUTED[family](maker) for family in ("packed", "bits_and_bytes", "recurrent") for _ in range(4)]
    return plain + [s for s in packed if s is not None]


@pytest.mark.slow
@pytest.mark.emulation
@pytest.mark.parametrize("arch", ARCHES)
def test_many_operators_under_emulation(tmp_path: Path, arch: str):
    if not (shutil.which(EMULATORS[arch]) or shutil.which(f"{EMULATORS[arch]}-static")):
        pytest.skip(f"{EMULATORS[arch]} is not installed")
    target = min((t for t in targets().values() if t.arch == arch), key=lambda t: t.os != "linux")
    model, feeds, wanted = merged(samples())
    assert len(model.graph.node) > 50
    build = compile(model_of(model), target, {}, tmp_path)
    assert build.emulate is not None
    found = build.emulate(feeds)
    for name, array in wanted.items():
        scale = np.abs(array[np.isfinite(array)].astype(np.float64)).max(initial=1e-3)
        tolerance = 2e-3 if array.dtype == np.float16 else 3e-5
        np.testing.assert_allclose(
            found[name].astype(np.float64),
            array.astype(np.float64),
            rtol=tolerance,
            atol=tolerance * scale,
            err_msg=name,
        )
