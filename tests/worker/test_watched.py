"""Slow steps are looked at while they run, and undone when they come too late."""

from __future__ import annotations

import threading

import pytest

from neo_cli.worker.watched import LEFT_BEHIND, settle, watched


class Enough(Exception):
    pass


def test_the_result_comes_back_and_errors_too() -> None:
    looks: list[int] = []
    gate = threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 3:
            gate.set()

    assert watched(lambda: gate.wait(10), look, 0.01, lambda made: None) is True and len(looks) >= 3
    with pytest.raises(ValueError, match="no"):
        watched(lambda: int("no"), look, 0.01, lambda made: None)


def test_what_comes_too_late_is_undone_once() -> None:
    gate, undone = threading.Event(), []

    def look() -> None:
        raise Enough

    with pytest.raises(Enough):
        watched(lambda: gate.wait(10) and "made", look, 0.01, undone.append)
    assert undone == []
    gate.set()
    settle(10)
    assert undone == ["made"]


def test_nobody_waits_for_what_needs_no_undoing() -> None:
    gate = threading.Event()

    def look() -> None:
        raise Enough

    with pytest.raises(Enough):
        watched(lambda: gate.wait(30), look, 0.01)
    assert LEFT_BEHIND == []
    gate.set()
