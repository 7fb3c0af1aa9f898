"""The ONNX project's node tests: every applicable case passes but those listed with their reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backends.native.node_cases import EXCEPTIONS, NodeCase, applicable, load
from backends.native.rules_bench import Library

CHUNK = 64
TOLERANCES = {"float16": (2e-3, 1e-4), "bfloat16": (1e-2, 1e-3)}  # one unit of the last place and a little


def fault(found: np.ndarray, wanted: np.ndarray, case: NodeCase) -> str:
    """What is wrong with one output; nothing when it is right."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return f"{found.dtype}{found.shape} instead of {wanted.dtype}{wanted.shape}"
    if wanted.dtype.kind not in "biu" and not wanted.dtype.name.startswith(("int", "uint")):
        rtol, atol = TOLERANCES.get(wanted.dtype.name, (0, 1e-6))
        one, two = found.astype(np.float64), wanted.astype(np.float64)
        close = np.isclose(one, two, rtol=max(rtol, case.rtol), atol=max(atol, case.atol), equal_nan=True)
        return "" if close.all() else f"{(~close).sum()} of {close.size} elements differ"
    return "" if np.array_equal(found, wanted) else f"{(found != wanted).sum()} of {found.size} elements differ"


def outcome(library: Library, index: int, case: NodeCase) -> str:
    """Why a case fails; nothing when it passes."""
    if index in library.errors:
        return str(library.errors[index])
    made = library.run(index, case.inputs)
    return "; ".join(f for name, found in zip(case.outputs, made) if (f := fault(found, case.outputs[name], case)))


def outcomes(cases: list[NodeCase], work: Path, threads: int) -> dict[str, str]:
    """Name to reason of failure, for all cases."""
    found = {}
    for start in range(0, len(cases), CHUNK):
        chunk = cases[start : start + CHUNK]
        library = Library([c.model for c in chunk], work, threads=threads, optimise="-O1")
        found |= {case.name: outcome(library, k, case) for k, case in enumerate(chunk)}
    return found


def test_a_tenth_of_the_node_tests_passes_on_two_threads(tmp_path):
    cases = [c for c in applicable() if c.name not in EXCEPTIONS and "attention" not in c.name][::13]
    assert len(cases) > 80
    assert {n: why for n, why in outcomes(cases, tmp_path, 2).items() if why} == {}


@pytest.mark.slow
def test_all_node_tests_pass_but_the_listed_ones(tmp_path):
    found = outcomes(list(applicable()), tmp_path, 1)
    failed = {name: why for name, why in found.items() if why}
    assert {n: why for n, why in failed.items() if n not in EXCEPTIONS} == {}
    assert set(EXCEPTIONS) <= set(failed), "these pass by now and need no exception any more"
    assert len(found) - len(failed) >= 0.95 * len(found)


def test_what_does_not_apply_is_few_and_named():
    why = {c.why for c in load() if c.why}
    assert why <= {
        "strings",
        "sequences and optionals",
        "random numbers",
        "training operators",
        "image files",
        "complex numbers",
    }
    assert len(applicable()) > 0.95 * len(load())
