"""The store under processes that are killed at any moment: nothing acknowledged is lost, nothing ends twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.stress import GOOD, drive


@pytest.mark.parametrize(
    ("processes", "jobs", "kills"),
    [(4, 80, 16), pytest.param(8, 600, 80, marks=pytest.mark.long)],
)
def test_promises_hold_whoever_is_killed(tmp_path: Path, processes: int, jobs: int, kills: int) -> None:
    figures = drive(tmp_path, processes, jobs, kills, seed=7)
    assert figures["killed"] > kills // 3 and figures["lost_attempts"] and figures["transitions"] > 2 * jobs
    assert {name: count for name, count in figures.items() if name not in GOOD and count} == {}
