"""Einsum: the letters of the result in loops, the others summed inside."""

from __future__ import annotations

import math

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.loops import nest, strides
from neo_cli.backends.native.ops.reading import needed, text
from neo_cli.backends.native.ops.reduce import FAST

DOTS = "0123456789"  # the axes an ellipsis stands for


def terms(node: Node) -> tuple[list[str], str]:
    """The letters of each operand and of the result; the axes of an ellipsis are digits, counted from the last."""
    equation = text(node, "equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    letters = []
    width = 0
    for part, value in zip(left.split(","), node.inputs):
        assert value is not None
        hidden = len(value.shape) - len(part.replace("...", ""))
        width = max(width, hidden if "..." in part else 0)
        letters.append(part.replace("...", DOTS[:hidden][::-1]))
    dots = DOTS[:width][::-1]
    if not arrow:
        joined = "".join(letters)
        once = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in DOTS)
        return letters, dots + "".join(once)
    return letters, right.replace("...", dots)


@operator("Einsum")
def einsum(node: Node, ctx: Context) -> str:
    ctx.include("plain_types.h")
    y = node.outputs[0]
    letters, result = terms(node)
    sizes: dict[str, int] = {}
    for part, value in zip(letters, node.inputs):
        for letter, size in zip(part, value.shape):  # type: ignore[union-attr]
            sizes[letter] = max(size, sizes.get(letter, 1))

    def walk(part: str, shape: tuple[int, ...], along: str) -> list[int]:
        own = strides(shape)
        return [
            sum(s for c, s, n in zip(part, own, shape) if c == letter and n > 1) for letter in along
        ]  # fmt: skip

    summed = "".join(dict.fromkeys(c for part in letters for c in part if c not in result))
    outer = [walk(p, v.shape, result) for p, v in zip(letters, node.inputs)]  # type: ignore[union-attr]
    inner = [walk(p, v.shape, summed) for p, v in zip(letters, node.inputs)]  # type: ignore[union-attr]
    kind = types.compute(y.dtype)

    def body(at: list[str]) -> str:
        def product(p: list[str]) -> str:
            factors = [
                types.load(needed(node, k).dtype, f"x{k}", f"{at[k]} + {p[k]}") for k in range(len(letters))
            ]  # fmt: skip
            return f"a += {' * '.join(factors)};"

        total = nest([sizes[c] for c in summed], inner, product, share=False, name="r")
        return f"{FAST} {kind} a = 0; {total} {types.store(y.dtype, 'y0', at[-1], 'a')}"

    return nest(y.shape, [*outer, list(strides(y.shape))], body) if math.prod(y.shape) else ""
