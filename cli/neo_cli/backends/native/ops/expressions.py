"""EXPRESSIONS: elementwise operators as C expressions of their operands, so that chains fuse into one loop.

An expression gets the node and its operands and returns the value in `compute(dtype of the output)`. Operands are
names of variables (or literals), never longer expressions, so they may be used more than once. An omitted input is
None. `const` is an operand's number when it is the same everywhere and known at compile time.
What the expressions call is in kernels/plain_math.h and plain_types.h.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neo_cli.backends.native.ir import Node
from neo_cli.backends.native.ops import types
from neo_cli.backends.native.ops.reading import integer, number, text


@dataclass(frozen=True)
class Operand:
    """A variable or literal of type `compute(dtype)`."""

    name: str
    dtype: str
    const: Any = None

    def to(self, dtype: str) -> str:
        """The operand converted to another element type."""
        return types.convert(self.name, self.dtype, dtype)


Expression = Callable[..., str]
EXPRESSIONS: dict[tuple[str, str], Expression] = {}


def expression(*names: str, domain: str = "") -> Callable[[Expression], Expression]:
    """Register `(node, *operands) -> C expression` for the operators `names`."""

    def register(rule: Expression) -> Expression:
        for name in names:
            EXPRESSIONS[domain, name] = rule
        return rule

    return register


def lit(value: float, a: Operand) -> str:
    return types.literal(value, a.dtype)


def call(function: str, a: Operand) -> str:
    """pm_expf(x) for float, pm_exp(x) for double."""
    return f"pm_{function}{types.suffix(a.dtype)}({a.name})"


CALLS = {
    "Exp": "exp", "Log": "log", "Sqrt": "sqrt", "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin",
    "Acos": "acos", "Atan": "atan", "Sinh": "sinh", "Cosh": "cosh", "Tanh": "tanh", "Asinh": "asinh",
    "Acosh": "acosh", "Atanh": "atanh", "Erf": "erf", "Sigmoid": "sigmoid", "Softplus": "softplus",
    "Floor": "floor", "Ceil": "ceil", "Round": "rint",
}  # fmt: skip


@expression(*CALLS)
def _function(node: Node, x: Operand) -> str:
    return call(CALLS[node.op], x) if types.is_float(x.dtype) else x.name


@expression("Abs")
def _abs(node: Node, x: Operand) -> str:
    if types.is_float(x.dtype):
        return call("abs", x)
    return x.name if types.is_unsigned(x.dtype) else f"({x.name} < 0 ? {wrapped('-', x.dtype, '0', x.name)} : {x.name})"


@expression("Neg")
def _neg(node: Node, x: Operand) -> str:
    return f"-{x.name}" if types.is_float(x.dtype) else wrapped("-", x.dtype, "0", x.name)


@expression("Sign")
def _sign(node: Node, x: Operand) -> str:
    return f"({types.compute(x.dtype)})(({x.name} > 0) - ({x.name} < 0))"


@expression("Reciprocal")
def _reciprocal(node: Node, x: Operand) -> str:
    return f"{lit(1, x)} / {x.name}"


@expression("Not")
def _not(node: Node, x: Operand) -> str:
    return f"!{x.name}"


@expression("BitwiseNot")
def _bitwise_not(node: Node, x: Operand) -> str:
    return f"({types.compute(x.dtype)})~{x.name}"


@expression("Identity", "Dropout")
def _identity(node: Node, x: Operand, *_: Operand | None) -> str:
    return x.name


@expression("IsNaN")
def _is_nan(node: Node, x: Operand) -> str:
    return f"({x.name} != {x.name})"


@expression("IsInf")
def _is_inf(node: Node, x: Operand) -> str:
    signs = [s for s, key in (("", "detect_positive"), ("-", "detect_negative")) if integer(node, key, 1)]
    return "(" + (" || ".join(f"{x.name} == {s}({types.compute(x.dtype)})PM_INF" for s in signs) or "0") + ")"


@expression("Cast", "CastLike")
def _cast(node: Node, x: Operand, *_: Operand | None) -> str:
    target = node.outputs[0].dtype
    if target == types.EXPONENT:  # the store rounds up what these leave
        value, saturate = x.to(target), integer(node, "saturate", 1)
        near = f"pm_power_near({value}, {saturate})"
        return {"down": f"pm_power_down({value})", "nearest": near}.get(text(node, "round_mode", "up"), value)
    return x.to(target)


# ---- activations ----


@expression("Relu")
def _relu(node: Node, x: Operand) -> str:
    return f"({x.name} < 0 ? 0 : {x.name})"


@expression("LeakyRelu")
def _leaky(node: Node, x: Operand) -> str:
    return f"({x.name} < 0 ? {x.name} * {lit(number(node, 'alpha', 0.01), x)} : {x.name})"


@expression("PRelu")
def _prelu(node: Node, x: Operand, slope: Operand) -> str:
    return f"({x.name} < 0 ? {x.name} * {slope.name} : {x.name})"


@expression("Elu")
def _elu(node: Node, x: Operand) -> str:
    return f"({x.name} < 0 ? {lit(number(node, 'alpha', 1), x)} * {call('expm1', x)} : {x.name})"


@expression("Selu")
def _selu(node: Node, x: Operand) -> str:
    alpha = lit(number(node, "alpha", 1.67326319217681884765625), x)
    gamma = lit(number(node, "gamma", 1.05070102214813232421875), x)
    return f"{gamma} * ({x.name} < 0 ? {alpha} * {call('expm1', x)} : {x.name})"


@expression("Celu")
def _celu(node: Node, x: Operand) -> str:
    alpha = lit(number(node, "alpha", 1), x)
    part = f"pm_expm1{types.suffix(x.dtype)}({x.name} / {alpha})"
    return f"({x.name} < 0 ? {alpha} * {part} : {x.name})"


@expression("ThresholdedRelu")
def _thresholded(node: Node, x: Operand) -> str:
    return f"({x.name} > {lit(number(node, 'alpha', 1), x)} ? {x.name} : 0)"


def _clamped(value: str, x: Operand) -> str:
    zero, one = lit(0, x), lit(1, x)
    return f"({value} < {zero} ? {zero} : ({value} > {one} ? {one} : {value}))"


@expression("HardSigmoid")
def _hard_sigmoid(node: Node, x: Operand) -> str:
    return _clamped(f"({x.name} * {lit(number(node, 'alpha', 0.2), x)} + {lit(number(node, 'beta', 0.5), x)})", x)


@expression("HardSwish")
def _hard_swish(node: Node, x: Operand) -> str:
    return f"{x.name} * " + _clamped(f"({x.name} * {lit(1 / 6, x)} + {lit(0.5, x)})", x)


@expression("Softsign")
def _softsign(node: Node, x: Operand) -> str:
    return f"{x.name} / ({lit(1, x)} + {call('abs', x)})"


@expression("Mish")
def _mish(node: Node, x: Operand) -> str:
    return f"{x.name} * pm_tanh{types.suffix(x.dtype)}({call('softplus', x)})"


@expression("Swish")
def _swish(node: Node, x: Operand) -> str:
    return f"{x.name} * pm_sigmoid{types.suffix(x.dtype)}({lit(number(node, 'alpha', 1), x)} * {x.name})"


@expression("QuickGelu", domain="com.microsoft")
def _quick_gelu(node: Node, x: Operand) -> str:
    return f"{x.name} * pm_sigmoid{types.suffix(x.dtype)}({lit(number(node, 'alpha', 1.702), x)} * {x.name})"


def _exact_gelu(value: str, x: Operand) -> str:
    erf = f"pm_erf{types.suffix(x.dtype)}({value} * {lit(0.5**0.5, x)})"
    return f"{lit(0.5, x)} * {value} * ({lit(1, x)} + {erf})"


def _tanh_gelu(value: str, x: Operand) -> str:
    inner = f"{lit((2 / 3.141592653589793) ** 0.5, x)} * ({value} + {lit(0.044715, x)} * {value} * {value} * {value})"
    return f"{lit(0.5, x)} * {value} * ({lit(1, x)} + pm_tanh{types.suffix(x.dtype)}({inner}))"


@expression("Gelu")
def _gelu(node: Node, x: Operand) -> str:
    return (_tanh_gelu if text(node, "approximate", "none") == "tanh" else _exact_gelu)(x.name, x)


@expression("Gelu", domain="com.microsoft")
def _gelu_of_microsoft(node: Node, x: Operand) -> str:
    return _exact_gelu(x.name, x)


@expression("FastGelu", domain="com.microsoft")
def _fast_gelu(node: Node, x: Operand, bias: Operand | None = None) -> str:
    return _tanh_gelu(f"({x.name} + {bias.name})" if bias else x.name, x)


@expression("Shrink")
def _shrink(node: Node, x: Operand) -> str:
    kind, bias, edge = types.compute(x.dtype), number(node, "bias", 0), number(node, "lambd", 0.5)
    real = types.compute(x.dtype) if types.is_float(x.dtype) else "double"
    one, two = (types.literal(v, "float32" if real == "float" else "float64") for v in (bias, edge))
    return f"({kind})({x.name} < -{two} ? {x.name} + {one} : ({x.name} > {two} ? {x.name} - {one} : 0))"


@expression("Clip")
def _clip(node: Node, x: Operand, low: Operand | None = None, high: Operand | None = None) -> str:
    bottom = low.name if low else (lit(number(node, "min", 0), x) if "min" in node.attrs else None)
    top = high.name if high else (lit(number(node, "max", 0), x) if "max" in node.attrs else None)
    value = f"({x.name} < {bottom} ? {bottom} : {x.name})" if bottom else x.name
    return f"({value} > {top} ? {top} : {value})" if top else value


# ---- arithmetic ----


def wrapped(sign: str, dtype: str, a: str, b: str) -> str:
    """Integer arithmetic modulo the width of `dtype`, without the undefined overflow of C."""
    kind = types.compute(dtype)
    wide = "pm_u64" if dtype in ("int64", "uint64") else "pm_u32"
    return f"({kind})(({wide}){a} {sign} ({wide}){b})"


def binary(sign: str, a: Operand, b: Operand) -> str:
    if types.is_float(a.dtype):
        return f"{a.name} {sign} {b.name}"
    return wrapped(sign, a.dtype, a.name, b.name)


SIGNS = {"Add": "+", "Sub": "-", "Mul": "*"}


@expression(*SIGNS)
def _arithmetic(node: Node, a: Operand, b: Operand) -> str:
    return binary(SIGNS[node.op], a, b)


@expression("Div")
def _div(node: Node, a: Operand, b: Operand) -> str:
    return f"{a.name} / {b.name}" if types.is_float(a.dtype) else f"pm_div_{a.dtype}({a.name}, {b.name})"


@expression("Mod")
def _mod(node: Node, a: Operand, b: Operand) -> str:
    sort = "fmod" if integer(node, "fmod", 0) else "mod"
    if types.is_float(a.dtype):
        return f"({types.compute(a.dtype)})pm_{sort}({a.name}, {b.name})"
    return f"pm_{sort}_{a.dtype}({a.name}, {b.name})"


POWERS = {0: "1", 1: "{0}", 2: "{0} * {0}", 3: "{0} * {0} * {0}", 4: "({0} * {0}) * ({0} * {0})", -1: "1 / {0}"}


@expression("Pow")
def _pow(node: Node, a: Operand, b: Operand) -> str:
    if types.is_float(a.dtype):
        if b.const in POWERS:
            return f"({types.compute(a.dtype)})({POWERS[b.const].format(a.name)})"
        if b.const == 0.5:
            return f"({a.name} == -({types.compute(a.dtype)})PM_INF ? ({types.compute(a.dtype)})PM_INF : {call('sqrt', a)})"
        if a.dtype == "float64" or b.dtype in ("float64", "int64", "uint64"):
            return f"({types.compute(a.dtype)})pm_pow((double){a.name}, (double){b.name})"
        return f"pm_powf({a.name}, (float){b.name})"
    if types.is_float(b.dtype):
        return f"({types.compute(a.dtype)})pm_powid({a.name}, {b.name})"
    power = "pm_powu" if types.is_unsigned(b.dtype) else "pm_powi"
    return f"({types.compute(a.dtype)}){power}({a.name}, {b.name})"


def extreme(sign: str, a: str, b: str, dtype: str) -> str:
    """The larger (">") or smaller ("<") of two variables; NaN when either is."""
    nan = f" || {a} != {a}" if types.is_float(dtype) else ""
    return f"({a} {sign} {b}{nan} ? {a} : {b})"


def _folded(node: Node, parts: tuple[Operand, ...], step: Callable[[str, Operand], str]) -> str:
    value = parts[0].name
    for part in parts[1:]:
        value = step(value, part)
    return value


@expression("Max")
def _max(node: Node, *parts: Operand) -> str:
    return _folded(node, parts, lambda v, p: extreme(">", p.name, v, p.dtype))


@expression("Min")
def _min(node: Node, *parts: Operand) -> str:
    return _folded(node, parts, lambda v, p: extreme("<", p.name, v, p.dtype))


@expression("Sum")
def _sum(node: Node, *parts: Operand) -> str:
    return " + ".join(p.name for p in parts)


@expression("Mean")
def _mean(node: Node, *parts: Operand) -> str:
    return f"({' + '.join(p.name for p in parts)}) / {lit(len(parts), parts[0])}"


# ---- logic and bits ----

COMPARISONS = {"Equal": "==", "Less": "<", "Greater": ">", "LessOrEqual": "<=", "GreaterOrEqual": ">="}
LOGIC = {"And": "&", "Or": "|", "Xor": "^", "BitwiseAnd": "&", "BitwiseOr": "|", "BitwiseXor": "^"}


@expression(*COMPARISONS)
def _compare(node: Node, a: Operand, b: Operand) -> str:
    return f"({a.name} {COMPARISONS[node.op]} {b.name})"


@expression(*LOGIC)
def _logic(node: Node, a: Operand, b: Operand) -> str:
    return f"({types.compute(a.dtype)})({a.name} {LOGIC[node.op]} {b.name})"


@expression("BitShift")
def _shift(node: Node, a: Operand, b: Operand) -> str:
    kind = types.compute(a.dtype)
    width = {"int8": 8, "uint8": 8, "int16": 16, "uint16": 16, "int64": 64, "uint64": 64}.get(a.dtype, 32)
    wide = "pm_u64" if width == 64 else "pm_u32"
    inside = f"({wide}){b.name} < {width}"
    if text(node, "direction") == "LEFT":
        return f"({inside} ? ({kind})(({wide}){a.name} << {b.name}) : 0)"
    beyond = "0" if types.is_unsigned(a.dtype) else f"({a.name} < 0 ? -1 : 0)"
    return f"({kind})({inside} ? {a.name} >> {b.name} : {beyond})"


@expression("Where")
def _where(node: Node, mask: Operand, a: Operand, b: Operand) -> str:
    return f"({mask.name} ? {a.name} : {b.name})"
