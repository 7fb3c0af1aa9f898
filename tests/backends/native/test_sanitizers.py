"""The emitted C under AddressSanitizer and UndefinedBehaviorSanitizer: buffers of exactly the stated sizes, several threads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backends.native.callers import call, can_sanitise, linked, lowered
from backends.native.proof_graphs import MANY, NETS, case, off

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
    from backends.native.test_networks import runs

    target = TARGETS[name] if runs(TARGETS[name]) else "LINUX_X86_64"
    made = case(name, tmp_path)
    program, record = lowered(made.model, target, tmp_path)
    binary = linked(program, record, tmp_path, sanitise=True)
    for how, threads in (("run", 1), ("run", 3), ("team", 2)):
        found, _ = call(binary, program, made.feeds, threads, how)
        assert all(off(one, two) < 3e-5 for one, two in zip(found, made.wanted)), (how, threads)


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
