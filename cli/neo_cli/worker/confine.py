"""Confine this process with Landlock and seccomp, then become the command: python confine.py --read P --write P -- ARGV.

Runs as a script under `python -I`, with the standard library alone. Landlock (Linux 5.13; Linux's documentation
"Landlock: unprivileged access control") limits the file system to the paths given; the seccomp filter refuses new
sockets, tracing, mounting, new namespaces, keyrings, kernel modules and shared memory outside the file system with
EPERM. Exit code 97 when the kernel has no Landlock.

`--calls -- ARGV` installs the filter alone, sockets allowed: inside bubblewrap, whose namespaces do the rest.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

CREATE, ADD, RESTRICT = 444, 445, 446  # the same numbers on every architecture
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
NET_BIND_CONNECT = 0b11  # TCP, from ABI 4
SCOPE_ALL = 0b11  # abstract sockets and signals outside, from ABI 6
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | (1 << 14)
NO_LANDLOCK = 97
MAKE_DEVICES = 1 << 6 | 1 << 11  # character and block devices: no folder gives the right to make one
PR_CAPBSET_DROP, LAST_CAPABILITY = 24, 63

SOCKET = {"x86_64": 41, "aarch64": 198}
CLONE, CLONE3 = {"x86_64": 56, "aarch64": 220}, 435
CLONE_NEWUSER = 0x10000000

# architecture -> (audit number, system calls refused besides SOCKET)
REFUSED = {
    "x86_64": (0xC000003E, (29, 64, 68, 101, 155, 161, 165, 166, 167, 168, 169, 175, 176, 246, 248, 249, 250, 272, 298, 304, 308, 310, 311, 313, 319, 320, 321, 323, 447, 425, 426, 427, 428, 429, 430, 431, 432, 433, 442)),
    "aarch64": (0xC00000B7, (186, 190, 194, 117, 39, 40, 41, 51, 104, 105, 106, 217, 218, 219, 97, 241, 265, 268, 270, 271, 273, 279, 280, 282, 447, 294, 425, 426, 427, 428, 429, 430, 431, 432, 433, 442)),
}  # fmt: skip


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def call(function: ctypes.CDLL, *arguments: object) -> int:
    result: int = function.syscall(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def restrict_files(library: ctypes.CDLL, read: list[str], write: list[str]) -> None:
    """Reads and execution below `read` (and devices), everything below `write`, nothing else."""
    abi = library.syscall(ctypes.c_long(CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if abi < 1:
        sys.stderr.write("the kernel has no Landlock\n")
        raise SystemExit(NO_LANDLOCK)
    rights = RIGHTS_BY_ABI.get(abi, RIGHTS_BY_ABI[5])
    network, scope = NET_BIND_CONNECT if abi >= 4 else 0, SCOPE_ALL if abi >= 6 else 0
    attribute = struct.pack("QQQ", rights, network, scope)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = call(
        library, ctypes.c_long(CREATE), ctypes.c_char_p(attribute), ctypes.c_size_t(len(attribute)), ctypes.c_uint32(0)
    )
    devices = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/full"]
    for paths, granted in (
        (read, EXECUTE | READ_FILE | READ_DIR),
        (["/proc"], READ_FILE | READ_DIR),
        (devices, READ_FILE | WRITE_FILE),
        (write, rights & ~MAKE_DEVICES),
    ):
        for path in paths:
            if not os.path.exists(path):
                continue
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = granted & rights & (~0 if os.path.isdir(path) else FILE_RIGHTS)
            rule = struct.pack("=Qi", allowed, handle)
            call(
                library,
                ctypes.c_long(ADD),
                ctypes.c_int(ruleset),
                ctypes.c_int(1),
                ctypes.c_char_p(rule),
                ctypes.c_uint32(0),
            )
            os.close(handle)
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    call(library, ctypes.c_long(RESTRICT), ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def drop_capabilities(library: ctypes.CDLL) -> None:
    """Root keeps none of its powers over the exec that follows; whoever has none is refused and needs nothing."""
    for number in range(LAST_CAPABILITY + 1):
        library.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)


def program(machine: str, sockets: bool) -> bytes:
    """The filter as BPF: another architecture ends the process, refused calls answer EPERM.

    clone may make no user namespace; clone3, whose flags a filter cannot see, answers ENOSYS, and libraries use clone.
    """
    audit, calls = REFUSED[machine]
    calls = calls if sockets else (SOCKET[machine], *calls)
    allow, kill, deny, unknown = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
    load, equal, above, bits, give = 0x20, 0x15, 0x35, 0x45, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, audit), (give, 0, 0, kill), (load, 0, 0, 0)]
    if machine == "x86_64":  # x32 calls carry bit 30 and would pass a filter by number
        steps += [(above, 0, 1, 0x40000000), (give, 0, 0, deny)]
    steps += [(equal, 0, 1, CLONE3), (give, 0, 0, unknown)]
    end = [
        (equal, 0, 2, CLONE[machine]),
        (load, 0, 0, 16),
        (bits, 1, 0, CLONE_NEWUSER),
        (give, 0, 0, allow),
        (give, 0, 0, deny),
    ]
    steps += [(equal, len(calls) - at + len(end) - 2, 0, number) for at, number in enumerate(calls)]  # to the last step
    steps += end
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def refuse_calls(library: ctypes.CDLL, sockets: bool = False) -> None:
    """Install the filter, where one is written for this machine; `sockets` leaves new sockets alone."""
    machine = platform.machine()
    if machine not in REFUSED:
        if sockets:  # namespaces hold without it
            return
        sys.stderr.write(f"no system call filter is written for {machine}\n")
        raise SystemExit(NO_LANDLOCK)
    written = program(machine, sockets)
    buffer = ctypes.create_string_buffer(written, len(written))
    header = struct.pack("HxxxxxxP", len(written) // 8, ctypes.addressof(buffer))
    if library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    if options == ["--calls"]:
        refuse_calls(libc(), sockets=True)
        os.execv(command[0], command)
    chosen: dict[str, list[str]] = {"--read": [], "--write": []}
    for name, value in zip(options[::2], options[1::2]):
        chosen[name].append(value)
    library = libc()
    restrict_files(library, chosen["--read"], chosen["--write"])
    drop_capabilities(library)
    refuse_calls(library)
    if chosen["--write"]:
        os.chdir(chosen["--write"][0])
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
