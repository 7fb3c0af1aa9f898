"""The mathematics of kernels/ keeps the accuracy that plain_math.h states, and C's rules at the edges."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import numpy as np
import pytest

from backends.native.rules_bench import KERNELS

# function: (range, ULP of float, ULP of double)
RANGES = {
    "exp": ((-87, 88), 1.1, 1.1), "log": ((1e-30, 1e30), 1, 1), "sqrt": ((0, 1e9), 1, 1), "expm1": ((-19, 87), 3, 4),
    "log1p": ((-0.999, 1e6), 3, 4), "tanh": ((-11, 11), 3, 4), "sin": ((-1e3, 1e3), 1, 4), "cos": ((-1e3, 1e3), 1, 4),
    "tan": ((-99, 99), 1, 4), "asin": ((-1, 1), 1, 4), "acos": ((-1, 1), 1, 4), "atan": ((-99, 99), 1, 4),
    "sinh": ((-80, 80), 1, 4), "cosh": ((-80, 80), 1, 4), "asinh": ((-1e4, 1e4), 1, 4), "acosh": ((1, 1e4), 1, 4),
    "atanh": ((-0.9999, 0.9999), 1, 4), "sigmoid": ((-80, 30), 3, 4), "softplus": ((-40, 40), 3, 4),
}  # fmt: skip
NUMPY = {n: f"arc{n[1:]}" for n in ("asin", "acos", "atan", "asinh", "acosh", "atanh")}
ROUNDINGS = {"rint": np.rint, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc}


@pytest.fixture(scope="module", params=["x86_64", "x86_64_v3"])
def lib(request, tmp_path_factory) -> ctypes.CDLL:
    """The functions over arrays, for a processor with and without rounding and FMA instructions."""
    folder = tmp_path_factory.mktemp("math")
    lines = ['#include "plain_types.h"']
    for name in [*RANGES, *ROUNDINGS, "erf"]:
        for kind, end in (("float", "f"), ("double", "")):
            lines.append(
                f"void {name}_{kind}(long n, const {kind} *x, {kind} *y) {{ for (long i = 0; i < n; i++) y[i] = pm_{name}{end}(x[i]); }}"
            )
    lines.append(
        "void fmod_double(long n, const double *x, const double *z, double *y) { for (long i = 0; i < n; i++) y[i] = pm_fmod(x[i], z[i]); }"
    )
    for kind, end in (("float", "f"), ("double", "")):
        lines.append(
            f"void pow_{kind}(long n, const {kind} *x, const {kind} *z, {kind} *y) {{ for (long i = 0; i < n; i++) y[i] = pm_pow{end}(x[i], z[i]); }}"
        )
    for name, small in (
        ("f2h", "unsigned short"),
        ("f2b", "unsigned short"),
        *((f"f_{f}", "unsigned char") for f in EIGHT),
    ):
        lines.append(
            f"void {name}(long n, const float *x, {small} *y) {{ for (long i = 0; i < n; i++) y[i] = pm_{name}(x[i]); }}"
        )
    for name, small in (
        ("h2f", "unsigned short"),
        ("b2f", "unsigned short"),
        *((f"{f}_f", "unsigned char") for f in EIGHT),
    ):
        lines.append(
            f"void {name}(long n, const {small} *x, float *y) {{ for (long i = 0; i < n; i++) y[i] = pm_{name}(x[i]); }}"
        )
    for way in (0, 1):
        for name, value in (
            ("up", "x[i]"),
            ("down", "pm_power_down(x[i])"),
            ("nearest", f"pm_power_near(x[i], {way})"),
        ):
            store = f"y[i] = pm_e8m0({value}, {way})"
            lines.append(
                f"void e8m0_{name}_{way}(long n, const float *x, unsigned char *y) {{ for (long i = 0; i < n; i++) {store}; }}"
            )
    (folder / "math.c").write_text("\n".join(lines))
    flags = [
        "-target",
        "x86_64-linux-gnu",
        f"-mcpu={request.param}",
        "-O2",
        "-ffreestanding",
        "-nostdlib",
        "-fPIC",
        "-shared",
    ]
    flags += ["-fno-math-errno", "-fno-sanitize=all", "-ffp-contract=fast", f"-I{KERNELS}"]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "math.c", "-o", "math.so"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return ctypes.CDLL(str(folder / "math.so"))


EIGHT = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")


def call(lib: ctypes.CDLL, name: str, *arrays: np.ndarray, out: type | None = None) -> np.ndarray:
    y = np.empty(arrays[0].shape, out or arrays[0].dtype)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, y)]
    getattr(lib, name)(ctypes.c_long(y.size), *pointers)
    return y


def truth(name: str, x: np.ndarray) -> np.ndarray:
    """The function in 80 bits."""
    x = x.astype(np.longdouble)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-x))
    if name == "softplus":
        return np.logaddexp(np.longdouble(0), x)
    return getattr(np, NUMPY.get(name, name))(x)


def ulps(y: np.ndarray, wanted: np.ndarray) -> float:
    step = np.spacing(np.maximum(np.abs(wanted.astype(y.dtype)), np.finfo(y.dtype).tiny)).astype(np.longdouble)
    return float((np.abs(y.astype(np.longdouble) - wanted) / step).max())


@pytest.mark.parametrize("name", RANGES)
def test_errors_stay_below_the_stated_ulps(lib, name):
    (low, high), single, double = RANGES[name]
    rng = np.random.default_rng(1)
    for dtype, kind, most in ((np.float32, "float", single), (np.float64, "double", double)):
        near = rng.choice([-1.0, 1.0], 2000) * 10 ** rng.uniform(-8, 0, 2000)
        x = np.concatenate([rng.uniform(low, high, 20000), near]).astype(dtype)
        x = x[(x >= low) & (x <= high)]
        assert ulps(call(lib, f"{name}_{kind}", x), truth(name, x)) <= most


@pytest.mark.parametrize("name", [*RANGES, *ROUNDINGS])
def test_edges_are_those_of_ieee_754(lib, name):
    for dtype, kind in ((np.float32, "float"), (np.float64, "double")):
        x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0], dtype)
        with np.errstate(all="ignore"):
            wanted = ROUNDINGS[name](x) if name in ROUNDINGS else truth(name, x).astype(dtype)
        found = call(lib, f"{name}_{kind}", x)
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        zero = (found == 0) & (wanted == 0)
        assert (np.signbit(found) == np.signbit(wanted))[zero].all()


def test_rounding_is_exact_everywhere(lib):
    rng = np.random.default_rng(2)
    for dtype, kind in ((np.float32, "float"), (np.float64, "double")):
        x = np.concatenate(
            [np.arange(-9, 9, 0.25), rng.uniform(-1e3, 1e3, 5000), [8388607.5, 0.49999997, 1e30, -1e30]]
        ).astype(dtype)
        for name, function in ROUNDINGS.items():
            np.testing.assert_array_equal(call(lib, f"{name}_{kind}", x), function(x))


def test_erf_against_the_c_library(lib):
    import math

    x = np.random.default_rng(3).uniform(-6, 6, 5000)
    for dtype, kind, most in ((np.float32, "float", 3), (np.float64, "double", 4)):
        given = x.astype(dtype)
        wanted = np.array([math.erf(v) for v in given.tolist()], np.longdouble)
        assert ulps(call(lib, f"erf_{kind}", given), wanted) <= most


def test_powers_and_their_edges(lib):
    edges = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -2.0, -3.0, -0.5, 1e30, 2.5]
    pairs = np.array([(a, b) for a in edges for b in edges])
    rng = np.random.default_rng(4)
    for dtype, kind, most in ((np.float32, "float", 1), (np.float64, "double", 4)):
        x, z = pairs[:, 0].astype(dtype), pairs[:, 1].astype(dtype)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(call(lib, f"pow_{kind}", x, z), np.power(x, z), rtol=1e-6)
        x, z = (10 ** rng.uniform(-8, 8, 9000)).astype(dtype), rng.uniform(-4, 4, 9000).astype(dtype)
        assert ulps(call(lib, f"pow_{kind}", x, z), np.power(x.astype(np.longdouble), z.astype(np.longdouble))) <= most


def test_fmod_is_exact(lib):
    rng = np.random.default_rng(5)
    x, z = rng.uniform(-1e18, 1e18, 3000), rng.choice([-1, 1], 3000) * 10 ** rng.uniform(-9, 9, 3000)
    np.testing.assert_array_equal(call(lib, "fmod_double", x, z), np.fmod(x, z))


def test_small_floats_convert_as_numpy_does(lib):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(6)
    x = np.concatenate(
        [rng.normal(size=4000) * 10.0 ** rng.integers(-9, 6, 4000), [0, -0.0, np.inf, -np.inf, 65519, 65520, 1e-7]]
    )
    x = x.astype(np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(call(lib, "f2h", x, out=np.uint16), x.astype(np.float16).view(np.uint16))
    np.testing.assert_array_equal(call(lib, "f2b", x, out=np.uint16), x.astype(ml_dtypes.bfloat16).view(np.uint16))
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(call(lib, "h2f", every, out=np.float32), every.view(np.float16).astype(np.float32))
    np.testing.assert_array_equal(
        call(lib, "b2f", every, out=np.float32), every.view(ml_dtypes.bfloat16).astype(np.float32)
    )
    codes = np.arange(256, dtype=np.uint8)
    for name in EIGHT:
        kind = getattr(ml_dtypes, name)
        np.testing.assert_array_equal(
            call(lib, f"{name}_f", codes, out=np.float32), codes.view(kind).astype(np.float32)
        )
        most = float(ml_dtypes.finfo(kind).max)
        inside = x[np.abs(x) <= most]
        np.testing.assert_array_equal(call(lib, f"f_{name}", inside, out=np.uint8), inside.astype(kind).view(np.uint8))


@pytest.mark.parametrize("saturate", [0, 1])
@pytest.mark.parametrize("mode", ["up", "down", "nearest"])
def test_powers_of_two_convert_as_the_reference_does(lib, mode, saturate):
    from onnx.numpy_helper import to_float8e8m0

    rng = np.random.default_rng(7)
    bits = np.concatenate(
        [rng.integers(0, 1 << 32, 20000), np.arange(0, 1 << 32, 1 << 21), np.arange(0, 1 << 32, 1 << 22) + 1]
    )
    x = bits.astype(np.uint32).view(np.float32)
    wanted = to_float8e8m0(x, bool(saturate), mode).view(np.uint8)
    np.testing.assert_array_equal(call(lib, f"e8m0_{mode}_{saturate}", x, out=np.uint8), wanted)
