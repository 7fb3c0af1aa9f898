"""Pickles and joblib files are read by exact names only: what is not on the list is never imported, let alone called.

A list of module prefixes would not do: numpy alone holds functions that run any text given to them. Estimators are
plain objects of known classes, so the list (unpickle.json, written by docs/tools/make_unpickle_names.py) can be exact.
"""

from __future__ import annotations

import io
import json
import mmap
import pickle
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from neo_cli.model.pickle_scan import scan

RATIO, RATIO_FROM, TOTAL = 200, 64 * 2**20, 5 * 2**30  # as packaging/unpack.py has them for archives
READ_SIZE = 2**24  # bytes; no more is made room for at once


class Forbidden(pickle.UnpicklingError):
    """The pickle asks for a name that no honest model needs; `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the pickle refers to {name}, which is not on the list of names a model may use")
        self.name = name


@cache
def allowed(*kinds: str) -> frozenset[str]:
    """The names of the given lists, "module name" each."""
    lists = json.loads(files("neo_cli.model").joinpath("unpickle.json").read_text(encoding="utf-8"))
    return frozenset(f"{module} {name}" for kind in kinds for module, names in lists[kind].items() for name in names)


def load(path: Path, kinds: Iterable[str]) -> Any:
    """The object in a pickle or joblib file (compressed too).

    Raises Forbidden for a name off the list, and pickle.UnpicklingError for sizes that no honest file has.
    """
    names = allowed(*kinds)
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        if head[:1] == b"\x80" and not _has_wrappers(path):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                scan(data)
            return _Plain(file, names).load()
    return _load_joblib(path, names)


def _has_wrappers(path: Path) -> bool:
    """Whether joblib wrote its arrays beside the pickle's opcodes; a plain pickle never names the wrapper."""
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(2**20):
            if b"NumpyArrayWrapper" in tail + chunk or b"NDArrayWrapper" in tail + chunk:
                return True
            tail = chunk[-32:]
    return False


class Columns(list):
    """The columns of a ColumnTransformer's remainder as scikit-learn 1.5 to 1.8 pickled them: a list with notes."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self[:] = state.get("data", [])


# Modules that older versions pickled under another name.
MOVED = {
    "_loss": "sklearn._loss._loss",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "scipy.sparse.coo": "scipy.sparse._coo",
    "scipy.sparse.csc": "scipy.sparse._csc",
    "scipy.sparse.csr": "scipy.sparse._csr",
}
GONE = {("sklearn.compose._column_transformer", "_RemainderColsList"): Columns}
SAFER = {("numpy", "memmap"): "ndarray"}  # called with a name, numpy.memmap makes or empties that file


def _find(names: frozenset[str], module: str, name: str) -> tuple[str, str, Any]:
    """The module and name to import, or what stands for a class that today's version no longer has."""
    if f"{module} {name}" not in names:
        raise Forbidden(f"{module}.{name}")
    return MOVED.get(module, module), SAFER.get((module, name), name), GONE.get((module, name))


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends with an error where a bomb would go on."""

    def __init__(self, stream: Any, packed: int) -> None:
        self._stream, self._left = stream, min(TOTAL, max(RATIO_FROM, RATIO * packed))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._stream.read(len(view))
        view[: len(data)] = data
        self._left -= len(data)
        if self._left < 0:
            raise pickle.UnpicklingError(f"the file unpacks to more than {RATIO} times its size, or than {TOTAL} bytes")
        return len(data)


class _Plain(pickle.Unpickler):
    def __init__(self, file: Any, names: frozenset[str]) -> None:
        super().__init__(file)
        self.names = names

    def find_class(self, module: str, name: str) -> Any:
        module, name, instead = _find(self.names, module, name)
        return instead or super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise Forbidden(f"the external object {str(pid)[:60]}")


class _Patient(io.BufferedReader):
    """Makes room for what is there, not for what is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size <= READ_SIZE:
            return super().read(size)
        parts = []
        while size > 0 and (block := super().read(min(size, READ_SIZE))):
            parts.append(block)
            size -= len(block)
        return b"".join(parts)


def _byte_array(unpickler: Any) -> None:
    """A byte array as long as its bytes; pickle's own reader makes one of the declared length first."""
    unpickler.append(bytearray(unpickler.read(int.from_bytes(unpickler.read(8), "little"))))


READ = {pickle.BYTEARRAY8[0]: _byte_array}


def _load_joblib(path: Path, names: frozenset[str]) -> Any:
    from joblib import numpy_pickle, numpy_pickle_utils

    class Inner(pickle._Unpickler):  # type: ignore[name-defined,misc]
        """The reader of what lies in an array of objects."""

        dispatch = {**pickle._Unpickler.dispatch, **READ}  # type: ignore[attr-defined]

    class Guarded(numpy_pickle.NumpyUnpickler):
        """joblib's reader, which would itself call pickle.load for arrays of objects."""

        def find_class(self, module: str, name: str) -> Any:
            module, name, instead = _find(names, module, name)
            return instead or super().find_class(module, name)

        def load_build(self) -> None:
            wrapper = self.stack[-2] if len(self.stack) > 1 else None
            if not isinstance(wrapper, numpy_pickle.NumpyArrayWrapper):
                pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]
                return
            state = self.stack[-1]
            if not isinstance(state, dict) or not getattr(state.get("dtype"), "hasobject", True):
                super().load_build()
                return
            pickle._Unpickler.load_build(self)  # type: ignore[attr-defined]
            inner = Inner(self.file_handle)
            inner.find_class = self.find_class  # type: ignore[method-assign]
            self.stack[-1] = inner.load()

        dispatch = {**numpy_pickle.NumpyUnpickler.dispatch, pickle.BUILD[0]: load_build, **READ}

    with path.open("rb") as file:
        with numpy_pickle_utils._validate_fileobject_and_memmap(file, str(path), None) as (stream, _):
            if isinstance(stream, str):
                raise pickle.UnpicklingError("the file was written by joblib before 0.10")
            bounded = _Patient(_Bounded(stream, path.stat().st_size), 2**20)
            return Guarded(str(path), bounded, ensure_native_byte_order=True).load()
