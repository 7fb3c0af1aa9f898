"""The .dll itself, loaded by a Windows program under Wine: its file format, its exports, its calling convention, threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from neo_cli.backends.native import compile, compiler
from neo_cli.model.model import Model
from neo_cli.targets.devices import targets

WINE = shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine")
CALLER = Path(__file__).with_name("windows_caller.c")
HEADERS = Path(compiler.__file__).with_name("kernels")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.emulation,
    pytest.mark.skipif(WINE is None, reason="Wine is not installed here (Debian's package wine64)"),
]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with a Windows of its own, whose server is gone afterwards."""
    folder = tmp_path_factory.mktemp("wine")
    found = {
        **os.environ,
        "WINEPREFIX": str(folder / "prefix"),
        "WINEDEBUG": "-all",
        "DISPLAY": "",
        "HOME": str(folder),
    }
    yield found
    server = shutil.which("wineserver") or shutil.which("wineserver", path="/usr/lib/wine")
    if server:
        subprocess.run([server, "-k"], env=found, check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)  # it is several hundred megabytes


def caller(threads: int, work: Path) -> Path:
    made = work / f"caller{threads}.exe"
    line = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "x86_64-windows-gnu",
        "-mcpu=x86_64",
        "-O1",
        "-g0",
        "-nostdlib",
    ]
    flags = [
        "-ffreestanding",
        "-fno-sanitize=all",
        "-fno-stack-protector",
        "-mno-stack-arg-probe",
        f"-DTHREADS={threads}",
    ]
    files = ["-I", str(HEADERS), "-o", str(made), str(CALLER), "-lkernel32", "-Wl,--entry=start"]
    subprocess.run([*line, *flags, *files], check=True, capture_output=True, cwd=work)
    return made


def call(model: Model, program: Path, environment: dict[str, str], work: Path) -> dict[str, np.ndarray]:
    feed = b"".join(np.ascontiguousarray(feeds(model)[t.name]).tobytes() for t in model.inputs)
    assert WINE is not None
    done = subprocess.run([WINE, str(program)], input=feed, capture_output=True, env=environment, cwd=work, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]
    found, at = {}, 0
    for tensor in model.outputs:
        count = int(np.prod(tensor.shape))
        found[tensor.name] = np.frombuffer(done.stdout, tensor.dtype, count, at).reshape(tensor.shape)
        at += found[tensor.name].nbytes
    assert at == len(done.stdout)
    return found


@pytest.mark.parametrize("name", ["mobilenetv2", "bert"])
def test_the_dll_computes_under_wine_on_one_thread_and_on_two(tmp_path, prefix, name):
    model = as_model(BUILDERS[name](True), tmp_path)
    build = compile(model, targets()["x86_win64"], {}, tmp_path)
    assert (tmp_path / "compiled.dll").is_file() and build.engine == "native"
    one, two = (call(model, caller(threads, tmp_path), prefix, tmp_path) for threads in (1, 2))
    assert error(one, model.oracle(feeds(model))) < 5e-6
    assert all(np.array_equal(one[key], two[key]) for key in one)
