"""Two schedules of one arithmetic agree bit for bit, the plan of memory changes no tensor, and a broken plan is noticed."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backends.native.callers import Arrays, call, linked, lowered
from backends.native.proof_graphs import MANY, NETS, Case, case, off
from backends.native.test_networks import runs
from neo_cli.backends.native import build, check, compiler, verify
from neo_cli.backends.native.cpus import AVX2, AVX512, SSE, Cpu
from neo_cli.backends.native.emit import Program, emit
from neo_cli.backends.native.memory import lives
from neo_cli.base.errors import AccuracyError, InternalError
from neo_cli.runtime.engines.native import close_library, open_library
from neo_cli.targets.devices import Target, targets

CPUS: dict[str, Cpu] = {"LINUX_X86_64": SSE, "ml_m4": AVX2, "ml_c5": AVX512}
# What a schedule may change without changing a sum's order: sizes of tiles, panels, bands; the rest is the record's.
VARIANTS = {
    "narrow tiles of one vector": {"pixels": 3, "column": 4, "vectors": 1},
    "small panels and bands": {"panel": 1 << 10, "band": 8 << 10},
    "all at once": {"panel": 1 << 24, "band": 1 << 24},
}
BLOCKS = [
    *((name, "LINUX_X86_64") for name in ("winograd", "bands", "depthwise", "attention")),
    ("attention", "ml_m4"), ("winograd", "ml_c5"), ("bands", "ml_c5"),
]  # fmt: skip


def program_of(made: Case, target: Target, cpu: Cpu, work: Path, keep: bool = True, **options: object) -> Program:
    """With keep, every tensor stays readable."""
    return compiler.lower(made.model, cpu, target, {"winograd": "off", **options}, compiler.Stages(work), keep)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), BLOCKS)
def test_sizes_of_blocks_change_no_bit_of_any_tensor(tmp_path: Path, name: str, target: str):
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    record, cpu, made = targets()[target], CPUS[target], case(name, tmp_path)
    plain = program_of(made, record, cpu, tmp_path)
    wanted = check.tensors(plain, record, cpu, made.feeds[0], tmp_path)
    assert off(wanted, made.wanted[0]) < 1e-5
    assert name != "bands" or "fast.Band" in plain.graph.text()
    texts = {plain.text}
    for changes in (*VARIANTS.values(), {"bands": "off"}):
        options = changes if "bands" in changes else {}
        other = cpu if options else replace(cpu, **changes)
        program = program_of(made, record, other, tmp_path, **options)
        texts.add(program.text)
        found = check.tensors(program, record, other, made.feeds[0], tmp_path)
        shared = set(found) & set(wanted)
        assert len(shared) >= len(program.graph.outputs)
        assert [n for n in shared if found[n].tobytes() != wanted[n].tobytes()] == [], changes
    assert len(texts) > 2  # the schedules were different


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no GCC here")
@pytest.mark.parametrize("name", [*NETS, MANY])
def test_the_bits_are_the_same_on_any_number_of_threads(tmp_path: Path, name: str):
    """The caller's threads and a team, in a scratch full of NaN each time."""
    made = case(name, tmp_path)
    program, record = lowered(made.model, "LINUX_X86_64", tmp_path)
    binary = linked(program, record, tmp_path)
    (wanted,), _ = call(binary, program, made.feeds[:1])
    for threads in (1, 2, 3, 5):
        for how in ("run", "team"):
            (found,), _ = call(binary, program, made.feeds[:1], threads, how)
            assert all(found[k].tobytes() == wanted[k].tobytes() for k in wanted), (threads, how)


class Stepwise:
    """A program that can be run up to any of its steps."""

    def __init__(self, program: Program, target: Target, cpu: Cpu, feed: Arrays, work: Path) -> None:
        self.program = program
        loop = "step < {}; step++) {{\n        steps[step].run(&frame);\n        if"
        text = program.text.replace(loop.format("STEPS"), loop.format("(int)(intptr_t)team"))
        assert text != program.text
        self.library = open_library(build.library(text, target, cpu, work))
        offset = program.weights.write(work / "steps.params")
        self.weights = aligned(np.fromfile(work / "steps.params", np.uint8)[offset:])
        self.inputs = [np.ascontiguousarray(feed[v.name]) for v in program.graph.inputs]
        self.outputs = [np.empty(v.size * v.itemsize + 64, np.uint8) for v in program.graph.outputs]

    def scratch(self, steps: int) -> np.ndarray:
        """What the scratch, full of ones before, holds after so many steps."""
        made = aligned(np.full(self.program.scratch(1), 0xFF, np.uint8))
        pointers = [(ctypes.c_void_p * len(a))(*(x.ctypes.data for x in a)) for a in (self.inputs, self.outputs)]
        self.library.neo_run(*pointers, self.weights.ctypes.data, made.ctypes.data, 0, 1, None, steps)
        return made


