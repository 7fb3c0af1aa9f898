"""A job's log: one JSON object a line, control characters escaped, capped in size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

CAP = 64 * 2**20  # bytes of one job's log
LINE = 8192  # characters of one line; the rest is dropped and said to be
PREFIX = "stage: "


class Journal:
    """Lines of one attempt. A line "stage: x" from the compiler sets the stage of those after it."""

    def __init__(self, file: Path, job: str, attempt: int, now: Callable[[], float] = time.time) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = "ab" if attempt > 1 else "wb"  # a name used again starts a new log
        self._stream = file.open(mode, buffering=0)
        self._job, self._attempt, self._now, self._stage = job, attempt, now, "worker"
        self._size, self._full = self._stream.tell(), False

    def line(self, text: str, level: str = "INFO") -> None:
        """Write one line; nothing once the cap is reached. A disk that is full loses lines, not the job."""
        if self._full:
            return
        if text.startswith(PREFIX):
            self._stage = text.removeprefix(PREFIX).split(":")[0]
        if len(text) > LINE:
            text = text[:LINE] + f"… ({len(text) - LINE} characters more)"
        if self._size > CAP:
            self._full, level, text = True, "WARNING", f"The log has reached {CAP} bytes; what follows is not kept."
        record = {
            "ts": round(self._now(), 3),
            "level": level,
            "job": self._job,
            "attempt": self._attempt,
            "stage": self._stage,
            "msg": _printable(text),
        }
        data = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        try:
            self._stream.write(data)
        except OSError:
            return
        self._size += len(data)

    def close(self) -> None:
        self._stream.close()


def _printable(text: str) -> str:
    """Control characters as escapes: a log line must not move a reader's cursor."""
    return "".join(c if (c >= " " and c != "\x7f") or c == "\t" else f"\\x{ord(c):02x}" for c in text)
