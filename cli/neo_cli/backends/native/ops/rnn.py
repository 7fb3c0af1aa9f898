"""RNN, GRU and LSTM: the input products of all steps first, then the steps, the threads sharing directions and batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.operators import Context, operator
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.reading import given, integer, needed, text
from neo_cli.backends.native.ops.reduce import FAST

Activation = Callable[[str], str]
DEFAULTS = {
    "affine": (1.0, 0.0), "leakyrelu": (0.01, 0.0), "thresholdedrelu": (1.0, 0.0), "scaledtanh": (1.0, 1.0),
    "hardsigmoid": (0.2, 0.5), "elu": (1.0, 0.0),
}  # fmt: skip


def _activation(name: str, alpha: float, beta: float, dtype: str) -> Activation:
    s = types.suffix(dtype)
    a, b = types.literal(alpha, dtype), types.literal(beta, dtype)
    texts = {
        "sigmoid": f"pm_sigmoid{s}({{0}})",
        "tanh": f"pm_tanh{s}({{0}})",
        "relu": "({0} > 0 ? {0} : 0)",
        "affine": f"({a} * {{0}} + {b})",
        "leakyrelu": f"({{0}} >= 0 ? {{0}} : {a} * {{0}})",
        "thresholdedrelu": f"({{0}} >= {a} ? {{0}} : 0)",
        "scaledtanh": f"({a} * pm_tanh{s}({b} * {{0}}))",
        "hardsigmoid": f"({a} * {{0}} + {b} < 0 ? 0 : ({a} * {{0}} + {b} > 1 ? 1 : {a} * {{0}} + {b}))",
        "elu": f"({{0}} >= 0 ? {{0}} : {a} * pm_expm1{s}({{0}}))",
        "softsign": f"({{0}} / (1 + pm_abs{s}({{0}})))",
        "softplus": f"pm_softplus{s}({{0}})",
    }
    return lambda value: texts[name].format(value)


def activations(node: Node, defaults: list[str], directions: int) -> list[list[Activation]]:
    """For each direction its functions; parameters are taken from the lists in order by those that have any."""
    names = [str(n).lower() for n in (node.attrs.get("activations") or defaults * directions)]
    alphas, betas = list(node.attrs.get("activations_alpha") or []), list(node.attrs.get("activations_beta") or [])
    dtype = needed(node, 0).dtype
    made = []
    for name in names:
        alpha, beta = DEFAULTS.get(name, (0.0, 0.0))
        if name in DEFAULTS:
            alpha = alphas.pop(0) if alphas else alpha
            if name in ("affine", "scaledtanh", "hardsigmoid"):
                beta = betas.pop(0) if betas else beta
        made.append(_activation(name, alpha, beta, dtype))
    count = len(defaults)
    return [made[d * count : (d + 1) * count] for d in range(directions)]


@dataclass
class Cell:
    """The sizes of a recurrent node and where its tensors' elements lie."""

    node: Node
    gates: int

    def __post_init__(self) -> None:
        x, r = needed(self.node, 0), needed(self.node, 2)
        self.batch_first = integer(self.node, "layout", 0) == 1
        self.steps, self.batch = (x.shape[1], x.shape[0]) if self.batch_first else x.shape[:2]
        self.width, self.directions, self.hidden = x.shape[2], r.shape[0], r.shape[2]
        self.dtype = x.dtype
        self.kind = types.real(x.dtype)
        self.rows = self.gates * self.hidden

    def x(self, t: str, b: str) -> str:
        return f"({b} * {self.steps} + {t})" if self.batch_first else f"({t} * {self.batch} + {b})"

    def y(self, t: str) -> str:
        if self.batch_first:
            return f"((b * {self.steps} + {t}) * {self.directions} + d)"
        return f"(({t} * {self.directions} + d) * {self.batch} + b)"

    def state(self) -> str:
        return f"(b * {self.directions} + d)" if self.batch_first else f"(d * {self.batch} + b)"

    def load(self, position: int, at: str) -> str:
        return types.load(needed(self.node, position).dtype, f"x{position}", at)

    def made(self, position: int) -> Value | None:
        value = self.node.outputs[position] if position < len(self.node.outputs) else None
        return value if value is not None and value.size else None


def _bias(cell: Cell, split: bool) -> str:
    """The sum of both biases of row r; when `split`, the last gate's second one is left to the step."""
    node, rows, h = cell.node, cell.rows, cell.hidden
    if given(node, 3) is None:
        return "0"
    first, second = cell.load(3, f"d * {2 * rows} + r"), cell.load(3, f"d * {2 * rows} + {rows} + r")
    return f"{first} + (r < {2 * h} ? {second} : 0)" if split else f"{first} + {second}"


