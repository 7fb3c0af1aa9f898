"""The interface of compiled.h, held by the library of every processor family: self-contained, re-entrant, small."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from backends.graphs import as_model, feeds
from backends.native.callers import Arrays, call, linked, lowered, threaded
from backends.native.objects import demands
from backends.native.proof_graphs import MANY, Case, case, off
from backends.native.rules_bench import model_of
from models.builders import BUILDERS
from neo_cli.backends.native import build, emulate
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.base.errors import CompileError
from neo_cli.targets.devices import targets

FAMILIES = {
    "avx512": "ml_c5", "avx2": "ml_m4", "avx": "lambda", "sse": "LINUX_X86_64", "sse32": "ANDROID_X86",
    "neon64": "ml_m6g", "neon32": "LINUX_ARM_EABIHF", "scalar": "LINUX_ARM_EABI",
}  # fmt: skip
OTHERS = ["ANDROID_ARM64", "ANDROID_ARM_EABI", "ANDROID_X86_64", "x86_win32", "x86_win64"]
LARGEST = 300 << 10  # bytes of a library beside its weights
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no GCC here")


def built(made: Case, target: str, work: Path) -> Path:
    program, record = lowered(made.model, target, work)
    return build.library(program.text, record, cpu_of(record), work)


def test_each_family_has_a_target():
    assert all(cpu_of(targets()[target]).name == family for family, target in FAMILIES.items())


@pytest.mark.parametrize("target", [*FAMILIES.values(), *OTHERS])
def test_a_library_wants_nothing_and_keeps_nothing(tmp_path: Path, target: str):
    """Every operator for each family: what a processor lacks must come with the library."""
    for name in (MANY, "detector", "transformer") if target == "LINUX_X86_64" else (MANY,):
        found = demands(built(case(name, tmp_path), target, tmp_path))
        assert (found.symbols, found.libraries, found.writable) == ((), (), 0)


@pytest.mark.parametrize("triple", ["x86_64-linux-gnu", "arm-linux-gnueabi", "x86-windows-gnu"])
def test_what_a_library_wants_would_be_seen(tmp_path: Path, triple: str):
    """Without this the test above might read the wrong table."""
    windows = "windows" in triple
    text = "int puts(const char *text); static int calls; int f(void) { return puts(0) + calls++; }"
    if windows:
        text = "static int calls; __declspec(dllexport) int f(void) { return calls++; }"
    (tmp_path / "f.c").write_text(text)
    line = [sys.executable, "-m", "ziglang", "cc", "-target", triple, "-nostdlib", "-shared", "-fPIC", "-O1", "-g0"]
    line += ["-fno-unwind-tables", "-fno-asynchronous-unwind-tables"]
    extra = ["-Wl,--no-entry"] if windows else []
    subprocess.run([*line, *extra, "-fno-sanitize=all", "f.c", "-o", "f"], cwd=tmp_path, check=True)
    found = demands(tmp_path / "f")
    assert found.symbols == (() if windows else ("puts",)) and found.writable > 0


def test_a_symbol_that_nobody_defines_fails_the_build(tmp_path: Path):
    program, record = lowered(as_model(BUILDERS["mlp"](True), tmp_path), "ml_m6g", tmp_path)
    text = program.text.replace("NEO_API int32_t neo_abi(void) { return 1; }", "float tgammaf(float x);\n"
                                "NEO_API int32_t neo_abi(void) { return (int32_t)tgammaf(6.0f + neo_count(0)); }")  # fmt: skip
    assert text != program.text
    with pytest.raises(CompileError, match="tgammaf"):
        build.library(text, record, cpu_of(record), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "mobilenetv2", "bert", "yolo"])
def test_a_library_is_small(tmp_path: Path, name: str):
    made = Case(model_of(BUILDERS[name](False)), [], [])
    for target in ("ml_c5", "ml_m6g"):
        assert built(made, target, tmp_path).stat().st_size <= LARGEST


def test_a_profile_is_a_run_and_the_features_are_the_targets(start):
    model, engine = start(BUILDERS["mobilenetv2"](True))
    library, feed = engine.library, feeds(model)
    wanted, made = engine.run(feed), [np.empty(t.shape, t.dtype) for t in model.outputs]
    ticks = np.zeros(1000, np.uint64)
    tables = [(ctypes.c_void_p * 1)(array.ctypes.data) for array in (feed["input"], made[0])]
    rest = (engine._weights, engine._scratch.ctypes.data, ticks.ctypes.data)
    steps = library.neo_profile(*tables, *map(ctypes.c_void_p, rest))
    assert np.array_equal(made[0], wanted["output"])
    assert 10 < steps < 1000 and (ticks[:steps] > 0).all() and not ticks[steps:].any()
    library.neo_features.restype = ctypes.c_char_p
    assert library.neo_features().decode().split() == list(targets()["LINUX_X86_64"].features)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are looked at in /proc")
def test_workers_sleep_when_there_is_nothing_to_do(start):
    """One that went on looking for work would be running or runnable each time it is looked at."""
    before = set(Path("/proc/self/task").iterdir())
    model, engine = start(BUILDERS["mlp"](True), threads=4)
    engine.run(feeds(model))
    workers = set(Path("/proc/self/task").iterdir()) - before
    asleep = 0
    for _ in range(2000):
        states = [(worker / "stat").read_text().rpartition(")")[2].split()[0] for worker in workers]
        asleep = asleep + 1 if states.count("S") >= 3 and set(states) == {"S"} else 0
        if asleep == 20:
            return
        time.sleep(0.005)
    raise AssertionError(f"the workers are {states}")


@needs_gcc
@pytest.mark.slow
def test_a_run_takes_little_more_than_weights_and_scratch(tmp_path: Path):
    """MobileNetV2, whose 21 MB are the least of the networks of the documents: what else a process has weighs most."""
    model = as_model(BUILDERS["mobilenetv2"](False), tmp_path)
    program, record = lowered(model, "LINUX_X86_64", tmp_path)
    _, peak = call(linked(program, record, tmp_path), program, [feeds(model)], 2, "team")
    assert peak <= 1.3 * (program.weights.size + program.scratch(2))


@needs_gcc
@pytest.mark.parametrize("how", ["run", "team"])
def test_runs_at_the_same_time_do_not_meet(tmp_path: Path, how: str):
    """Three inputs, three scratches, two threads each; alone and together the bits are the same."""
    made = case("transformer", tmp_path)
    program, record = lowered(made.model, "LINUX_X86_64", tmp_path)
    binary = linked(program, record, tmp_path)
    given = [*made.feeds, made.feeds[0]]
    together, _ = call(binary, program, given, 2, how)
    alone = [call(binary, program, [feed], 2, how)[0][0] for feed in given]
    for one, two, wanted in zip(together, alone, [*made.wanted, made.wanted[0]]):
        assert all(np.array_equal(one[k], two[k]) for k in one)
        assert off(one, wanted) < 5e-6


def tiny(shape: tuple[int, ...]) -> tuple[onnx.ModelProto, Arrays, Arrays]:
    """Twice a denormal number, which is zero while a model runs."""
    node = helper.make_node("Add", ["x", "x"], ["y"])
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([node], "tiny", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, {"x": np.full(shape, 1e-40, np.float32)}, {"y": np.zeros(shape, np.float32)}


@needs_gcc
@pytest.mark.parametrize("how", ["run", "team"])
def test_denormal_numbers_are_zero_in_every_thread_and_the_mode_comes_back(tmp_path: Path, how: str):
    """The caller ends with code 9 when a thread does not have the mode that it came with."""
    graph, feed, wanted = tiny((3, 64))
    program, record = lowered(as_model(graph, tmp_path), "LINUX_X86_64", tmp_path)
    (found,), _ = call(linked(program, record, tmp_path), program, [feed], 3, how)
    assert np.array_equal(found["y"], wanted["y"])
    forgetful = replace(program, text=program.text.replace("    fp_leave(saved);\n", ""))
    with pytest.raises(AssertionError, match="code 9"):
        call(linked(forgetful, record, tmp_path), program, [feed], 3, how)


@pytest.mark.emulation
@pytest.mark.slow
@pytest.mark.parametrize("target", [t for f, t in FAMILIES.items() if not f.startswith("avx")])
def test_threads_and_teams_of_every_architecture(tmp_path: Path, target: str):
    """Three threads with the caller's barrier, then a team: the same bits, modes put back, denormals zero."""
    if emulate.emulator(targets()[target]) is None:
        pytest.skip("qemu-user is not installed here")
    made = case("attention", tmp_path)
    program, record = lowered(made.model, target, tmp_path)
    assert off(threaded(program, record, tmp_path, 3)(made.feeds[0]), made.wanted[0]) < 5e-6
    graph, feed, wanted = tiny((3, 64))
    program, record = lowered(as_model(graph, tmp_path), target, tmp_path)
    found = threaded(program, record, tmp_path, 3)(feed)["y"]
    if cpu_of(record).name == "scalar":  # soft floats have no mode
        wanted = {"y": feed["x"] + feed["x"]}
    assert np.array_equal(found, wanted["y"])
    if cpu_of(record).name != "scalar":
        forgetful = replace(program, text=program.text.replace("    fp_leave(saved);\n", ""))
        with pytest.raises(CompileError, match="code 9"):
            threaded(forgetful, record, tmp_path, 3)(feed)
