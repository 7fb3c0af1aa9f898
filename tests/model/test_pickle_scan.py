"""Opcodes that claim what no honest pickle has are refused before CPython's reader believes them."""

from __future__ import annotations

import pickle
import struct
import tracemalloc
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.model import unpickle
from neo_cli.model.pickle_scan import DEPTH, Absurd, scan

HEAD = b"\x80\x04"
CLAIMS = {
    "a memo number (LONG_BINPUT)": HEAD + b"]r" + struct.pack("<I", 2**31) + b".",
    "a memo number (PUT)": HEAD + b"]p1000000000\n.",
    "a memo number that is none": HEAD + b"]pone\n.",
    "a long text (BINUNICODE)": HEAD + b"X" + struct.pack("<I", 2**32 - 1) + b"x.",
    "a long text (BINUNICODE8)": HEAD + b"\x8d" + struct.pack("<Q", 2**40) + b"x.",
    "long bytes (BINBYTES8)": HEAD + b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
    "a long byte array (BYTEARRAY8)": b"\x80\x05\x96" + struct.pack("<Q", 2**45) + b"x.",
    "a long number (LONG4)": HEAD + b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.",
    "a negative length (LONG4)": HEAD + b"\x8b" + struct.pack("<i", -5) + b"x.",
    "a long frame": HEAD + b"\x95" + struct.pack("<Q", 2**50) + b"N.",
    "nested tuples": HEAD + b"N" + b"\x85" * (DEPTH + 1) + b".",
    "nested tuples as a key": HEAD + b"}N" + b"\x85" * 1_000_000 + b"Ns.",
    "nested marks": HEAD + b"(" * (DEPTH + 1) + b"t" * (DEPTH + 1) + b".",
    "a line without end": HEAD + b"c" + b"x" * 100_000,
    "no end": HEAD + b"]",
    "an unknown opcode": HEAD + b"\xff.",
}  # fmt: skip


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_is_refused_and_costs_nothing(claim: str, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(CLAIMS[claim])
    tracemalloc.start()
    with pytest.raises(Absurd, match=r"^the pickle('s)? [a-z]+") as caught:
        unpickle.load(tmp_path / "model", ("python",))
    assert tracemalloc.get_traced_memory()[1] < 64 * 2**20 and "\n" not in str(caught.value)
    tracemalloc.stop()


def test_a_chain_through_the_memo_is_followed() -> None:
    links = b"".join(b"h" + bytes([n % 256]) + b"\x85q" + bytes([(n + 1) % 256]) for n in range(DEPTH + 2))
    with pytest.raises(Absurd, match="nests objects more than"):
        scan(HEAD + b"Nq\x00" + links + b".")


nested = st.recursive(
    st.none() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.booleans(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=40,
)


@given(nested, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_honest_pickles_pass_in_every_protocol(value: object, protocol: int) -> None:
    data = pickle.dumps([value, value], protocol)
    assert scan(data) == len(data)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_so_do_objects_arrays_and_large_data(protocol: int) -> None:
    value = [
        OrderedDict(a={1, 2}, b=slice(3)),
        np.arange(300_000),
        np.array(["x", None], object),
        bytearray(70_000),
        2**5000,
    ]
    value += [[str(n)] for n in range(3000)]
    deep: object = ()
    for _ in range(DEPTH // 3):
        deep = (deep, [deep])
    data = pickle.dumps([*value, value], protocol)
    assert scan(data) == len(data)
    assert scan(b"xx" + pickle.dumps(deep, protocol), 2) == len(pickle.dumps(deep, protocol)) + 2