def _outputs(cell: Cell) -> tuple[str, str, str]:
    """Statements that store h of a step, zero the steps behind the length, and store the last state."""
    h = cell.hidden
    store_y = zero_y = last = ""
    y, every = cell.made(0), f"for (idx j = 0; j < {h}; j++)"
    if y is not None:
        at = f"{cell.y('t')} * {h} + j"
        store_y = f"{every} {types.store(y.dtype, 'y0', at, 'h[j]')}"
        zero_y = f"for (idx t = length; t < {cell.steps}; t++) {every} {types.store(y.dtype, 'y0', at, '0')}"
    for position, name in ((1, "h"), (2, "c")):
        value = cell.made(position)
        if value is not None:
            last += f"for (idx j = 0; j < {h}; j++) {types.store(value.dtype, f'y{position}', f'{cell.state()} * {h} + j', f'{name}[j]')}\n"
    return store_y, zero_y, last


def _recurrent(
    node: Node, ctx: Context, gates: int, defaults: list[str], step: Callable[..., str], split_bias: bool
) -> str:
    """The frame all three share; `step(cell, functions)` makes the new h (and c) from g, the products with the input."""
    ctx.include("plain_types.h")
    cell = Cell(node, gates)
    kind, h, rows = cell.kind, cell.hidden, cell.rows
    real = "float64" if kind == "double" else "float32"
    inputs = ctx.scratch(cell.directions * cell.steps * cell.batch * rows, real)
    names = [ctx.scratch(size, real, private=True) for size in (rows, h, h, h)]
    own = f"{kind} *restrict g = {names[0]}, *restrict h = {names[1]}, *restrict c = {names[2]}, *restrict n = {names[3]}; (void)c; (void)n;"
    bias = _bias(cell, split_bias)
    functions = activations(node, defaults, cell.directions)
    direction = text(node, "direction", "forward")
    lens = "(idx)x4[b]" if given(node, 4) is not None else str(cell.steps)
    backward = {"forward": "0", "reverse": "1"}.get(direction, "d")
    first = f"for (idx j = 0; j < {h}; j++) h[j] = {cell.load(5, f'{cell.state()} * {h} + j') if given(node, 5) is not None else '0'};"
    first += f"for (idx j = 0; j < {h}; j++) c[j] = {cell.load(6, f'{cell.state()} * {h} + j') if given(node, 6) is not None else '0'};"
    store_y, zero_y, last = _outputs(cell)
    bodies = [step(cell, f) for f in functions]
    if all(body == bodies[0] for body in bodies):
        body = bodies[0]
    else:
        body = f"if (d == 0) {{ {bodies[0]} }} else {{ {bodies[1]} }}"
    element, weight = f"{cell.x('t', 'b')} * {cell.width} + k", f"(d * {rows} + r) * {cell.width} + k"
    product = f"a += {cell.load(0, element)} * {cell.load(1, weight)};"
    return f"""{{ SPLIT({cell.directions * cell.steps * cell.batch});
for (idx i = begin; i < end; i++) {{
const idx d = i / {cell.steps * cell.batch}, t = i / {cell.batch} % {cell.steps}, b = i % {cell.batch};
for (idx r = 0; r < {rows}; r++) {{ {FAST}
{kind} a = {bias};
for (idx k = 0; k < {cell.width}; k++) {product}
{inputs}[i * {rows} + r] = a;
}} }} }}
BARRIER;
{{ SPLIT({cell.directions * cell.batch});
for (idx pair = begin; pair < end; pair++) {{
const idx d = pair / {cell.batch}, b = pair % {cell.batch}, length = {lens};
{own}
{first}
for (idx s = 0; s < length; s++) {{
const idx t = {backward} ? length - 1 - s : s;
const {kind} *restrict in = {inputs} + ((d * {cell.steps} + t) * {cell.batch} + b) * {rows};
{body}
{store_y}
}}
{zero_y}
{last}
}} }}"""


def _products(cell: Cell, rows: str, source: str = "h", start: str = "in[r]", first: int = 0) -> str:
    """g[r] = start + R[r] . source for the rows."""
    weight = cell.load(2, f"(d * {cell.rows} + r) * {cell.hidden} + k")
    return f"""for (idx r = {first}; r < {rows}; r++) {{ {FAST}
{cell.kind} a = 0;
for (idx k = 0; k < {cell.hidden}; k++) a += {weight} * {source}[k];
g[r] = {start} + a;
}}"""