def live_faults(program: Program, whole: Program, target: Target, cpu: Cpu, feed: Arrays, work: Path) -> Iterator[str]:
    """The tensors of `program` that, after some step while they are needed, differ from those of `whole`."""
    both = [Stepwise(p, target, cpu, feed, work) for p in (program, whole)]
    twins = dict(zip(program.graph.values(), whole.graph.values()))
    values = [(v, life) for v, life in lives(program.graph).items() if check.place_of(program, v) is not None]
    for done, step in enumerate(program.steps, 1):
        following = program.steps[done] if done < len(program.steps) else step
        if following == step and done < len(program.steps):
            continue  # a phase; the node is not finished
        one, two = (part.scratch(done) for part in both)
        for value, (first, last) in values:
            if first <= step and last >= following:
                a, b = check.place_of(program, value), check.place_of(whole, twins[value])
                mine, wanted = one[a : a + value.bytes], two[b : b + value.bytes]  # type: ignore[operator]
                written = wanted != 0xFF  # a concatenation is made in parts
                if (mine[written] != wanted[written]).any():
                    yield f"{value.name} after step {step}"
    for part in both:
        close_library(part.library)


def aligned(data: np.ndarray) -> np.ndarray:
    raw = np.empty(data.nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    raw[start : start + data.nbytes] = data
    return raw[start : start + data.nbytes]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETS, MANY])
def test_every_tensor_keeps_its_bits_while_it_is_needed(tmp_path: Path, name: str):
    """The plan as it ships, looked at after every step, beside a plan that uses no buffer twice."""
    target, made = targets()["LINUX_X86_64"], case(name, tmp_path)
    packed, whole = (program_of(made, target, SSE, tmp_path, keep, winograd="auto") for keep in (False, True))
    assert list(live_faults(packed, whole, target, SSE, made.feeds[0], tmp_path)) == []
    end = Stepwise(whole, target, SSE, made.feeds[0], tmp_path)
    scratch, buffers = end.scratch(len(whole.steps)), {b.start: b for b in whole.plan.buffers}
    close_library(end.library)
    for value, place in whole.plan.places.items():  # nothing is written behind a tensor's end
        behind = scratch[place + value.bytes : place + buffers[place].size]
        assert behind.size >= 64 and (behind == 0xFF).all(), value.name


def broken(program: Program, pick: int) -> Program | None:
    """The program with one tensor's buffer moved onto another's that is needed at the same time."""
    pairs = [
        (one, two)
        for one in program.graph.values()
        for two in program.graph.values()
        if one in program.plan.places and two in program.plan.places and one is not two
        and needed_together(program, one, two)
    ]  # fmt: skip
    if not pairs:
        return None
    one, two = pairs[pick % len(pairs)]
    plan = program.plan
    start = plan.places[two]
    buffers = [
        replace(b, start=start) if b.owner == one.name and b.start == plan.places[one] else b for b in plan.buffers
    ]
    moved = replace(plan, places={**plan.places, one: start}, buffers=buffers, shared=plan.shared + one.bytes + 64)
    return replace(program, plan=moved)


def needed_together(program: Program, one: object, two: object) -> bool:
    """`two` is read after `one` was made, which happens after `two` was made."""
    spans = lives(program.graph)
    return spans[two][0] < spans[one][0] < spans[two][1]  # type: ignore[index]


def emitted(program: Program, cpu: Cpu, features: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Program:
    """The C of a program whose plan was changed."""
    from neo_cli.backends.native import emit as module

    monkeypatch.setattr(module, "plan", lambda *_: program.plan)
    made = emit(program.graph, cpu, features)
    monkeypatch.undo()
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["winograd", "transformer"])
def test_a_plan_that_overwrites_what_is_needed_is_noticed(tmp_path: Path, name: str, monkeypatch, home):
    """By the rules between stages, and, with these silenced, by the look after each step and by check_all."""
    target, made = targets()["LINUX_X86_64"], case(name, tmp_path)
    packed, whole = (program_of(made, target, SSE, tmp_path, keep, winograd="auto") for keep in (False, True))
    seen = 0
    for pick in (0, 7):
        wrong = broken(packed, pick)
        assert wrong is not None
        with pytest.raises(InternalError, match="broke its own rule"):
            verify.program(wrong, "emit")
        with monkeypatch.context() as patch:
            wrong = emitted(wrong, SSE, target.features, patch)
        assert list(live_faults(wrong, whole, target, SSE, made.feeds[0], tmp_path)) != []
        try:
            check.check_plan(wrong, whole, target, SSE, made.feeds[0], tmp_path)
        except AccuracyError:
            seen += 1
    assert seen  # an overwritten tensor need not reach an output, so not each one is seen there
