"""The emitted C under AddressSanitizer and UndefinedBehaviorSanitizer: buffers of exactly the stated sizes, several threads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.graphs import as_model, feeds
from backends.native import half_cases, test_quantised, test_volumes, windows
from backends.native.callers import call, can_sanitise, linked, lowered
from backends.native.proof_graphs import MANY, NETS, case, off
from backends.native.test_networks import runs
from neo_cli.runtime import cpu

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_sanitise(), reason="there is no GCC with AddressSanitizer here"),
]
# Each net for one width of vectors; the widest reads furthest, so it has the most.
TARGETS = {
    "winograd": "ml_c5", "bands": "ml_m4", "depthwise": "ml_c5", "recurrent": "ml_m4", "transformer": "ml_c5",
    "attention": "ml_c5", "joined attention": "ml_m4", "detector": "LINUX_X86_64", "residual": "LINUX_X86_64",
    "trees": "ml_c5", MANY: "ml_m4",
}  # fmt: skip
PLANTED = {
    "a byte beyond the weights": "volatile const char *end = (const char *)weights + neo_weights_bytes(); (void)*end;",
    "a byte beyond the scratch": "arena[neo_scratch_bytes(threads)] = 1;",
    "a byte beyond an input": "volatile const char *end = (const char *)inputs[0] + neo_bytes(NEO_INPUT, 0); (void)*end;",
    "a sum that overflows": "volatile int32_t big = INT32_MAX; big = big + threads;",
    "a shift too far": "volatile int32_t far = 31 + threads; far = 1 << far;",
}


def test_every_net_has_a_width():
    assert list(TARGETS) == [*NETS, MANY]


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(tmp_path: Path, name: str):
    target = TARGETS[name] if runs(TARGETS[name]) else "LINUX_X86_64"
    made = case(name, tmp_path)
    program, record = lowered(made.model, target, tmp_path)
    binary = linked(program, record, tmp_path, sanitise=True)
    for how, threads in (("run", 1), ("run", 3), ("team", 2)):
        found, _ = call(binary, program, made.feeds, threads, how)
        assert all(off(one, two) < 3e-5 for one, two in zip(found, made.wanted)), (how, threads)


def few_quantised() -> onnx.ModelProto:
    made = test_quantised.Many(5)
    for _ in range(5):
        test_quantised.convolution(made)
    test_quantised.product(made)
    return made.model()


def transposed(rank: int) -> onnx.ModelProto:
    random = np.random.default_rng(rank)
    return windows.graph([windows.draw(random, rank, True, largest=9 if rank == 3 else 20) for _ in range(4)])


HALF = {"mcpu": "znver4", "precision": "bfloat16"}
# net, CompilerOptions, tolerance
OTHERS: dict[str, tuple[Callable[[], onnx.ModelProto], dict[str, str], float]] = {
    "8 bits": (few_quantised, {"mcpu": "haswell"}, 1e-6),
    "8 bits, VNNI": (few_quantised, {"mcpu": "cascadelake"}, 1e-6),
    "volumes": (lambda: test_volumes.steps(2), {"mcpu": "skylake_avx512"}, 3e-5),
    "transposed": (lambda: transposed(2), {"mcpu": "skylake_avx512"}, 3e-5),
    "transposed volumes": (lambda: transposed(3), {"mcpu": "haswell"}, 3e-5),
    "bfloat16 panels": (lambda: half_cases.CASES["panels"], HALF, 2e-2),
    "bfloat16 attention": (lambda: half_cases.attention(45, 2, 32), HALF, 2e-2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_nothing_is_found_for_other_processors_and_types(tmp_path: Path, name: str):
    build, options, tolerance = OTHERS[name]
    model = as_model(build(), tmp_path)
    program, record = lowered(model, "LINUX_X86_64", tmp_path, **options)
    if not cpu.runs(record.os, record.arch, record.features):
        pytest.skip(f"this machine does not run {options['mcpu']}'s code")
    binary, feed = linked(program, record, tmp_path, sanitise=True), feeds(model, 1)
    for how, threads in (("run", 1), ("run", 3), ("team", 2)):
        (found,), _ = call(binary, program, [feed], threads, how)
        assert off(found, model.oracle(feed)) < tolerance, (how, threads)


@pytest.mark.parametrize("fault", PLANTED)
def test_what_is_planted_is_found(tmp_path: Path, fault: str):
    """Without this the test above might look for nothing."""
    made = case("trees", tmp_path)
    program, record = lowered(made.model, "LINUX_X86_64", tmp_path)
    place = "    const uintptr_t saved = fp_enter();\n    for (int step = 0; step < STEPS; step++) {\n        steps[step].run"
    head, _, tail = program.text.partition(place)
    assert tail
    program = replace(program, text=f"{head}    {{ {PLANTED[fault]} }}\n{place}{tail}")
    binary = linked(program, record, tmp_path, sanitise=True)
    with pytest.raises(AssertionError, match=r"AddressSanitizer|runtime error"):
        call(binary, program, made.feeds)
