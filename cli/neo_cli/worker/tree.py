"""Processes of a job: all descendants of the runner, whatever session they fled to; asked to end, then ended."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans (Linux's child subreaper), so that none gets away."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """For the child, between fork and exec: be killed when the runner is."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)


def prefer_as_victim() -> None:
    """For the child: when the kernel ends processes for want of memory, let it be this one before its runner."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        return


def descendants(root: int) -> list[int]:
    """All live processes below `root`, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], list(children.get(root, ()))
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue += children.get(pid, ())
    return found


def usage(root: int) -> tuple[int, int]:
    """Resident bytes of all processes below `root` (shared pages counted once a process), and how many they are."""
    pages, below = 0, descendants(root)
    for pid in below:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE"), len(below)


def end(
    root: int, grace: float, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> None:
    """TERM to everything below `root`, `grace` seconds to comply, then KILL until nothing is left."""
    _signal(descendants(root), signal.SIGTERM)
    limit = clock() + grace
    while descendants(root) and clock() < limit:
        _collect()
        sleep(0.05)
    for _ in range(100):
        left = descendants(root)
        if not left:
            break
        _signal(left, signal.SIGKILL)
        _collect()
        sleep(0.02)
    _collect()


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)  # a stopped process sees TERM only when it runs
        except (ProcessLookupError, PermissionError):
            continue


def _collect() -> None:
    """Take the exit statuses of adopted orphans; the compiler's own is left for whoever waits for it by number."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in KEPT:
            return
        try:
            os.waitpid(found.si_pid, os.WNOHANG)
        except ChildProcessError:
            return


KEPT: set[int] = set()  # processes whose exit status somebody else waits for
