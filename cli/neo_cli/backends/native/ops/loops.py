"""Loop nests over strided operands: dimensions that lie together in every operand become one loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Strides = Sequence[int]


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Row-major strides."""
    found: list[int] = []
    step = 1
    for size in reversed(shape):
        found.append(step)
        step *= size
    return tuple(reversed(found))


def broadcast(shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """The strides with which a row-major operand of `shape` is read along `target`; 0 where it is repeated."""
    own = strides(shape)
    lead = len(target) - len(shape)
    return tuple(0 if d < lead or shape[d - lead] == 1 else own[d - lead] for d in range(len(target)))


def collapse(shape: Sequence[int], operands: Sequence[Strides]) -> tuple[list[int], list[list[int]]]:
    """Fewer, longer dimensions for the same walk; dimensions of size 1 vanish."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in operands]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(s[-1] == o[d] * size for s, o in zip(steps, operands, strict=True)):
            sizes[-1] *= size
            for s, o in zip(steps, operands, strict=True):
                s[-1] = o[d]
        else:
            sizes.append(size)
            for s, o in zip(steps, operands, strict=True):
                s.append(o[d])
    return sizes, steps


def index(step: Sequence[int], names: Sequence[str], start: int | str = 0) -> str:
    """The element index `start + sum(step * name)`."""
    terms = [name if s == 1 else f"{name} * {s}" for s, name in zip(step, names, strict=True) if s]
    if start not in (0, "0", ""):
        terms.append(str(start))
    return " + ".join(terms) or "0"


def nest(
    shape: Sequence[int],
    operands: Sequence[Strides],
    body: Callable[[list[str]], str],
    starts: Sequence[int | str] = (),
    share: bool = True,
    name: str = "i",
) -> str:
    """Loops over `shape` around `body(index of each operand)`; the threads share the work unless told not to."""
    if math.prod(shape) == 0:
        return ""
    sizes, steps = collapse(shape, operands)
    names = [f"{name}{d}" for d in range(len(sizes))]
    offsets = [*starts, *[0] * (len(operands) - len(starts))]
    inner = body([index(s, names, o) for s, o in zip(steps, offsets, strict=True)])
    split = _split(sizes) if share else -1
    heads = []
    for d, (size, var) in enumerate(zip(sizes, names, strict=True)):
        first, last = ("begin", "end") if d == split else ("0", str(size))
        heads.append(f"for (idx {var} = {first}; {var} < {last}; {var}++)")
    text = "\n".join(heads) + (" " if heads else "") + f"{{ {inner} }}"
    if not share:
        return text
    if not sizes:
        return f"if (tid == 0) {text}"
    return f"{{ SPLIT({sizes[split]});\n{text} }}"


def _split(sizes: Sequence[int]) -> int:
    """The loop the threads share: the outermost one when it is long enough, else the longest of the outer ones."""
    for d, size in enumerate(sizes):
        if size >= 16:
            return d
    return max(range(len(sizes)), key=lambda d: sizes[d]) if sizes else -1


def rows(shape: Sequence[int], axis: int) -> tuple[int, int, int]:
    """(outer, size of the axis, inner): the three-dimensional form of work along one axis."""
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
