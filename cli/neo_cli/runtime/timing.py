"""Latencies of several models, measured in turn so that a busy moment hits them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median, quantiles

LONGEST_BLOCK = 5000  # runs; a tiny model needs no more


@dataclass(frozen=True)
class Timing:
    """Seconds a run: the middle one, the best, the one that nine of ten stay under, the middle of the quietest round."""

    median: float
    min: float
    p90: float
    runs: int
    steady: float


def interleave(calls: Mapping[str, Callable[[], object]], seconds: float = 2.0, rounds: int = 5) -> dict[str, Timing]:
    """Time every call within about `seconds` in all; each has a block in every round, whose first run warms up.

    The engines' threads spin for a while after a run, so each block starts with an unmeasured one.
    """
    samples: dict[str, list[list[float]]] = {name: [] for name in calls}
    share = seconds / max(1, rounds * len(calls))
    for _ in range(rounds):
        for name, call in calls.items():
            end = time.perf_counter() + share
            call()
            block: list[float] = []
            samples[name].append(block)
            while True:
                start = time.perf_counter()
                call()
                done = time.perf_counter()
                block.append(done - start)
                if done >= end or len(block) >= LONGEST_BLOCK:
                    break
    return {name: _timing(blocks) for name, blocks in samples.items()}


def _timing(blocks: list[list[float]]) -> Timing:
    values = [value for block in blocks for value in block]
    p90 = quantiles(values, n=10)[-1] if len(values) > 1 else values[0]
    return Timing(
        median(values), min(values), min(p90, max(values)), len(values), min(median(block) for block in blocks)
    )
