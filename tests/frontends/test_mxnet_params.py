"""The .params reader: every version of the format, and no broken file that it does not refuse in one sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models import mxnet_symbols
from neo_cli.frontends.mxnet_params import read_params
from neo_cli.frontends.mxnet_symbol import FormatError

ARRAYS = {
    "arg:w": np.arange(12, dtype=np.float32).reshape(3, 4),
    "arg:h": np.arange(6, dtype=np.float16),
    "arg:i": np.arange(8, dtype=np.int64).reshape(2, 2, 2),
    "aux:m": np.ones(1, np.float64),
    "arg:u": np.arange(5, dtype=np.uint8),
    "arg:s": np.arange(5, dtype=np.int8),
    "arg:t": np.arange(4, dtype=np.int32),
}


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_version_gives_the_same_arrays(version: int, tmp_path: Path) -> None:
    file = tmp_path / "a.params"
    file.write_bytes(mxnet_symbols.pack(ARRAYS, version))
    found = read_params(file)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def refused(content: bytes, folder: Path) -> str:
    (folder / "a.params").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_params(folder / "a.params")
    return str(caught.value)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    head = struct.pack("<QQQ", 0x112, 0, 1)
    array = struct.pack("<Iii", 0xF993FAC9, 0, 1)
    filler = b"\0" * 64
    assert refused(b"", tmp_path) == "a.params is no MXNet parameter file."
    assert refused(b"PK" + filler, tmp_path) == "a.params is no MXNet parameter file."
    assert refused(struct.pack("<QQQ", 0x112, 0, 2**60), tmp_path) == (
        f"a.params says it holds {2**60} arrays, more than its size allows."
    )
    assert refused(head + struct.pack("<Ii", 0xF993FAC9, 1) + filler, tmp_path) == (
        "a.params holds a sparse array; save it dense."
    )
    assert refused(head + struct.pack("<Iii", 0xF993FAC9, 0, 99) + filler, tmp_path) == (
        "a.params holds an array of 99 dimensions."
    )
    assert refused(head + array + struct.pack("<qiii", 4, 1, 0, 77) + filler, tmp_path) == (
        "a.params holds an array of the unknown type 77."
    )
    assert refused(head + array + struct.pack("<qiii", -4, 1, 0, 0) + filler, tmp_path) == (
        "a.params holds an array with the dimension -4, which its size does not allow."
    )
    assert refused(head + array + struct.pack("<qiii", 2**50, 1, 0, 0), tmp_path) == (
        f"a.params holds an array with the dimension {2**50}, which its size does not allow."
    )
    assert refused(head + array + struct.pack("<qiii", 40, 1, 0, 0), tmp_path) == (
        "a.params ends early: 160 bytes are missing at 56."
    )
    whole = mxnet_symbols.pack({"arg:w": np.ones(2, np.float32)})
    assert refused(whole[:-21] + struct.pack("<Q", 5), tmp_path) == "a.params has 1 arrays but 5 names."


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_broken_file_raises_anything_else(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(mxnet_symbols.pack(ARRAYS, data.draw(st.sampled_from([0, 1, 2]))))
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(16, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    file = tmp_path / f"{data.draw(st.integers(0, 10**9))}.params"
    file.write_bytes(content)
    try:
        found = read_params(file)
    except FormatError:
        return
    assert sum(array.nbytes for array in found.values()) <= len(content)
