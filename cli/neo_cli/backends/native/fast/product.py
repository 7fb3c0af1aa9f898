"""The matrix product that Winograd convolutions and attention are made of, as a struct conv."""

from __future__ import annotations

from neo_cli.backends.native import schedule
from neo_cli.backends.native.operators import Context


def product(
    ctx: Context,
    rows: int,
    ins: int,
    lanes: int,
    outs: int,
    in_rows: int | None = None,
    out_rows: int | None = None,
    taps: int = 1,
) -> str:
    """The struct conv of a product of blocked rows with packed weights; the function has a `tap` of `taps` places."""
    plan = schedule.direct(ctx.cpu, 1, rows, ins, taps * lanes, outs, 0)
    lane = int(not ctx.cpu.broadcast and lanes % 4 == 0)

    def kernel(shape: tuple[int, int] | None, vectors: int) -> str:
        if shape is None or not vectors:
            return "0"
        name = f"conv_{shape[0]}x{shape[1]}x{vectors}_p{lanes}" + ("l" if lane else "")
        ctx.declare(f"CONV_TILE({name}, {shape[0]}, {shape[1]}, {vectors}, {lanes}, {lane}, 0)")
        return name

    whole, edge = (plan.tiles.rows, plan.tiles.columns), plan.tiles.edge
    widths = (plan.vectors, 1 if plan.vectors > 1 and outs % plan.vectors else 0)
    planes = [
        (count or rows) * lanes for count in (in_rows, out_rows)
    ]  # the rows of the tensors that these are part of
    return (
        f"{{.in_block = {planes[0]}, .out_plane = {planes[1]}, .images = 1, .height = 1, .width = {rows}, .blocks = {ins}, "
        f".panel = {plan.panel}, .taps = {taps}, .run = {lanes}, .pitch = {lanes}, .vectors = {plan.vectors}, "
        f".sections = {outs}, .rows = 1, .columns = {whole[1]}, .band = {plan.band}, .low = -__builtin_inff(), "
        f".high = __builtin_inff(), .tap = tap,\n     "
        f".tile = {{{kernel(whole, widths[0])}, {kernel(whole, widths[1])}}}, "
        f".edge = {{{kernel(edge, widths[0])}, {kernel(edge, widths[1])}}}, .edge_columns = {edge[1] if edge else 0}}}"
    )
