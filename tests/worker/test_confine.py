"""The system call filter, run step by step as the kernel runs it, for both architectures it is written for."""

from __future__ import annotations

import struct

import pytest

from neo_cli.worker.confine import CLONE, CLONE3, CLONE_NEWUSER, REFUSED, SOCKET, program

ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def answer(filter_: bytes, audit: int, number: int, argument: int = 0) -> int:
    """What the filter says to one call: classic BPF over struct seccomp_data (number, architecture, ip, arguments)."""
    data = struct.pack("<IIQQ", number, audit, 0, argument)
    steps = list(struct.iter_unpack("<HBBI", filter_))
    held = at = 0
    while True:
        code, true, false, value = steps[at]
        if code == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif code == 0x06:
            return value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]
            at += true if holds else false
        at += 1


@pytest.mark.parametrize("machine", REFUSED)
@pytest.mark.parametrize("sockets", [False, True])
def test_each_call_gets_its_answer(machine: str, sockets: bool) -> None:
    audit, refused = REFUSED[machine]
    written = program(machine, sockets)
    said = {number: answer(written, audit, number) for number in range(512)}
    denied = set(refused) | (set() if sockets else {SOCKET[machine]})
    assert {n for n, what in said.items() if what == EPERM} == denied
    assert {n for n, what in said.items() if what == ENOSYS} == {CLONE3}
    assert {n for n, what in said.items() if what == ALLOW} == set(range(512)) - denied - {CLONE3}
    clone = CLONE[machine]
    assert answer(written, audit, clone, 0x3D0F00) == ALLOW  # a thread
    assert answer(written, audit, clone, CLONE_NEWUSER | 17) == EPERM
    assert answer(written, 0x40000003, 1) == KILL  # another architecture's numbers mean other calls
    if machine == "x86_64":
        assert answer(written, audit, 0x40000000 | SOCKET[machine]) == EPERM
