"""The runtime's engine: several callers, several engines of one library, a library that changes under its name."""

from __future__ import annotations

import ctypes
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import build as builder
from neo_cli.backends.native import compile, compiler
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.base.errors import AccuracyError
from neo_cli.model.model import Model
from neo_cli.report import contest
from neo_cli.report.check import cases
from neo_cli.runtime.engines.native import Engine
from neo_cli.targets.devices import targets


def test_one_engine_serves_several_threads(start):
    model, engine = start(BUILDERS["mlp"](True), threads=2)
    inputs = [feeds(model, seed) for seed in range(6)]
    wanted = [model.oracle(feed) for feed in inputs]
    found: dict[int, dict] = {}

    def work(index: int) -> None:
        for _ in range(20):
            found[index] = engine.run(inputs[index])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(error(found[i], wanted[i]) < 5e-6 for i in range(6))


def test_two_engines_of_one_library_do_not_meet(start):
    graph = BUILDERS["resnet50"](True)
    (model, one), (_, two) = start(graph), start(graph, threads=2)
    a, b = feeds(model, 1), feeds(model, 2)
    first = one.run(a)
    two.run(b)
    assert np.array_equal(one.run(a)["output"], first["output"])


def test_denormal_numbers_are_left_as_they_were(start):
    model, engine = start(BUILDERS["mlp"](True))
    engine.run(feeds(model))
    tiny = np.array([1e-40], np.float32)
    assert (tiny + tiny)[0] > 0


def test_the_library_says_what_it_takes(start):
    model, engine = start(BUILDERS["bert"](True))
    library = engine.library
    library.neo_name.restype = library.neo_dtype.restype = ctypes.c_char_p
    library.neo_shape.restype = ctypes.POINTER(ctypes.c_int64)
    library.neo_bytes.restype = ctypes.c_size_t
    for kind, tensors in ((0, model.inputs), (1, model.outputs)):
        assert library.neo_count(kind) == len(tensors)
        for index, tensor in enumerate(tensors):
            assert library.neo_name(kind, index).decode() == tensor.name
            assert library.neo_dtype(kind, index).decode() == tensor.dtype
            rank = library.neo_rank(kind, index)
            assert tuple(library.neo_shape(kind, index)[:rank]) == tensor.shape
            assert library.neo_bytes(kind, index) == np.dtype(tensor.dtype).itemsize * int(np.prod(tensor.shape))


def test_a_library_rebuilt_in_place_is_loaded_anew(tmp_path: Path):
    engines = []
    for name in ("mlp", "bert"):
        model = as_model(BUILDERS[name](True), tmp_path)
        build = compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
        tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
        engine = Engine(tmp_path, {"settings": build.settings, **tensors}, 2)
        engines.append(engine)
        assert engine.library.neo_count(0) == len(model.inputs)
        assert error(engine.run(feeds(model)), model.oracle(feeds(model))) < 5e-6
    for engine in (*engines, *engines):  # closing twice does nothing
        engine.close()


def without_a_team(graph, work: Path, threads: int) -> tuple[Model, Engine]:
    """As on Windows: no team in the library, so that the runtime brings the threads and the barrier."""
    model, target = as_model(graph, work), targets()["LINUX_X86_64"]
    cpu = cpu_of(target)
    cpu = replace(cpu, flags=(*cpu.flags, "-U__linux__"))
    program = compiler.lower(model, cpu, target, {}, compiler.Stages(work))
    library = builder.library(program.text, target, cpu, work)
    offset = program.weights.write(work / "compiled.params")
    settings = {"library": library.name, "weights": "compiled.params", "weights_offset": offset}
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    return model, Engine(work, {"settings": settings, **tensors}, threads)


@pytest.mark.parametrize("name", ["mobilenetv2", "bert"])
def test_a_library_without_a_team_runs_on_threads_of_the_runtime(tmp_path: Path, name: str):
    found = []
    for threads in (1, 2, 3):
        folder = tmp_path / str(threads)
        folder.mkdir()
        model, engine = without_a_team(BUILDERS[name](True), folder, threads)
        assert engine.library.neo_team_bytes() == 0 and engine._team.threads == threads
        for _ in range(3):
            engine._scratch[:] = 0xFF
            found.append(engine.run(feeds(model)))
        engine.close()
    assert error(found[0], model.oracle(feeds(model))) < 5e-6
    assert all(np.array_equal(found[0][key], other[key]) for other in found[1:] for key in other)


def test_an_interrupt_at_the_barrier_ends_the_run_and_not_the_engine(tmp_path: Path, monkeypatch):
    model, engine = without_a_team(BUILDERS["mlp"](True), tmp_path, 2)
    wait, calls = engine._team._barrier.wait, []

    def interrupted() -> None:
        calls.append(threading.current_thread())
        if len(calls) == 3:
            raise KeyboardInterrupt
        wait()

    monkeypatch.setattr(engine._team._barrier, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        engine.run(feeds(model))
    monkeypatch.undo()
    assert error(engine.run(feeds(model)), model.oracle(feeds(model))) < 5e-6
    engine.close()


def test_a_candidate_that_fails_its_check_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A worker that lived on would take time from every candidate after it."""
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    build = compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    seen: list[set[threading.Thread]] = []

    def load(folder: Path) -> Engine:
        engine = Engine(folder, {"settings": build.settings, **tensors}, 4)
        seen.append(set(threading.enumerate()) - before)
        return engine

    monkeypatch.setattr(contest, "load", load)
    wrong = replace(model, oracle=lambda feed: {name: array + 1 for name, array in model.oracle(feed).items()})
    before = set(threading.enumerate())  # those of Python, as an engine's are: other libraries' come and go
    with pytest.raises(AccuracyError):
        contest.hold(
            [SimpleNamespace(backend="native", build=build, error=None, seconds=0.0)],
            lambda _: tmp_path, wrong, cases(wrong, [].append), None, True, [].append,
        )  # fmt: skip
    assert [len(own) for own in seen] == [3]
    assert not any(thread.is_alive() for thread in seen[0])
