"""Random models agree with ONNX Runtime: every family of operators, odd sizes, any attribute; integers exactly."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from backends.graphs import as_model
from backends.native.random_families import FAMILIES, chained, draw
from backends.native.random_graphs import Maker, Sample
from backends.native.rules_bench import Library, model_of
from neo_cli.backends.native import compile, importer
from neo_cli.backends.native.ops import chains
from neo_cli.targets.devices import targets

SLOW = {"max_examples": 4, "deadline": None, "suppress_health_check": list(HealthCheck)}


def faults(samples: list[Sample], threads: int = 2, cpu: str = "x86_64_v3", **how: Any) -> list[str]:
    """What differs, one line a sample."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        library = Library([s.model for s in samples], Path(folder), threads=threads, cpu=cpu, **how)
        for index, sample in enumerate(samples):
            if index in library.errors:
                found.append(f"{sample}: {library.errors[index]}")
                continue
            for made, wanted in zip(library.run(index, sample.inputs), sample.outputs):
                if made.dtype != wanted.dtype or made.shape != wanted.shape:
                    found.append(f"{sample}: {made.dtype}{made.shape} instead of {wanted.dtype}{wanted.shape}")
                elif sample.exact or wanted.dtype.kind != "f":
                    if made.size and np.abs(made.astype(np.float64) - wanted).max() > sample.levels:
                        found.append(f"{sample}: {int((made != wanted).sum())} of {made.size} differ")
                else:
                    tolerance = 2e-3 if wanted.dtype == np.float16 else 2e-5
                    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1e-3)
                    if not np.allclose(made, wanted, rtol=tolerance, atol=tolerance * scale, equal_nan=True):
                        found.append(f"{sample}: off by {np.nanmax(np.abs(made - wanted)):.2e} of {scale:.2e}")
    return found


def test_a_few_of_each_family_agree():
    assert faults([sample for family in FAMILIES for sample in draw(family, 7, 5)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_random_models_agree(family):
    @settings(**SLOW)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([("x86_64", 1), ("x86_64_v3", 2)]))
    def check(seed: int, build: tuple[str, int]) -> None:
        assert faults(draw(family, seed, 24), build[1], build[0]) == []

    check()


@pytest.mark.parametrize("seed", [1, 2])
def test_chains_in_one_loop_agree(seed):
    maker = Maker(seed)
    samples = [s for length in range(3, 19) if (s := chained(maker, length)) is not None]
    assert faults(samples, prepare=chains.fuse) == []


def test_a_chain_is_one_node_and_a_result_read_twice_ends_it():
    graph = chains.fuse(importer.load(model_of(chained(Maker(3), 12).model)))
    before = importer.load(model_of(chained(Maker(3), 12).model))
    joined = [n for n in graph.nodes if n.op == chains.CHAIN]
    assert joined and len(graph.nodes) < len(before.nodes)
    assert sum(len(n.attrs["steps"]) if n.op == chains.CHAIN else 1 for n in graph.nodes) == len(before.nodes)
    assert {v.name for v in graph.outputs} == {v.name for v in before.outputs}


def test_what_is_read_through_a_reshape_too_is_not_taken_into_its_other_reader(tmp_path):
    """mean = a * 0.5 goes into a square and, as another shape, into a difference: it must stay a tensor of its own."""
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["mean"]),
        helper.make_node("Mul", ["mean", "mean"], ["square"]),
        helper.make_node("Sub", ["x", "square"], ["y"]),
        helper.make_node("Reshape", ["mean", "shape"], ["view"]),
        helper.make_node("Sub", ["z", "view"], ["w"]),
    ]
    inputs = [helper.make_tensor_value_info("x", 1, [1, 6]), helper.make_tensor_value_info("z", 1, [4, 1, 6])]
    outputs = [helper.make_tensor_value_info("y", 1, [1, 6]), helper.make_tensor_value_info("w", 1, [4, 1, 6])]
    constants = [
        numpy_helper.from_array(np.float32(0.5), "half"), numpy_helper.from_array(np.array([1, 1, 6]), "shape"),
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    model = as_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path)
    build = compile(model, targets()["ml_c4"], {"check_all": True}, tmp_path)
    assert any("tensors compared" in note for note in build.notes)
