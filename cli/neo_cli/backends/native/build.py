"""C to a library: zig cc, freestanding, its flags from the target; a build is made once for the same text and flags."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from neo_cli.backends.native.cpus import Cpu
from neo_cli.base.errors import CompileError
from neo_cli.base.paths import home
from neo_cli.targets.devices import Target

FLAGS = (
    "-std=gnu2x", "-O3", "-ffreestanding", "-nostdlib", "-rtlib=compiler-rt", "-g0", "-s", "-fno-sanitize=all",
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables",
    "-fno-exceptions", "-fno-stack-protector", "-fvisibility=hidden", "-Wl,--gc-sections", "-w",
)  # fmt: skip
KEEP = 200  # builds in the cache
LARGEST = 8 << 20  # bytes of one of them: a library with its weights inside is not kept


def flags(target: Target, cpu: Cpu) -> tuple[str, ...]:
    """What makes the code this target's."""
    return ("-target", target.triple, f"-mcpu={target.cpu}", *FLAGS, *cpu.flags)


def library(text: str, target: Target, cpu: Cpu, work: Path) -> Path:
    """The shared library of `text` for a target."""
    extra: tuple[str, ...] = ("-Wl,--no-entry",) if target.os == "windows" else ("-fPIC",)
    if target.os in ("linux", "android"):
        extra += ("-Wl,-z,defs",)  # a symbol that nobody defines fails here, not on the device
    name = "compiled.dll" if target.os == "windows" else "compiled.so"
    return _built(text, (*flags(target, cpu), "-shared", *extra), work / name)


def program(text: str, target: Target, cpu: Cpu, work: Path, extra: Sequence[str] = ()) -> Path:
    """A static executable of `text`, which brings its own _start; `extra` flags come last."""
    return _built(text, (*flags(target, cpu), "-static", "-fno-pic", *extra), work / "runner")


def _built(text: str, options: Sequence[str], path: Path) -> Path:
    cache = home("cache", os.environ) / "native"
    key = hashlib.blake2b("\0".join([text, *options, _version()]).encode(), digest_size=20).hexdigest()
    kept = cache / key
    path.unlink(missing_ok=True)  # a loaded library must not change under its process
    if kept.is_file():
        shutil.copyfile(kept, path)
    else:
        _compile(text, options, path)
        if path.stat().st_size <= LARGEST:
            _keep(path, kept)
    path.chmod(0o755)
    return path


def _compile(text: str, options: Sequence[str], path: Path) -> None:
    source = path.with_suffix(".c")
    source.write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="neo-native-") as folder:
        made = Path(folder) / path.name
        command = [sys.executable, "-m", "ziglang", "cc", *options, "-o", str(made), str(source)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode or not made.is_file():
            told = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            raise CompileError(f"zig cc does not compile the generated C: {' / '.join(told[:3])[:600]}")
        shutil.move(made, path)


def _keep(path: Path, kept: Path) -> None:
    """Put a build into the cache in one step; the oldest leave when there are too many."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=kept.parent, delete=False) as file:
        file.write(path.read_bytes())
    os.replace(file.name, kept)
    old = sorted(kept.parent.iterdir(), key=lambda p: p.stat().st_mtime)[:-KEEP]
    for stale in old:
        stale.unlink(missing_ok=True)


def _version() -> str:
    from importlib.metadata import version

    return version("ziglang")
