"""Damaged files for every binary reader: each is read or refused, and nothing else happens."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from fuzz.readers import READERS

COUNT = {"tflite": 400, "onnx": 200, "weights": 100, "archive": 60}


def damaged(seed: bytes, choose: random.Random) -> bytes:
    """Bytes changed, cut, doubled or filled, as files get damaged and attackers try."""
    data = bytearray(seed)
    for _ in range(choose.randint(1, 6)):
        place = choose.randrange(len(data) or 1)
        kind = choose.random()
        if kind < 0.6 and data:
            data[place] = choose.choice([0, 1, 127, 128, 255, choose.randrange(256)])
        elif kind < 0.75:
            del data[place : place + choose.randint(1, 16)]
        elif kind < 0.9:
            data[place:place] = data[place : place + choose.randint(1, 32)]
        else:
            data[place : place + 8] = choose.choice([b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7])
    return bytes(data[: choose.randrange(len(data) + 1)] if choose.random() < 0.1 else data)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n == "tflite" else []) for n in READERS])
@pytest.mark.filterwarnings("ignore")  # numpy warns of what damaged numbers do
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    if name == "tflite":
        pytest.importorskip("tensorflow")
    reader, choose = READERS[name], random.Random(name)
    seed, file = reader.seed(), tmp_path / reader.name
    file.write_bytes(seed)
    reader.read(file)  # the seed itself is honest
    tracemalloc.start()
    for _ in range(COUNT.get(name, 300)):
        file.write_bytes(damaged(seed, choose))
        reader.read(file)
    assert tracemalloc.get_traced_memory()[1] < 2**28  # sizes in a header are not believed
    tracemalloc.stop()
