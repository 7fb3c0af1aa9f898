"""What a job may use of the machine: memory, processes, disk; each looked at while it runs, each with its reason."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from neo_cli.base.errors import InternalError
from neo_cli.worker import tree

UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
PROCESSES = 2000  # a compiler has a few dozen; a fork bomb is noticed on its way
DISK = 64 * 2**30
DISK_EVERY = 8  # looks: a work folder may hold thousands of files


@dataclass
class Limits:
    """The limits of one attempt whose files lie in `folder`."""

    environ: Mapping[str, str]
    folder: Path
    looks: int = 0

    def look(self) -> None:
        """Raise InternalError with the reason when the job is beyond one of its limits."""
        memory = size(self.environ, "NEO_JOB_MEMORY") or _memory_of_machine() * 4 // 5
        used, processes = tree.usage(os.getpid())
        if used > memory:
            raise InternalError(f"The compiler ran out of memory: it may use {memory} bytes (NEO_JOB_MEMORY).")
        if processes > PROCESSES:
            raise InternalError(f"The compiler started more than {PROCESSES} processes.")
        self.looks += 1
        if self.looks % DISK_EVERY == 0:
            disk = size(self.environ, "NEO_JOB_DISK") or DISK
            if used_disk(self.folder) > disk:
                raise InternalError(f"The compiler ran out of disk: it may use {disk} bytes (NEO_JOB_DISK).")


def size(environ: Mapping[str, str], name: str) -> int | None:
    """Bytes of a setting such as "6G" or "800000"; None when it is not set. Raises InternalError."""
    text = environ.get(name, "").strip().upper()
    if text.isdigit():
        return int(text)
    if text and text[:-1].isdigit() and text[-1] in UNITS:
        return int(text[:-1]) * UNITS[text[-1]]
    if text:
        raise InternalError(f"{name} is '{text}'; it must be a whole number of bytes, or one with K, M, G or T.")
    return None


def used_disk(folder: Path) -> int:
    """Bytes that the files below `folder` take on the disk."""
    total, left = 0, [str(folder)]
    while left:  # no recursion: a model's code decides how deep it is
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def _memory_of_machine() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
