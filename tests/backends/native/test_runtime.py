"""The runtime's engine: several callers, several engines of one library, a library that changes under its name."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import compile
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
