"""Runs a library of the native compiler: its weights mapped, its threads kept together and asleep when idle."""

from __future__ import annotations

import _ctypes
import ctypes
import mmap
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.runtime import cpu
from neo_cli.runtime.errors import ArtifactError

ALIGN = 64
ROWS = 64  # fewer of a free batch are not worth another thread
_WAIT = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Engine:
    """One loaded library; `run` may be called from several threads, one after the other."""

    def __init__(self, folder: Path, record: dict[str, Any], threads: int | None) -> None:
        settings = _best(record["settings"])
        self.library = open_library(folder / settings["library"])
        if b"amx_tile" in self.library.neo_features().split():
            request_tiles()
        self.inputs, self.outputs = record["inputs"], record["outputs"]
        self._map, self._weights = _weights(self.library, folder, settings)
        self._lock = threading.Lock()
        self._team = _threads(self.library, max(1, threads or 1))
        self._scratch = _aligned(self.library.neo_scratch_bytes(self._team.threads))
        self._pool: ThreadPoolExecutor | None = None
        self._stage: tuple[list[np.ndarray], list[np.ndarray], tuple[Any, ...]] | None = None
        self._free = any(t["shape"][:1] == [-1] for t in self.inputs)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._free and len(inputs[self.inputs[0]["name"]]) == 1:
            return self._row(inputs)
        feeds = [np.ascontiguousarray(inputs[t["name"]]) for t in self.inputs]
        rows = len(feeds[0]) if self._free else 1
        found = [np.empty([rows if size == -1 else size for size in t["shape"]], t["dtype"]) for t in self.outputs]
        with self._lock:
            if self._free:
                self._rows(feeds, found, rows)
            else:
                self._team.run(_pointers(feeds), _pointers(found), self._weights, self._scratch.ctypes.data)
        return {t["name"]: array for t, array in zip(self.outputs, found)}

    def _row(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """One row of a free batch, by way of buffers whose addresses are known: to ask for one takes longer than a small model."""
        with self._lock:
            if self._stage is None:
                given, made = (
                    [np.zeros([abs(size) for size in t["shape"]], t["dtype"]) for t in group]
                    for group in (self.inputs, self.outputs)
                )
                tables = (_pointers(given), _pointers(made), self._weights, self._scratch.ctypes.data)
                self._stage = given, made, tables
            given, made, tables = self._stage
            for array, tensor in zip(given, self.inputs):
                array[...] = inputs[tensor["name"]]
            self.library.neo_rows(*tables, 1)
            return {tensor["name"]: array.copy() for array, tensor in zip(made, self.outputs)}

    def _rows(self, feeds: list[np.ndarray], found: list[np.ndarray], rows: int) -> None:
        """Rows are independent of each other: each thread takes a part of many, with a scratch of its own."""
        parts = max(1, min(self._team.threads, rows // ROWS))
        scratch = [self._scratch, *(_aligned(self._scratch.nbytes) for _ in range(parts - 1))]
        edges = [rows * part // parts for part in range(parts + 1)]

        def run(part: int) -> None:
            own = slice(edges[part], edges[part + 1])
            given, made = _pointers([f[own] for f in feeds]), _pointers([f[own] for f in found])
            self.library.neo_rows(given, made, self._weights, scratch[part].ctypes.data, own.stop - own.start)

        if parts > 1:
            self._pool = self._pool or ThreadPoolExecutor(self._team.threads, "neo-rows")
            list(self._pool.map(run, range(parts)))
        else:
            run(0)

    def close(self) -> None:
        self._team.close()
        if self._pool is not None:
            self._pool.shutdown()


def _threads(library: ctypes.CDLL, threads: int) -> _Team | _Crew:
    """The library's own team where it has one (Linux), else threads of ours."""
    return _Crew(library, threads) if threads > 1 and not library.neo_team_bytes() else _Team(library, threads)


class _Crew:
    """Threads of Python's that meet at a barrier of Python's after each step: tens of microseconds a step."""

    def __init__(self, library: ctypes.CDLL, threads: int) -> None:
        self.library, self.threads = library, threads
        self._barrier = threading.Barrier(threads)
        self._fault: BaseException | None = None
        self._callback = _WAIT(self._wait)  # kept: the library calls it
        self._pool = ThreadPoolExecutor(threads - 1, "neo-crew")

    def _wait(self, _: int | None) -> None:
        try:
            self._barrier.wait()
        except BaseException as fault:  # an interrupt must not be lost in the library, nor leave the others waiting
            if self._fault is None:
                self._fault = fault
            self._barrier.abort()

    def run(self, inputs: Any, outputs: Any, weights: int, scratch: int) -> None:
        wait = ctypes.cast(self._callback, ctypes.c_void_p)

        def part(thread: int) -> None:
            self.library.neo_run(inputs, outputs, weights, scratch, thread, self.threads, wait, None)

        others = [self._pool.submit(part, thread) for thread in range(1, self.threads)]
        part(0)
        for other in others:
            other.result()
        if self._fault is not None:
            fault, self._fault = self._fault, None
            self._barrier.reset()
            raise fault

    def close(self) -> None:
        self._pool.shutdown()


class _Team:
    """The library's own team where it has one (Linux), else one thread."""

    def __init__(self, library: ctypes.CDLL, threads: int) -> None:
        self.library = library
        size = library.neo_team_bytes()
        self.threads = min(threads, ctypes.sizeof(ctypes.c_void_p) * 4) if size else 1
        self._memory = _aligned(max(size, ALIGN), zero=True)
        self._address = self._memory.ctypes.data
        library.neo_team_start(self._address, self.threads)
        self._workers = [
            threading.Thread(target=_work, args=(library, self._memory, index), daemon=True)
            for index in range(1, self.threads)
        ]
        for worker in self._workers:
            worker.start()

    def run(self, inputs: Any, outputs: Any, weights: int, scratch: int) -> None:
        self.library.neo_team_run(self._address, inputs, outputs, weights, scratch)

    def close(self) -> None:
        self.library.neo_team_stop(self._address)
        for worker in self._workers:
            worker.join()
        self._workers = []


def _weights(library: ctypes.CDLL, folder: Path, settings: dict[str, Any]) -> tuple[mmap.mmap | None, int]:
    """The mapped file, which must outlive the runs, and the weights' address; no file when the library holds them."""
    if "weights" not in settings:
        library.neo_weights.restype = ctypes.c_void_p
        return None, library.neo_weights()
    if not library.neo_weights_bytes():
        return None, 0
    with (folder / settings["weights"]).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return mapped, np.frombuffer(mapped, np.uint8).ctypes.data + int(settings["weights_offset"])


def _best(settings: dict[str, Any]) -> dict[str, Any]:
    """Of a fat artifact's libraries the last, which is the fastest, whose features this CPU has."""
    fitting = [v for v in settings.get("variants", []) if not cpu.missing(v["features"])]
    return fitting[-1] if fitting else settings


def request_tiles() -> None:
    """Ask Linux for AMX's tile registers: a process has none until it asks (Documentation/arch/x86/xstate.rst, Linux 5.16).

    ArtifactError when they are not there, or not given.
    """
    arch_prctl, request, tile_data = 158, 0x1023, 18
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(arch_prctl, request, tile_data):
        told = os.strerror(ctypes.get_errno())
        raise ArtifactError(
            f"The artifact computes in AMX's tile registers, and Linux gives this process none: {told}."
        )


def open_library(path: Path) -> ctypes.CDLL:
    """The library at `path` as it is now: the loader knows libraries by name, and would give back what once lay there."""
    descriptor = os.open(path, os.O_RDONLY) if Path("/proc/self/fd").is_dir() else None
    name = str(path.resolve()) if descriptor is None else f"/proc/self/fd/{descriptor}"
    library = ctypes.CDLL(name)
    library.path, library.descriptor = path, descriptor  # type: ignore[attr-defined]
    for name in ("neo_scratch_bytes", "neo_weights_bytes", "neo_team_bytes"):
        getattr(library, name).restype = ctypes.c_size_t
    library.neo_features.restype = ctypes.c_char_p
    address, number = ctypes.c_void_p, ctypes.c_int32
    library.neo_scratch_bytes.argtypes = [number]
    library.neo_team_start.argtypes = library.neo_team_work.argtypes = [address, number]
    library.neo_team_stop.argtypes = [address]
    library.neo_team_run.argtypes = [address] * 5
    for name in ("neo_team_start", "neo_team_work", "neo_team_run", "neo_team_stop", "neo_run"):
        getattr(library, name).restype = None
    library.neo_rows.restype, library.neo_rows.argtypes = None, [address] * 4 + [ctypes.c_int64]
    library.neo_run.argtypes = [address] * 4 + [number, number, address, address]
    return library


def close_library(library: ctypes.CDLL) -> None:
    """Unload it; none of its functions may be called afterwards."""
    descriptor: int | None = library.__dict__["descriptor"]
    if descriptor is not None:
        _ctypes.dlclose(library._handle)
        os.close(descriptor)


def _pointers(arrays: list[np.ndarray]) -> Any:
    return (ctypes.c_void_p * max(1, len(arrays)))(*(a.ctypes.data for a in arrays))


def _aligned(size: int, zero: bool = False) -> np.ndarray:
    """Bytes that begin at a multiple of 64."""
    raw = (np.zeros if zero else np.empty)(size + ALIGN, np.uint8)
    start = -raw.ctypes.data % ALIGN
    return raw[start : start + size]


def _work(library: ctypes.CDLL, memory: np.ndarray, index: int) -> None:
    """One worker's life. It holds the team's memory: given back too early, another team's would be taken for it."""
    library.neo_team_work(memory.ctypes.data, index)
