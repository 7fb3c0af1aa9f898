"""How each ONNX element type is stored and computed: loads, stores, literals and conversions as C text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

EXPONENT = "float8_e8m0fnu"  # powers of two
SMALL_FLOATS = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn", EXPONENT)
NIBBLES = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}  # one byte an element
FLOATS = ("float32", "float64", "float16", "bfloat16", *SMALL_FLOATS)
REAL = {"float32": "float", "float64": "double"}
INTEGERS = {
    "int8": "pm_i8", "int16": "pm_i16", "int32": "pm_i32", "int64": "pm_i64",
    "uint8": "pm_u8", "uint16": "pm_u16", "uint32": "pm_u32", "uint64": "pm_u64",
    "bool": "pm_u8", "int4": "pm_i8", "uint4": "pm_u8", "int2": "pm_i8", "uint2": "pm_u8",
}  # fmt: skip
HALVES = {"float16": ("pm_h2f", "pm_f2h"), "bfloat16": ("pm_b2f", "pm_f2b")}


def is_float(dtype: str) -> bool:
    return dtype in FLOATS


def is_unsigned(dtype: str) -> bool:
    return dtype.startswith("uint") or dtype == "bool"


def compute(dtype: str) -> str:
    """The C type in which elements of `dtype` are computed."""
    return REAL.get(dtype) or INTEGERS.get(dtype) or "float"


def real(dtype: str) -> str:
    """The C type of a computation that must be floating: double for double, else float."""
    return "double" if dtype == "float64" else "float"


def suffix(dtype: str) -> str:
    """What distinguishes pm_exp (double) from pm_expf (everything else)."""
    return "" if dtype == "float64" else "f"


def load(dtype: str, pointer: str, index: str) -> str:
    """The element as a value of `compute(dtype)`."""
    if dtype in HALVES:
        return f"{HALVES[dtype][0]}(((const pm_half *){pointer})[{index}])"
    if dtype in SMALL_FLOATS:
        return f"pm_{dtype}_f(((const pm_byte *){pointer})[{index}])"
    if dtype in NIBBLES:  # the upper bits of the byte mean nothing
        low, high = NIBBLES[dtype]
        value = f"{pointer}[{index}] & {high - low}"
        return f"((({value}) ^ {high + 1}) - {high + 1})" if low else f"({value})"
    return f"{pointer}[{index}]"


def store(dtype: str, pointer: str, index: str, value: str, saturate: bool = True) -> str:
    """The statement that stores a value of `compute(dtype)`."""
    if dtype in HALVES:
        return f"((pm_half *){pointer})[{index}] = {HALVES[dtype][1]}({value});"
    if dtype in SMALL_FLOATS:
        kind = "f" if saturate or dtype == "float4_e2m1fn" else "fo"
        return f"((pm_byte *){pointer})[{index}] = pm_{kind}_{dtype}({value});"
    return f"{pointer}[{index}] = {value};"


def literal(value: Any, dtype: str) -> str:
    """A C constant of `compute(dtype)`."""
    kind = compute(dtype)
    if kind in ("float", "double"):
        number = float(value)
        end = "f" if kind == "float" else ""
        if math.isnan(number):
            return f"(({kind})PM_NAN)"
        if math.isinf(number):
            return f"({'-' if number < 0 else ''}({kind})PM_INF)"
        text = np.format_float_scientific(np.float32(number), unique=True) if end else repr(number)
        text = text if "." in text or "e" in text else text + ".0"
        return f"({text.rstrip()}{end})" if number < 0 or math.copysign(1, number) < 0 else text + end
    number = int(value)
    if dtype == "uint64":
        return f"{number}ull"
    if dtype == "int64":
        return f"(-{-(number + 1)}ll - 1)" if number < 0 else f"{number}ll"
    return f"{number}u" if dtype == "uint32" else (f"(-{-(number + 1)} - 1)" if number < 0 else str(number))


def limits(dtype: str) -> tuple[Any, Any]:
    """The smallest and largest value (infinities for floats)."""
    if is_float(dtype):
        return -math.inf, math.inf
    if dtype == "bool":
        return 0, 1
    if dtype in NIBBLES:
        return NIBBLES[dtype]
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def convert(value: str, source: str, target: str) -> str:
    """`value` of `compute(source)` as `compute(target)`: ONNX's Cast, x86-64's way where that is open."""
    if target == source:
        return value
    if target == "bool":
        return f"(({value}) != 0)"
    kind = compute(target)
    if is_float(target):
        return f"({kind})({value})"
    if target in NIBBLES:
        low, high = NIBBLES[target]
        whole = convert(value, source, "int32")
        if low == 0:
            return f"(pm_u8)({whole} & {high})"
        return f"(pm_i8)((({whole} & {high - low}) ^ {high + 1}) - {high + 1})"
    if not is_float(source):
        return f"({kind})({value})"
    if target in ("int64", "uint32"):
        return f"({kind})pm_d2l((double)({value}))"
    if target == "uint64":
        return f"pm_d2u((double)({value}))"
    return f"({kind}){'pm_d2i' if source == 'float64' else 'pm_f2i'}({value})"
