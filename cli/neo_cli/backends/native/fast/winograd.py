"""3x3 convolutions by Winograd's algorithm, F(2x2) and F(4x4), of images and of the slices of volumes."""

from __future__ import annotations

import numpy as np

from neo_cli.backends.native import schedule
from neo_cli.backends.native.fast.activations import NONE, Act
from neo_cli.backends.native.fast.conv import blocks_of, pack, padded
from neo_cli.backends.native.fast.images import border
from neo_cli.backends.native.fast.product import product
from neo_cli.backends.native.fast.taps import taps_of
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator

PASSES = 64  # more are a loop, whose threads wait for each other
G = {
    2: np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
    4: np.array(
        [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    )
    / 24.0,
}


@operator("fast.Winograd")
def winograd(node: Node, ctx: Context) -> str:
    """The inputs and attributes of fast.Conv, and `m`, the outputs of a tile in each direction."""
    x, y, add, m = node.inputs[0], node.outputs[0], node.inputs[3], node.attrs["m"]
    assert x is not None
    lanes = ctx.cpu.lanes
    ic, (images, oc, oh, ow) = x.image[1], y.image
    window = taps_of(node)[0]
    kd, gap = window.kernel[0], window.dilations[0]
    sources = images + (kd - 1) * gap
    ins, outs, points = blocks_of(ic, lanes), blocks_of(oc, lanes), (m + 2) ** 2
    across, down = -(-ow // m), -(-oh // m)
    count = schedule.winograd_pass(ctx.cpu, points, ins * sources / images, outs, across * down, images)
    rest = across * down % count
    vectors = schedule.direct(ctx.cpu, 1, count * images, ins, kd * lanes, outs, 0).vectors
    spectrum = np.einsum("ai,ocdij,bj->abocd", G[m], window.weights.astype(np.float64), G[m], optimize=True)
    spectrum = spectrum.reshape(points, oc, ic, kd).astype(np.float32)
    packed = np.stack([pack(spectrum[p], lanes, lanes, vectors) for p in range(points)])
    ctx.include("winograd.h")
    ctx.declare(f"WINOGRAD({m})")
    sizes = [size for size in (count, rest) if size]
    products = [product(ctx, size * images, ins, lanes, outs, size * sources, taps=kd) for size in sizes]
    v = ctx.scratch(points * ins * sources * count * lanes)
    z = ctx.scratch(points * outs * images * count * lanes)
    act: Act = node.attrs.get("act") or NONE
    add_pitch = add.pitch if add is not None else (0, 0, 0)
    bias = node.inputs[2].const if node.inputs[2] is not None else None
    w, zero = ctx.constant(packed), ctx.constant(np.zeros(outs * lanes, np.float32))
    b = ctx.constant(padded(bias, oc, lanes))
    front, top, left = window.pads
    start = x.first - front * x.pitch[0] - top * x.pitch[2] - left * lanes
    c = f"winograd_{ctx.step}"
    taps = ["{" + ", ".join(str(i * gap * size * lanes) for i in range(kd)) + "}" for size in sizes]
    told = ",\n    ".join(p.replace(".tap = tap", f".tap = {c}_tap[{i}]") for i, p in enumerate(products))
    ctx.declare(f"""\
static const idx {c}_tap[][{kd}] = {{{", ".join(taps)}}};
static const struct conv {c}_products[] = {{
    {told}
}};
static const struct winograd {c} = {{
    .in_image = {x.pitch[0]}, .in_block = {x.pitch[1]}, .in_row = {x.pitch[2]},
    .out_image = {y.pitch[0]}, .out_plane = {y.pitch[1]}, .out_row = {y.pitch[2]},
    .add_image = {add_pitch[0]}, .add_plane = {add_pitch[1]}, .add_row = {add_pitch[2]},
    .points = {points}, .ins = {ins}, .outs = {outs}, .height = {oh}, .width = {ow}, .across = {across},
    .sources = {sources}, .images = {images}, .pass = {count}, .add_after = {int(bool(node.attrs.get("add_after")))},
    {act.fields(ctx)}, .product = {c}_products, .weights = {packed[0].size},
}};""")
    total, moved = across * down, [x.sample, 0 if add is None else add.sample, y.sample]
    added = f"x3 + {add.first} + sample * {moved[1]}" if add is not None else "0"
    calls = [
        f"winograd_in_{m}(&{c}, f, x0 + {start} + sample * {moved[0]}, {v}, first, size);",
        f"winograd_products(&{c}, f, {w}, {zero}, {v}, {z}, size);",
        f"winograd_out_{m}(&{c}, f, {z}, {b}, {added}, y0 + {y.first} + sample * {moved[2]}, first, size);",
    ]
    return border(y, ctx) + _passes(calls, y.samples, total, count)


def _passes(calls: list[str], samples: int, total: int, count: int) -> str:
    """The calls for `count` tiles after the other: each a step, or a loop in one step where there are very many."""
    firsts = range(0, total, count)
    if samples * len(firsts) > PASSES:
        inner = " BARRIER;\n    ".join([*calls, ""])
        return (
            f"for (idx sample = 0; sample < {samples}; sample++)\n"
            f"for (int first = 0; first < {total}; first += {count}) {{\n    const int size = MIN({count}, {total} - first);\n"
            f"    {inner.rstrip()}\n}}"
        )
    steps = [
        f"enum {{ sample = {sample}, first = {first}, size = {min(count, total - first)} }};\n{call}"
        for sample in range(samples)
        for first in firsts
        for call in calls
    ]
    return "\nPHASE;\n".join(steps)
