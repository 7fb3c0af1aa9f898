"""The rule that turns any entry of EXPRESSIONS into one broadcasting loop."""

from __future__ import annotations

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import quantised_expressions, types
from neo_cli.backends.native.ops.expressions import EXPRESSIONS, Operand
from neo_cli.backends.native.ops.loops import broadcast, nest
from neo_cli.backends.native.ops.reading import integer, uniform

assert quantised_expressions  # its import fills EXPRESSIONS


def pointwise(node: Node, ctx: Context) -> str:
    """One loop over the output; inputs are broadcast, uniform constants stand in the text."""
    ctx.include("plain_types.h")
    out = node.outputs[0]
    rule = EXPRESSIONS[node.domain, node.op]
    if node.op == "Dropout" and len(node.inputs) > 2 and uniform(node.inputs[2]) not in (None, False):
        raise ctx.refuse(node, "training mode needs random numbers")
    reads: list[tuple[int, Value]] = []
    operands: list[Operand | None] = []
    for i, value in enumerate(node.inputs):
        if value is None or (node.op in ONE_INPUT and i > 0):
            operands.append(None)
            continue
        number = uniform(value)
        if number is not None:
            operands.append(Operand(types.literal(number, value.dtype), value.dtype, number))
        else:
            operands.append(Operand(f"v{i}", value.dtype))
            reads.append((i, value))
    text = rule(node, *operands)
    saturate = bool(integer(node, "saturate", 1))

    def body(at: list[str]) -> str:
        loads = [
            f"const {types.compute(v.dtype)} v{i} = {types.load(v.dtype, f'x{i}', at[k])};"
            for k, (i, v) in enumerate(reads)
        ]
        return " ".join([*loads, types.store(out.dtype, "y0", at[-1], text, saturate)])

    walks = [broadcast(v.shape, out.shape) for _, v in reads]
    loop = nest(out.shape, [*walks, broadcast(out.shape, out.shape)], body)
    if node.op == "Dropout" and len(node.outputs) > 1 and node.outputs[1].size:
        loop += f"\n{{ SPLIT({node.outputs[1].size}); for (idx i = begin; i < end; i++) y1[i] = 1; }}"
    return loop


ONE_INPUT = {"Dropout", "Identity", "CastLike"}  # what follows the first input does not enter the value

for _domain, _name in list(EXPRESSIONS):
    operator(_name, domain=_domain)(pointwise)


@operator("BitCast")
def bit_cast(node: Node, ctx: Context) -> str:
    """The same bytes under another type."""
    return f"{{ SPLIT({node.outputs[0].bytes}); for (idx i = begin; i < end; i++) ((uint8_t *)y0)[i] = ((const uint8_t *)x0)[i]; }}"
