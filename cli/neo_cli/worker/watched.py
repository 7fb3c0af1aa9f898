"""Slow steps of an attempt in a thread of their own, while the attempt goes on looking at its job and its clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
LEFT_BEHIND: list[threading.Thread] = []


def watched(work: Callable[[], T], look: Callable[[], Any], pause: float, undo: Callable[[T], Any] | None = None) -> T:
    """The result of `work`. When `look` raises meanwhile, the thread is left behind and its result `undo`ne; without
    `undo` nobody waits for it."""
    result: list[T] = []
    errors: list[BaseException] = []
    lock, given_up = threading.Lock(), threading.Event()

    def carry_out() -> None:
        try:
            made = work()
        except BaseException as error:
            errors.append(error)
            return
        with lock:
            result.append(made)
            late = given_up.is_set()
        if late and undo:
            undo(made)

    thread = threading.Thread(target=carry_out, daemon=True)
    thread.start()
    try:
        while True:
            thread.join(pause)
            if not thread.is_alive():
                break
            look()
    except BaseException:
        with lock:
            given_up.set()
        if result and undo:
            undo(result[0])
        if undo:
            LEFT_BEHIND.append(thread)
        raise
    if errors:
        raise errors[0]
    return result[0]


def settle(seconds: float) -> None:
    """Give threads that were left behind `seconds` to undo what they began."""
    while LEFT_BEHIND:
        LEFT_BEHIND.pop().join(seconds)
