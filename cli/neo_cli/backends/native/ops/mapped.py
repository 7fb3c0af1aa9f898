"""Copies through a table for each axis: the position of the source element for every position of the result."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from neo_cli.backends.native.operators import Context
from neo_cli.backends.native.ops.loops import nest, strides


def affine(table: Sequence[int]) -> tuple[int, int] | None:
    """(first, step) when the table is a straight line."""
    if len(table) < 2:
        return (table[0] if table else 0), 0
    step = table[1] - table[0]
    return (table[0], step) if all(b - a == step for a, b in itertools.pairwise(table)) else None


def mapped(ctx: Context, source: Sequence[int], target: Sequence[int], tables: Sequence[Sequence[int]]) -> str:
    """y0[i, j, ...] = x0[tables[0][i], tables[1][j], ...]; straight tables become strides."""
    own, walks, start = strides(source), [], 0
    curved: list[tuple[int, str]] = []
    for axis, table in enumerate(tables):
        line = affine(table)
        if line is None:
            walks.append(0)
            curved.append((axis, ctx.constant(np.array([t * own[axis] for t in table], np.int32))))
        else:
            start += line[0] * own[axis]
            walks.append(line[1] * own[axis])
    if not curved:
        return nest(target, [walks, strides(target)], lambda at: f"y0[{at[1]}] = x0[{at[0]}];", [start])
    # each curved axis is an operand of its own, whose index is the position on that axis
    counters = [[1 if d == axis else 0 for d in range(len(target))] for axis, _ in curved]

    def body(at: list[str]) -> str:
        jumps = " + ".join(f"{name}[{at[2 + k]}]" for k, (_, name) in enumerate(curved))
        return f"y0[{at[1]}] = x0[{at[0]} + {jumps}];"

    return nest(target, [walks, strides(target), *counters], body, [start])
