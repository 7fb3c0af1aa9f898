"""Several convolutions in bands of rows."""

from __future__ import annotations

from neo_cli.backends.native.fast.images import border
from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.operators import Context, operator


@operator("fast.Band")
def band(node: Node, ctx: Context) -> str:
    """attr `parts`: a convolution, a depthwise one, a pointwise one; outputs: the last's, the middle's, the first's."""
    first, middle, _ = node.attrs["parts"]
    calls = [ctx.part(part) for part in node.attrs["parts"]]
    borders = "".join(border(value, ctx, f"y{index}") for index, value in enumerate(node.outputs))
    height, inner = node.outputs[0].image[2], first.outputs[0].image[2]
    stride, pad = middle.attrs["strides"][0], middle.attrs["pads"][0]
    reach = (middle.inputs[1].shape[2] - 1) * middle.attrs["dilations"][0] + 1
    size = node.attrs["band"]
    return f"""\
{borders + "PHASE;" if borders else ""}
struct frame part = *f;
part.tid = 0, part.nt = 1;
SPLIT({height});
int made = -1; /* rows of the first tensor that are there */
for (int top = begin; top < end; top += {size}) {{
    const int bottom = MIN(top + {size}, (int)end);
    const int from = MAX(made, MAX(0, top * {stride} - {pad})), to = MIN({inner}, (bottom - 1) * {stride} - {pad} + {reach});
    if (from < to) {{
        part.top = from, part.bottom = to;
        {calls[0]}(&part);
    }}
    made = to;
    part.top = top, part.bottom = bottom;
    {calls[1]}(&part);
    {calls[2]}(&part);
}}"""
