"""Recorded runs of AWS CLI 2.36.7, byte for byte; what departs on purpose stands in docs/departures.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from golden.compare import differences
from golden.endpoint import Server, serving
from golden.runner import can_run, replay

HERE = Path(__file__).resolve().parent
CASES: list[dict[str, Any]] = json.loads((HERE / "cases.json").read_text(encoding="utf-8"))
PAGE = HERE.parents[1] / "docs" / "departures.md"
WAITING = {"err.boom", "err.throttle", "err.html", "err.timeout"}  # retries with pauses, and a real timeout


def known() -> dict[str, str]:
    """Case id → number of its kind, from the table of docs/departures.md."""
    found = {}
    for row in re.findall(r"(?m)^\| (\d+) \|(.*)\|$", PAGE.read_text(encoding="utf-8")):
        for case in re.findall(r"`((?:[a-z]+[a-z0-9-]*\.)+[A-Za-z0-9.-]+)`", row[1].rpartition("|")[2]):
            found[case] = row[0]
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def _cases() -> list[Any]:
    return [
        pytest.param(case, id=case["id"], marks=[pytest.mark.slow] if case["id"] in WAITING else []) for case in CASES
    ]


@pytest.mark.parametrize("case", _cases())
def test_a_recorded_run(case: dict[str, Any], server: Server, tmp_path: Path) -> None:
    if not can_run(case):
        pytest.skip("util-linux's script is not here")
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    found = differences(case, replay(case, server, home, work))
    if case["id"] in known():
        assert found, "this case departs no longer: take it out of docs/departures.md"
    else:
        assert not found


def test_departures_are_few_and_recorded() -> None:
    ids = {case["id"] for case in CASES}
    assert known().keys() <= ids
    kinds = re.findall(r"(?m)^\| (\d+) \|", PAGE.read_text(encoding="utf-8"))
    assert kinds == [str(n) for n in range(1, len(kinds) + 1)]
    assert len(kinds) <= 8
