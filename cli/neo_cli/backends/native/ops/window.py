"""Sliding windows of any spatial rank: their geometry, and loops over the taps of one row of results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.ops.reading import integers, text

# How many steps of a row lie left of the image, and up to which it is inside.
HELP = """
static inline idx pm_low(idx gap, idx step) { return gap <= 0 ? 0 : (gap + step - 1) / step; }
static inline idx pm_high(idx room, idx step, idx span) { const idx n = room < 0 ? 0 : room / step + 1; return n < span ? n : span; }
"""


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations and the padding before and after, one entry for each spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def rank(self) -> int:
        return len(self.kernel)

    @property
    def reach(self) -> tuple[int, ...]:
        """What the kernel covers, dilated."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations))


def window(node: Node, kernel: Sequence[int], size: Sequence[int], out: Sequence[int]) -> Window:
    """The window of a convolution or pooling node that makes `out` from `size`."""
    rank = len(kernel)
    steps = integers(node, "strides") or [1] * rank
    gaps = integers(node, "dilations") or [1] * rank
    pads = integers(node, "pads") or [0] * (2 * rank)
    before, after = pads[:rank], pads[rank:]
    auto = text(node, "auto_pad", "NOTSET")
    if auto == "VALID":
        before, after = [0] * rank, [0] * rank
    elif auto.startswith("SAME"):
        total = [
            max(0, (o - 1) * s + (k - 1) * d + 1 - i) for o, s, k, d, i in zip(out, steps, kernel, gaps, size)
        ]  # fmt: skip
        small = [t // 2 for t in total]
        large = [t - s for t, s in zip(total, small)]
        before, after = (small, large) if auto == "SAME_UPPER" else (large, small)
    return Window(tuple(kernel), tuple(steps), tuple(gaps), tuple(before), tuple(after))


def row_head(count: int, out: Sequence[int], block: int = 256) -> tuple[str, int]:
    """The loop over pieces of rows: declares `m` (below `count`), o0.. (outer positions), `first`, `span`; its piece size."""
    width = out[-1]
    block = min(width, block)
    pieces = -(-width // block)
    rows = math.prod(out[:-1])
    lines, inner = [], rows
    for d, size in enumerate(out[:-1]):
        inner //= size
        lines.append(f"const idx o{d} = row / {inner} % {size};")
    return (
        f"""SPLIT({count * rows * pieces});
for (idx item = begin; item < end; item++) {{
const idx m = item / {rows * pieces}, row = item / {pieces} % {rows}, first = item % {pieces} * {block};
const idx span = {width} - first < {block} ? {width} - first : {block}; (void)m; (void)row;
{" ".join(lines)}""",
        block,
    )


def taps(win: Window, size: Sequence[int], action: Callable[[str, str], str], base: str) -> str:
    """For each tap of the row's windows that lies in the image: action(index of the element for j, tap number).

    `base` is where the image starts; the action is the body of the loop over j.
    """
    heads, place, flat = [], [base], []
    inner_image, inner_kernel = math.prod(size), math.prod(win.kernel)
    for d in range(win.rank - 1):
        inner_image //= size[d]
        inner_kernel //= win.kernel[d]
        heads.append(
            f"for (idx k{d} = 0; k{d} < {win.kernel[d]}; k{d}++) {{ "
            f"const idx p{d} = o{d} * {win.strides[d]} - {win.before[d]} + k{d} * {win.dilations[d]}; "
            f"if (p{d} < 0 || p{d} >= {size[d]}) continue;"
        )
        place.append(f"p{d} * {inner_image}")
        flat.append(f"k{d} * {inner_kernel}")
    step, gap, pad, width = win.strides[-1], win.dilations[-1], win.before[-1], size[-1]
    tap = " + ".join([*flat, "k"])
    body = action(f"at + j * {step}" if step > 1 else "at + j", tap)
    return f"""{" ".join(heads)}
for (idx k = 0; k < {win.kernel[-1]}; k++) {{
const idx shift = first * {step} + k * {gap} - {pad}, at = {" + ".join(place)} + shift;
const idx low = pm_low(-shift, {step}), high = pm_high({width - 1} - shift, {step}, span);
{body.replace("FOR_J", "for (idx j = low; j < high; j++)")}
}}{" }" * len(heads)}"""