def _levelled(cell: Cell) -> str:
    """n = the state rounded to 256 levels of its range, as DynamicQuantizeLinear finds them."""
    walk = f"for (idx j = 0; j < {cell.hidden}; j++)"
    return f"""{{ float low = 0, high = 0;
{walk} {{ low = h[j] < low ? h[j] : low; high = h[j] > high ? h[j] : high; }}
const float scale = high == low ? 1.0f : (high - low) / 255.0f;
const pm_i32 zero = pm_quantise(-low / scale, 0, 0, 255);
{walk} n[j] = (float)(pm_quantise(h[j] / scale, zero, 0, 255) - zero) * scale; }}"""


def _clip(cell: Cell, name: str) -> str:
    """A statement that holds a variable within the clip threshold."""
    if "clip" not in cell.node.attrs:
        return ""
    edge = types.literal(float(cell.node.attrs["clip"]), cell.dtype)
    return f"{name} = {name} > {edge} ? {edge} : ({name} < -{edge} ? -{edge} : {name});"


@operator("RNN")
def rnn(node: Node, ctx: Context) -> str:
    def step(cell: Cell, functions: list[Activation]) -> str:
        return f"""{_products(cell, str(cell.hidden))}
for (idx j = 0; j < {cell.hidden}; j++) {{ {cell.kind} v = g[j]; {_clip(cell, "v")} h[j] = {functions[0]("v")}; }}"""

    return _recurrent(node, ctx, 1, ["Tanh"], step, False)


@operator("GRU")
def gru(node: Node, ctx: Context) -> str:
    after = bool(integer(node, "linear_before_reset", 0))

    def step(cell: Cell, functions: list[Activation]) -> str:
        f, g = functions
        h, kind = cell.hidden, cell.kind
        gates = f"""for (idx r = 0; r < {2 * h}; r++) {{ {kind} v = g[r]; {_clip(cell, "v")} g[r] = {f("v")}; }}"""
        if after:
            bias = cell.load(3, f"d * {6 * h} + {3 * h} + r") if given(node, 3) is not None else "0"
            hidden = f"""{_products(cell, str(3 * h))}
{gates}
for (idx j = 0; j < {h}; j++) {{
const idx r = {2 * h} + j;
{kind} v = in[r] + g[j + {h}] * (g[r] - in[r] + {bias}); {_clip(cell, "v")} n[j] = {g("v")};
}}"""
        else:
            hidden = f"""{_products(cell, str(2 * h))}
{gates}
for (idx j = 0; j < {h}; j++) n[j] = g[j + {h}] * h[j];
{_products(cell, str(3 * h), "n", first=2 * h)}
for (idx j = 0; j < {h}; j++) {{ {kind} v = g[{2 * h} + j]; {_clip(cell, "v")} n[j] = {g("v")}; }}"""
        return f"{hidden}\nfor (idx j = 0; j < {h}; j++) h[j] = (1 - g[j]) * n[j] + g[j] * h[j];"

    return _recurrent(node, ctx, 3, ["Sigmoid", "Tanh"], step, after)


@operator("LSTM", "LSTM.levelled")
def lstm(node: Node, ctx: Context) -> str:
    """`levelled`, as DynamicQuantizeLSTM needs it: the state is rounded before each product."""

    def step(cell: Cell, functions: list[Activation]) -> str:
        f, g, out = functions
        h, kind = cell.hidden, cell.kind

        def peephole(gate: int, state: str) -> str:
            return f" + {cell.load(7, f'd * {3 * h} + {gate * h} + j')} * {state}" if given(node, 7) is not None else ""

        forget = "1 - i" if integer(node, "input_forget", 0) else f("vf")
        levelled = node.op == "LSTM.levelled"
        return f"""{_levelled(cell) if levelled else ""}
{_products(cell, str(4 * h), "n" if levelled else "h")}
for (idx j = 0; j < {h}; j++) {{
{kind} vi = g[j]{peephole(0, "c[j]")}, vf = g[{2 * h} + j]{peephole(2, "c[j]")}, vc = g[{3 * h} + j];
{_clip(cell, "vi")} {_clip(cell, "vf")} {_clip(cell, "vc")}
const {kind} i = {f("vi")}, k = {forget}, m = {g("vc")};
c[j] = k * c[j] + i * m;
{kind} vo = g[{h} + j]{peephole(1, "c[j]")}; {_clip(cell, "vo")}
const {kind} w = c[j];
h[j] = {f("vo")} * {out("w")};
}}"""

    return _recurrent(node, ctx, 4, ["Sigmoid", "Tanh", "Tanh"], step, False)
