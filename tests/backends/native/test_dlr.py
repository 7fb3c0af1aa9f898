"""The artifact as DLR's graph executor takes it: the parameter file, the graph, the packed function."""

from __future__ import annotations

import ctypes
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import compile
from neo_cli.targets.devices import targets


class DLTensor(ctypes.Structure):
    """DLPack's tensor, as TVM passes it."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def tensor(array: np.ndarray) -> DLTensor:
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    code = {"f": 2, "i": 0, "u": 1}[array.dtype.kind]
    return DLTensor(array.ctypes.data, 1, 0, array.ndim, code, array.itemsize * 8, 1, shape, None, 0)


def aligned(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


def parameters(path: Path) -> dict[str, np.ndarray]:
    """TVM's parameter file, read by its own layout."""
    data, at = path.read_bytes(), 0

    def take(form: str) -> tuple:
        nonlocal at
        found = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return found

    assert take("QQ") == (0xF7E58D4F05049CB7, 0)
    names = []
    for _ in range(take("Q")[0]):
        (size,) = take("Q")
        names.append(data[at : at + size].decode())
        at += size
    found = {}
    assert take("Q")[0] == len(names)
    for name in names:
        assert take("QQ") == (0xDD5E40F096B4A13F, 0)
        _, _, rank = take("iii")
        assert take("BBH") == (1, 8, 1)
        shape = take(f"{rank}q")
        (size,) = take("q")
        assert size == int(np.prod(shape))
        found[name] = np.frombuffer(data, np.uint8, size, at)
        assert at % 64 == 0
        at += size
    assert at == len(data)
    return found


@pytest.mark.parametrize("name", ["resnet50", "bert"])
def test_the_graph_executor_s_way_gives_the_same_numbers(tmp_path: Path, name):
    model = as_model(BUILDERS[name](True), tmp_path)
    build = compile(model, targets()["LINUX_X86_64"], {}, tmp_path)
    assert sorted(build.files) == ["compiled.params", "compiled.so", "compiled_model.json"]
    graph = json.loads(build.files["compiled_model.json"].read_text())
    types, shapes = graph["attrs"]["dltype"][1], graph["attrs"]["shape"][1]
    values = [aligned(tuple(s), t) for t, s in zip(types, shapes)]
    feed = feeds(model)
    given = {**feed, **parameters(build.files["compiled.params"])}
    for index in graph["arg_nodes"]:
        values[index][...] = given[graph["nodes"][index]["name"]]
    values[-1][...] = 0xFF
    operation = graph["nodes"][-1]
    structs = [tensor(v) for v in values]
    arguments = (ctypes.c_void_p * len(structs))(*(ctypes.addressof(s) for s in structs))
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        pytest.skip("arguments are 8 bytes wide")
    call = getattr(ctypes.CDLL(str(build.files["compiled.so"])), operation["attrs"]["func_name"])
    assert call(arguments, None, len(structs), None, None, None) == 0
    row = graph["node_row_ptr"]
    found = {t.name: values[row[node] + index] for t, (node, index, _) in zip(model.outputs, graph["heads"])}
    assert error(found, model.oracle(feed)) < 5e-6
    assert call(arguments, None, 1, None, None, None) == -1
