"""Pickles are read by exact names: nothing that is not on the list is imported, in no format that joblib knows."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import pickle
import warnings
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from neo_cli.model import unpickle

joblib = pytest.importorskip("joblib")
KINDS = ("python", "numpy", "sklearn", "xgboost")


class Evil:
    """Touches a file when it is unpickled by a reader that allows it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (exec, (f"open({str(self.path)!r}, 'w')",))


@pytest.mark.parametrize("form", ["pickle", "protocol 0", "joblib", "zlib", "gzip", "bz2", "lzma", "xz", "nested"])
def test_code_never_runs(form: str, tmp_path: Path) -> None:
    touched, file = tmp_path / "touched", tmp_path / "model"
    evil: object = Evil(touched)
    if form == "nested":  # an array of objects, which joblib pickles inside its own stream
        evil = np.array([1, evil], dtype=object)
    if form in ("pickle", "protocol 0"):
        file.write_bytes(pickle.dumps([evil], protocol=0 if form == "protocol 0" else None))
    else:
        joblib.dump([evil], file, compress=0 if form in ("joblib", "nested") else (form, 3))
    with pytest.raises(unpickle.Forbidden, match=r"builtins\.exec|__builtin__\.exec"):
        unpickle.load(file, KINDS)
    assert not touched.exists()


def test_numpys_own_doors_are_shut(tmp_path: Path) -> None:
    for module, name in (
        ("numpy.testing._private.utils", "runstring"), ("numpy.f2py.capi_maps", "eval"), ("numpy", "load"), ("numpy", "fromfile"),
        ("sklearn.externals.joblib.numpy_pickle", "NDArrayWrapper"), ("joblib.numpy_pickle", "NDArrayWrapper"),
        ("sklearn.utils._joblib", "load"), ("builtins", "getattr"), ("operator", "attrgetter"), ("functools", "partial"),
        ("sklearn.tree._tree", "Tree.__init__"),
    ):  # fmt: skip
        file = tmp_path / "model"
        file.write_bytes(b"\x80\x04" + _short(module) + _short(name) + b"\x93.")
        with pytest.raises(unpickle.Forbidden) as caught:
            unpickle.load(file, KINDS)
        assert caught.value.name == f"{module}.{name}"


def _short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def test_external_objects_are_refused(tmp_path: Path) -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> str | None:
            return "elsewhere" if isinstance(obj, bytes) else None

    stream = io.BytesIO()
    Pickler(stream).dump([b"x"])
    (tmp_path / "model").write_bytes(stream.getvalue())
    with pytest.raises(unpickle.Forbidden, match="external object"):
        unpickle.load(tmp_path / "model", KINDS)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("lzma", 3)])
def test_honest_data_comes_through(compress: object, tmp_path: Path) -> None:
    data = {
        "a": np.arange(5000, dtype=np.float32).reshape(50, 100),
        "o": np.array(["x", 3, None], dtype=object),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "s": np.float64(2.5),
        "r": np.random.RandomState(3),
    }
    joblib.dump(data, tmp_path / "model", compress=compress)
    found = unpickle.load(tmp_path / "model", KINDS)
    for name in "aof":
        np.testing.assert_array_equal(found[name], data[name])
    assert found["s"] == 2.5
    assert found["r"].rand() == np.random.RandomState(3).rand()


def test_every_listed_name_is_a_class_or_a_known_constructor() -> None:
    constructors = {
        "_reconstruct", "scalar", "_frombuffer", "_mareconstruct", "__randomstate_ctor", "__bit_generator_ctor", "__generator_ctor",
        "newObj", "chi2", "f_classif", "f_regression", "mutual_info_classif", "mutual_info_regression", "_reconstructor", "encode", "_identity", "RandomState",
    }  # fmt: skip
    lists = json.loads(files("neo_cli.model").joinpath("unpickle.json").read_text(encoding="utf-8"))
    pytest.importorskip("sklearn")
    for names in lists.values():
        for module, entries in names.items():
            try:
                found = importlib.import_module(unpickle.MOVED.get(module, module))
            except ImportError:
                continue  # a name of an older version
            for entry in entries:
                value = getattr(found, entry, None)
                known = entry in constructors or entry.startswith("__pyx_unpickle_")
                assert value is None or isinstance(value, type) or known, f"{module}.{entry}"


def test_no_listed_name_writes_where_it_is_called(tmp_path: Path) -> None:
    """A pickle calls what it names with whatever it likes; numpy.memmap, called so, would empty the file."""
    pytest.importorskip("sklearn")
    kept = tmp_path / "kept"
    kept.write_bytes(b"kept")
    names = unpickle.allowed(*KINDS)
    arguments = [
        (str(kept),),
        (str(kept), "w"),
        (str(kept), "wb"),
        (str(kept), "uint8", "w+"),
        (str(kept), "uint8", "w+", 0, (4,)),
    ]
    called = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module, name in sorted(tuple(entry.split(" ")) for entry in names):
            home, safer, instead = unpickle._find(names, module, name)
            try:
                made = instead or getattr(importlib.import_module(home), safer)
            except (ImportError, AttributeError):
                continue  # a name of another version
            for given in arguments:
                with contextlib.suppress(Exception):
                    called += 1
                    made(*given)
    assert called > 500 and kept.read_bytes() == b"kept" and [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_memory_map_comes_as_an_array(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "m", "float32", "w+", shape=(3,))
    mapped[:] = 2
    (tmp_path / "model").write_bytes(pickle.dumps(mapped))
    found = unpickle.load(tmp_path / "model", KINDS)
    assert type(found) is np.ndarray and found.tolist() == [2, 2, 2]


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "lzma", "xz"])
def test_a_bomb_in_a_compressed_file_is_noticed(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickle, "RATIO_FROM", 2**20)
    joblib.dump([bytes(8 * 2**20)], tmp_path / "model", compress=(method, 9 if method != "xz" else 3))
    assert (tmp_path / "model").stat().st_size < 2**16
    with pytest.raises(pickle.UnpicklingError, match="unpacks to more than 200 times its size"):
        unpickle.load(tmp_path / "model", KINDS)
