"""Ways out of the sandbox, each an expression that must raise or achieve nothing; run inside by test_escapes.py.

Prints one JSON object: name -> "done" or the error's name. Arguments: a folder of the user's, TCP port, parent pid.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HOME, PORT, PARENT = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_descriptors() -> None:
    """A descriptor left open by the parent would lead outside."""
    for name in os.listdir("/proc/self/fd"):
        target = os.readlink(f"/proc/self/fd/{name}")
        if str(HOME) in target:
            return
    raise PermissionError("none leads outside")


def link_out() -> None:
    os.symlink(str(HOME / "secret"), "way-out")
    Path("way-out").read_text()


def abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.connect("\0neo-escape-" + str(PORT))


def trace_parent() -> None:
    checked(LIBC.ptrace(16, PARENT, None, None))  # PTRACE_ATTACH


def mount_again() -> None:
    """New namespaces would give back the right to mount; a mount would show what was hidden."""
    checked(LIBC.unshare(0x10000000 | 0x00020000))  # CLONE_NEWUSER | CLONE_NEWNS
    checked(LIBC.mount(b"none", b"/proc", b"proc", 0, None))
    Path(f"/proc/{PARENT}/environ").read_bytes()


def clone(flags: int) -> None:
    """A child in namespaces of its own would have every right there, and the kernel's attack surface with them."""
    pid = LIBC.syscall(56 if os.uname().machine == "x86_64" else 220, flags | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    checked(pid)
    os.waitpid(pid, 0)


def parents_environment() -> None:
    if b"NEO_ESCAPE_SECRET" in Path(f"/proc/{PARENT}/environ").read_bytes():
        return
    raise PermissionError("it is somebody else's")


def mount_writable() -> None:
    """What is bound read-only stays so only for those who may not mount."""
    checked(LIBC.mount(None, b"/usr", None, 0x1020, None))  # MS_REMOUNT | MS_BIND, without MS_RDONLY


def rewrite(setting: str) -> None:
    """The kernel's own settings, written with what they hold."""
    Path(setting).write_text(Path(setting).read_text())


def setuid_program() -> None:
    subprocess.run(["/bin/mount", "-t", "tmpfs", "none", "/usr"], check=True, capture_output=True)


def connect(family: int, address: tuple[str, int]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.settimeout(2)
        made.connect(address)


TRIES: dict[str, Callable[[], object]] = {
    "read a file of the user": lambda: (HOME / "secret").read_text(),
    "list a folder of the user": lambda: os.listdir(HOME),
    "write beside it": lambda: (HOME / "written").write_text("x"),
    "read through a link": link_out,
    "read through a hard link": lambda: os.link(HOME / "secret", "hard"),
    "read through /proc/self/root": lambda: Path(f"/proc/self/root{HOME}/secret").read_text(),
    "read through the parent's root": lambda: Path(f"/proc/{PARENT}/root{HOME}/secret").read_text(),
    "read through the parent's folder": lambda: Path(f"/proc/{PARENT}/cwd/secret").read_text(),
    "use an open descriptor": read_descriptors,
    "read the parent's environment": parents_environment,
    "read the parent's memory": lambda: os.open(f"/proc/{PARENT}/mem", os.O_RDONLY),
    "trace the parent": trace_parent,
    "signal the parent": lambda: os.kill(PARENT, 0),
    "signal everybody": lambda: os.kill(PARENT, 18),
    "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", PORT)),
    "connect by IPv6": lambda: connect(socket.AF_INET6, ("::1", PORT)),
    "connect to a socket in the file system": lambda: socket.socket(socket.AF_UNIX).connect(str(HOME / "socket")),
    "connect to an abstract socket": abstract_socket,
    "open a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).bind(("lo", 0)) or (HOME / "secret").read_text(),
    "mount in new namespaces": mount_again,
    "clone into new namespaces": lambda: clone(0x10000000 | 0x00020000),
    "hold memory in a file of memory": lambda: os.memfd_create("neo"),
    "hold memory that belongs to no process": lambda: checked(LIBC.shmget(0, 1 << 20, 0o600)),
    "write beside the system": lambda: Path("/written").write_text("x"),
    "write among the devices": lambda: Path("/dev/written").write_text("x"),
    "run a program with more rights": setuid_program,
    "write to the system": lambda: Path("/usr/written").write_text("x"),
    "write to the interpreter's packages": lambda: Path(json.__file__).with_name("written").write_text("x"),
    "mount the system writable": mount_writable,
    "write who handles crashes": lambda: rewrite("/proc/sys/kernel/core_pattern"),
    "write a kernel setting": lambda: rewrite("/proc/sys/vm/swappiness"),
    "write the name of the machine": lambda: Path("/proc/sys/kernel/hostname").write_text("pwned"),
    "open a disk": lambda: [os.open(f"/dev/{n}", os.O_RDONLY) for n in ("vda", "sda", "nvme0n1", "mem", "kmsg")],
    "make a device": lambda: os.mknod("disk", 0o600 | 0o060000, os.makedev(8, 0)),
    "leave by chroot": lambda: (os.chroot("."), (HOME / "secret").read_text()),
    "add a kernel key": lambda: checked(LIBC.syscall(248, b"user", b"neo", b"x", 1, -5)) if os.uname().machine == "x86_64" else 1 / 0,
    "load a kernel module": lambda: checked(LIBC.syscall(313, 0, b"", 0)) if os.uname().machine == "x86_64" else 1 / 0,
}  # fmt: skip


def main() -> None:
    found = {}
    for name, attempt in TRIES.items():
        try:
            attempt()
            found[name] = "done"
        except BaseException as fault:
            found[name] = type(fault).__name__
    print(json.dumps(found))


if __name__ == "__main__":
    main()
