"""The sandbox around a job's compiler child: which tier works on this machine, and the command that enters it.

Tiers, best first: "bubblewrap" (namespaces: no network, no other processes, a read-only system, a private /tmp; and a
filter of system calls), "landlock" (Landlock rules and that filter, both by `neo_cli.worker.confine`), "none". A tier counts only when a
trial of it really ran: distributions forbid user namespaces in many ways that only a trial shows.

No tier lets the child see the user's home, the environment or credentials: it gets `environ` as given, reads the
system, the interpreter and the folders named, and writes to `write` alone.
"""

from __future__ import annotations

import functools
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import neo_cli

TRIAL_SECONDS = 20
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/ssl/openssl.cnf",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
)

# Root inside is root outside where the kernel asks for the owner alone: settings of the machine that root may write.
KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/acpi", "/proc/fs", "/proc/mtrr")


@dataclass(frozen=True)
class Limits:
    """Resource limits of the child: bytes, counts; None leaves one alone."""

    memory: int | None = None  # address space; compilers and frameworks reserve more than they touch
    file_size: int | None = 16 * 2**30
    open_files: int | None = 4096
    processes: int | None = None  # counts the whole user id, so it is set inside a user namespace only


@dataclass(frozen=True)
class Tier:
    """A sandbox tier and why better ones were not taken."""

    name: str
    passed_over: tuple[str, ...] = ()

    @property
    def confines(self) -> bool:
        return self.name != "none"


@functools.cache
def probe() -> Tier:
    """The best tier whose trial ran on this machine."""
    passed_over: list[str] = []
    for name, trial in (("bubblewrap", _try_bubblewrap), ("landlock", _try_landlock)):
        fault = trial()
        if fault is None:
            return Tier(name, tuple(passed_over))
        passed_over.append(f"{name}: {fault}")
    return Tier("none", tuple(passed_over))


def command(tier: Tier, argv: Sequence[str], *, read: Sequence[Path] = (), write: Sequence[Path] = ()) -> list[str]:
    """`argv` inside the tier; `write` folders exist and stay at their paths, the first one is the working folder."""
    if tier.name == "bubblewrap":
        return _bubblewrap(argv, read, write)
    if tier.name == "landlock":
        rules = [a for p in (*_readable(), *read) for a in ("--read", str(p))] + [
            a for p in write for a in ("--write", str(p))
        ]
        return [*_confine(*rules), *argv]
    return list(argv)


def environment(environ: Mapping[str, str], work: Path) -> dict[str, str]:
    """What the child may know: a path, a language, the folders to write to. No credentials, no settings of the user."""
    kept = {k: v for k, v in environ.items() if k in ("PATH", "LANG", "LC_ALL", "TZ", "NEO_SAVE_TEMPS", "NEO_THREADS")}
    private = _private(work)
    paths = [str(Path(neo_cli.__file__).resolve().parents[1])]
    return {
        "PATH": os.defpath, **kept, "HOME": str(private), "TMPDIR": str(private), "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0",
    }  # fmt: skip


def apply(limits: Limits) -> Callable[[], None]:
    """A function for the child, between fork and exec, that sets the limits and drops core dumps."""

    def enter() -> None:
        wanted = {
            resource.RLIMIT_AS: limits.memory, resource.RLIMIT_FSIZE: limits.file_size,
            resource.RLIMIT_NOFILE: limits.open_files, resource.RLIMIT_NPROC: limits.processes, resource.RLIMIT_CORE: 0,
        }  # fmt: skip
        for kind, value in wanted.items():
            if value is not None:
                hard = resource.getrlimit(kind)[1]
                low = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (low, low))

    return enter


def _readable() -> list[Path]:
    """The system's libraries, the interpreter and its packages, and neo-cli itself."""
    import sysconfig

    roots = {Path(p) for p in SYSTEM if os.path.lexists(p)}
    roots |= {Path(sys.prefix), Path(sys.base_prefix), Path(neo_cli.__file__).resolve().parents[1]}  # it is listed, too
    roots |= {Path(sysconfig.get_paths()[k]) for k in ("stdlib", "platstdlib", "purelib", "platlib")}
    roots.add(Path(sys.executable).resolve().parent.parent)
    return sorted(p for p in roots if os.path.exists(p))  # what may not be looked at is left out


def _bubblewrap(argv: Sequence[str], read: Sequence[Path], write: Sequence[Path]) -> list[str]:
    found = shutil.which("bwrap") or "bwrap"
    line = [
        found, "--unshare-user", "--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev",
    ]  # fmt: skip
    for place in ("/tmp", "/dev/shm"):  # of the work folder, so that they count as its disk; a tmpfs would take memory
        line += ["--bind", str(_private(write[0])), place] if write else ["--tmpfs", place]
    for name in KERNEL:
        line += ["--ro-bind-try", name, name]
    for path in (*_readable(), *read):
        if path.is_symlink() and str(path) in SYSTEM:
            line += ["--symlink", os.readlink(path), str(path)]
        else:
            line += ["--ro-bind", str(path), str(path)]
    for path in write:
        line += ["--bind", str(path), str(path)]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(write[0]) if write else "/tmp", "--"]
    return [*line, *_confine("--calls"), *argv]


def _confine(*options: str) -> list[str]:
    return [sys.executable, "-I", str(Path(__file__).with_name("confine.py")), *options, "--"]


def _private(work: Path) -> Path:
    """Where the child keeps its temporary files."""
    folder = work / "tmp"
    folder.mkdir(exist_ok=True)
    return folder


def _try_bubblewrap() -> str | None:
    if not sys.platform.startswith("linux") or shutil.which("bwrap") is None:
        return "the program bwrap is not installed"
    return _trial(_bubblewrap([sys.executable, "-I", "-c", "pass"], (), ()))


def _try_landlock() -> str | None:
    if not sys.platform.startswith("linux"):
        return "Landlock is Linux's"
    return _trial(command(Tier("landlock"), [sys.executable, "-I", "-c", "pass"]))


def _trial(argv: list[str]) -> str | None:
    try:
        run = subprocess.run(
            argv, capture_output=True, text=True, timeout=TRIAL_SECONDS, env={"PATH": os.defpath}, cwd="/"
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if run.returncode == 0:
        return None
    lines = run.stderr.strip().splitlines()
    return lines[-1] if lines else f"a trial ended with code {run.returncode}"
