"""A pickle's opcodes, read before the pickle is: what would make its reader take memory or stack it has no use for.

CPython's unpickler believes the numbers in the file: it makes room for any memo number and any length, and hashing a
tuple follows its nesting on the machine's stack. So these are bounded by what the file can hold.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Sequence
from typing import Any

DEPTH = 1000  # objects inside objects; honest models have a few dozen
OPCODES = {op.code.encode("latin-1"): op for op in pickletools.opcodes}
WIDTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT4: 4, pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}  # fmt: skip
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
FILLERS = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}  # the object below stays the same one


class Absurd(pickle.UnpicklingError):
    """The pickle claims what no honest one would."""


def scan(data: Any, start: int = 0) -> int:
    """Read the opcodes of the pickle that begins at `start` of the bytes, and return where it ends. Raises Absurd."""
    at, count, held = start, 0, _Depths()
    while True:
        op = OPCODES.get(data[at : at + 1])
        if op is None:
            raise Absurd(
                "the pickle ends early" if at >= len(data) else f"the pickle has an unknown opcode at byte {at}"
            )
        argument, at = _argument(data, at + 1, op)
        count += 1
        if op.name in PUTS and argument > count:
            raise Absurd(f"the pickle's memo number {argument} is beyond the {count} opcodes before it")
        if op.name == "FRAME" and argument > len(data) - at:
            raise Absurd(f"the pickle declares a frame of {argument} bytes and has {len(data) - at} left")
        if op.name == "STOP":
            return at
        held.step(op, argument)


def _argument(data: Any, at: int, op: pickletools.OpcodeInfo) -> tuple[int, int]:
    """The number in the opcode's argument (0 where it is none), and where the next opcode begins."""
    size = op.arg.n if op.arg else 0
    if size == pickletools.UP_TO_NEWLINE:
        return _lines(data, at, op)
    if size in WIDTHS:
        width = WIDTHS[size]
        length = int.from_bytes(data[at : at + width], "little")
        if length > len(data) - at - width:
            raise Absurd(f"the pickle declares {length} bytes and has {max(0, len(data) - at - width)} left")
        return 0, at + width + length
    if at + size > len(data):
        raise Absurd("the pickle ends early")
    return int.from_bytes(data[at : at + size], "little"), at + size


def _lines(data: Any, at: int, op: pickletools.OpcodeInfo) -> tuple[int, int]:
    number = 0
    for _ in range(2 if op.name in ("GLOBAL", "INST") else 1):
        end = data.find(b"\n", at)
        if end < 0:
            raise Absurd("the pickle ends early")
        text = bytes(data[at : min(end, at + 40)]).strip()
        number = int(text) if text.isdigit() else 0
        if op.name in PUTS and not text.isdigit():
            raise Absurd(f"the pickle has the memo number {ascii(text.decode('latin-1'))[:40]}")
        at = end + 1
    return number, at


class _Depths:
    """The unpickler's stack and memo, with the nesting depth of each object in its place."""

    def __init__(self) -> None:
        self.stack: list[int] = []
        self.marks: list[int] = []
        self.memo: dict[int, int] = {}

    def step(self, op: pickletools.OpcodeInfo, argument: int) -> None:
        if op.name == "MARK":
            self.marks.append(len(self.stack))
        elif op.name == "POP_MARK" or (op.name == "POP" and self.marks and self.marks[-1] == len(self.stack)):
            del self.stack[self.marks.pop() if self.marks else 0 :]
        elif op.name in PUTS or op.name == "MEMOIZE":
            self.memo[len(self.memo) if op.name == "MEMOIZE" else argument] = self.stack[-1] if self.stack else 0
        elif op.name in GETS:
            self.stack.append(self.memo.get(argument, 0))
        elif op.name == "DUP":
            self.stack.append(self.stack[-1] if self.stack else 0)
        else:
            self._make(op)

    def _make(self, op: pickletools.OpcodeInfo) -> None:
        """Take what the opcode takes, put what it makes: one deeper than the deepest in it."""
        before = op.stack_before
        if pickletools.markobject in before:
            start = self.marks.pop() if self.marks else 0
            start -= before.index(pickletools.markobject)
        else:
            start = len(self.stack) - len(before)
        start = max(0, start)
        taken: Sequence[int] = self.stack[start:]
        del self.stack[start:]
        if not op.stack_after:
            return
        inside = taken[1:] if op.name in FILLERS else taken
        depth = 1 + max(inside, default=0) if taken else 1
        if op.name in FILLERS and taken:
            depth = max(taken[0], depth)
        if depth > DEPTH:
            raise Absurd(f"the pickle nests objects more than {DEPTH} deep")
        self.stack += [depth] * len(op.stack_after)
