"""The polynomials of kernels/vector.h keep the bounds that docs/native.md states, on every width of vectors."""

from __future__ import annotations

import ctypes
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model
from backends.native.callers import lowered
from backends.native.test_networks import runs
from backends.native.test_ops_math import ulps
from models.builders import Graph
from neo_cli.backends.native import emulate
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.backends.native.emit import kernels
from neo_cli.targets.devices import targets

DOCS = Path(__file__).parents[3] / "docs" / "native.md"
# lanes, zig's processor, a target with these instructions
WIDTHS = {
    "16 lanes": (16, "skylake_avx512", "ml_c5"), "8 lanes, FMA": (8, "haswell", "ml_m4"),
    "8 lanes": (8, "ivybridge", "lambda"), "4 lanes": (4, "x86_64_v2", "LINUX_X86_64"),
    "1 lane": (1, "x86_64_v2", "LINUX_X86_64"),
}  # fmt: skip


def erf(x: np.ndarray) -> np.ndarray:
    return np.fromiter(map(math.erf, x.tolist()), np.float64, x.size)


# function: (range, truth); bounds stand in docs/native.md.
FUNCTIONS: dict[str, tuple[tuple[float, float], Callable[[np.ndarray], np.ndarray]]] = {
    "exp": ((-87.3, 88.3), np.exp),
    "sigmoid": ((-87.3, 88.3), lambda x: 1 / (1 + np.exp(-x))),
    "tanh": ((-100.0, 100.0), np.tanh),
    "erf": ((-10.0, 10.0), erf),
    "inverse": ((1e-30, 1e30), lambda x: 1 / x),
}
EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30], np.float32)


