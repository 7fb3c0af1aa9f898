"""Damaged files for every binary reader: each is read or refused, and nothing else happens."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from fuzz.readers import READERS

COUNT = {"tflite": 400, "onnx": 200, "weights": 100, "archive": 60}
NEEDS = {"tflite": "tensorflow"}
ELSEWHERE = {"keras"}  # HDF5's own library may go round in circles on a damaged file; the job's time limit ends it
CORPUS = Path(__file__).with_name("corpus")


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


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n == "tflite" else []) for n in READERS if n not in ELSEWHERE]
)
@pytest.mark.filterwarnings("ignore")  # numpy warns of what damaged numbers do
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    needs = NEEDS.get(name)
    if needs:
        pytest.importorskip(needs)
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


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name[:12]}")
@pytest.mark.filterwarnings("ignore")
def test_what_once_broke_a_reader_breaks_none_now(file: Path, tmp_path: Path) -> None:
    """Inputs that fuzzing found, each under the name of its reader."""
    reader = READERS[file.parent.name]
    (tmp_path / reader.name).write_bytes(file.read_bytes())
    tracemalloc.start()
    reader.read(tmp_path / reader.name)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**28