def bounds() -> dict[str, float]:
    """The ULP that the page states."""
    text = DOCS.read_text(encoding="utf-8")
    return {name: float(most) for name, most in re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \|$", text, re.MULTILINE)}


@pytest.fixture(scope="module", params=WIDTHS)
def lib(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Each function over an array."""
    lanes, cpu, target = WIDTHS[request.param]
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    folder = tmp_path_factory.mktemp("ulp")
    text = [f"#define VL {lanes}", *kernels(("compiled.h", "base.h", "vector.h"))]
    for name in FUNCTIONS:
        loop = f"for (idx i = 0; i < n; i += VL) vstore(y + i, v{name}(vload(x + i)));"
        text.append(f"NEO_API void apply_{name}(idx n, const float *x, float *y) {{ {as_in_a_run(loop)} }}")
    for name in ACTIVATIONS:
        loop = f"for (idx i = 0; i < n; i += VL) vstore(y + i, act_vector(vload(x + i), ACT_{name}, a, b));"
        text.append(
            f"NEO_API void act_{name}(idx n, const float *x, float *y, float a, float b) {{ {as_in_a_run(loop)} }}"
        )
    (folder / "ulp.c").write_text("\n".join(text))
    flags = ["-target", "x86_64-linux-gnu", f"-mcpu={cpu}", "-O2", "-std=gnu2x", "-ffreestanding", "-nostdlib", "-fPIC"]
    flags += [
        "-shared",
        "-g0",
        "-fno-sanitize=all",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-ffp-contract=fast",
        "-w",
    ]
    line = [sys.executable, "-m", "ziglang", "cc", *flags, "ulp.c", "-o", "ulp.so"]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)
    return ctypes.CDLL(str(folder / "ulp.so"))


def as_in_a_run(loop: str) -> str:
    return f"const uintptr_t saved = fp_enter(); {loop} fp_leave(saved);"  # denormal numbers are zero


def apply(lib: ctypes.CDLL, name: str, x: np.ndarray, *parameters: float) -> np.ndarray:
    padded = np.zeros(-(-x.size // 16) * 16, np.float32)
    padded[: x.size] = x
    y = np.full_like(padded, np.nan)
    given = [ctypes.c_float(p) for p in parameters]
    getattr(lib, name)(
        ctypes.c_ssize_t(padded.size), ctypes.c_void_p(padded.ctypes.data), ctypes.c_void_p(y.ctypes.data), *given
    )
    return y[: x.size]


def samples(low: float, high: float, count: int = 1 << 17) -> np.ndarray:
    """Evenly spread, spread over the exponents, and every float next to the ends and to small whole numbers."""
    rng = np.random.default_rng(3)
    signs = rng.choice([-1.0, 1.0], count)
    spread = signs * 10 ** rng.uniform(-30, np.log10(max(-low, high)), count)
    near = (
        np.array([low, high, 0.625, -0.625, 3.92, -3.92, 0.5, 1.0])[:, None] * (1 + np.arange(-64, 65) * 6e-8)
    ).reshape(-1)
    x = np.concatenate([np.linspace(low, high, count), spread, near]).astype(np.float32)
    return x[(x >= np.float32(low)) & (x <= np.float32(high))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stated_bound_holds(lib: ctypes.CDLL, name: str):
    (low, high), truth = FUNCTIONS[name]
    x = samples(low, high)
    wanted = truth(x.astype(np.float64))
    normal = np.abs(wanted) >= np.finfo(np.float32).tiny  # smaller ones are zero while a model runs
    assert ulps(apply(lib, f"apply_{name}", x[normal]), wanted[normal]) <= bounds()[name]


@pytest.mark.long
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_stated_bound_holds_for_one_float_in_sixteen(lib: ctypes.CDLL, name: str):
    (low, high), truth = FUNCTIONS[name]
    worst = 0.0
    for start in range(0, 1 << 28, 1 << 22):
        x = ((np.arange(start, start + (1 << 22), dtype=np.uint32) << 4) + 7).view(np.float32)
        x = x[(x >= np.float32(low)) & (x <= np.float32(high)) & (np.abs(x) >= np.finfo(np.float32).tiny)]
        wanted = truth(x.astype(np.float64))
        normal = np.abs(wanted) >= np.finfo(np.float32).tiny
        if normal.any():
            worst = max(worst, ulps(apply(lib, f"apply_{name}", x[normal]), wanted[normal]))
    print(f"{name}: {worst:.2f} ULP")
    assert worst <= bounds()[name]


@pytest.mark.slow
@pytest.mark.emulation
@pytest.mark.parametrize("target", ["ml_m6g", "LINUX_ARM_EABIHF", "LINUX_ARM_EABI", "ANDROID_X86"])
def test_the_stated_bound_holds_on_other_processors(tmp_path: Path, target: str):
    """Behind a convolution that changes nothing."""
    record = targets()[target]
    if emulate.emulator(record) is None:
        pytest.skip("qemu-user is not installed here")
    kinds = {"sigmoid": "Sigmoid", "tanh": "Tanh", "erf": "Erf"}
    g, shape = Graph("ulp", 1), [1, 8, 64, 64]
    x = g.op(
        "Conv", g.input("x", shape), g.constant(np.eye(8, dtype=np.float32)[:, :, None, None]), kernel_shape=[1, 1]
    )
    model = as_model(g.finish({name: (g.op(kind, x), shape) for name, kind in kinds.items()}), tmp_path)
    program, _ = lowered(model, target, tmp_path)
    run = emulate.runner(program, record, cpu_of(record), tmp_path / "compiled.params", tmp_path)
    assert run is not None
    values = np.random.default_rng(8).permutation(samples(-87.3, 88.3))[: math.prod(shape)]
    found = run({"x": values.reshape(shape)})
    for name in kinds:
        wanted = FUNCTIONS[name][1](values.astype(np.float64))
        normal = np.abs(wanted) >= np.finfo(np.float32).tiny
        assert ulps(found[name].reshape(-1)[normal], wanted[normal]) <= bounds()[name], name


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


# activation: (a, b, truth)
ACTIVATIONS: dict[str, tuple[float, float, Callable[[np.ndarray], np.ndarray]]] = {
    "SILU": (0, 0, silu),
    "SIGMOID": (0, 0, lambda x: 1 / (1 + np.exp(-x))),
    "TANH": (0, 0, np.tanh),
    "GELU": (0, 0, lambda x: 0.5 * x * (1 + erf(x * math.sqrt(0.5)))),
    "LEAKY": (0.1, 0, lambda x: np.where(x < 0, np.float32(0.1) * x, x)),
    "HARDSWISH": (0, 0, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "HARDSIGMOID": (0.2, 0.5, lambda x: np.clip(np.float32(0.2) * x + 0.5, 0, 1)),
    "ELU": (1.5, 0, lambda x: np.where(x < 0, 1.5 * np.expm1(x), x)),
    "ERF": (0, 0, erf),
    "EXP": (0, 0, np.exp),
    "ABS": (0, 0, np.abs),
    "SQRT": (0, 0, np.sqrt),
    "QUICKGELU": (1.702, 0, lambda x: x / (1 + np.exp(-np.float32(1.702) * x))),
    "NEG": (0, 0, np.negative),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_right_everywhere_and_nan_stays_nan(lib: ctypes.CDLL, name: str):
    a, b, truth = ACTIVATIONS[name]
    x = np.concatenate([samples(-200, 200, 1 << 15), EDGES]).astype(np.float32)
    if name == "SQRT":
        x = x[~(x < 0)]
    with np.errstate(all="ignore"):
        wanted = truth(x.astype(np.float64)).astype(np.float32)
    found = apply(lib, f"act_{name}", x, a, b)
    if name in ("SILU", "GELU", "HARDSWISH", "QUICKGELU"):  # infinity times zero: a caller gets NaN, or the limit
        limit = np.isneginf(x)
        x, wanted, found = x[~limit], wanted[~limit], found[~limit]
    assert np.array_equal(np.isnan(found), np.isnan(wanted))
    same = (found == wanted) | np.isnan(wanted)
    with np.errstate(all="ignore"):
        off = np.where(same, 0, np.abs(found - wanted) / np.maximum(np.abs(wanted), 0 if name == "EXP" else 1))
    tiny = np.abs(wanted) < np.finfo(np.float32).tiny
    assert off[~tiny].max() < 1e-6
    assert (np.abs(found) <= 1e-8 * np.maximum(1, np.abs(x)))[tiny].all()  # GELU's far left: a billionth of x
