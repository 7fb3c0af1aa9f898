"""The kernel's own out-of-memory killer, in a memory group of a real kernel: the reason says memory (case 49)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neo_cli.jobs import life
from neo_cli.jobs.job import COMPLETED, INPROGRESS, Runner
from neo_cli.jobs.service import Service
from neo_cli.jobs.stores.memory import MemoryStore
from reliability.test_faults import DONE
from worker.conftest import House
from worker.test_attempt import finish, reason, runner

EAT = "x = []\nwhile True: x.append(bytearray(b'x' * 2**20))\n"
# The runner takes the memory itself, and offers itself before its compiler.
GREEDY = """
import neo_cli.worker.limits as l
def look(self, kept=[]):
    open('/proc/self/oom_score_adj', 'w').write('900')
    while True: kept.append(bytearray(b'x' * 2**20))
l.Limits.look = look
"""
SIZE = 160 * 2**20


@pytest.fixture
def group() -> Iterator[Path]:
    """A memory control group of SIZE bytes; version 1 or 2."""
    roots = {Path("/sys/fs/cgroup/memory"): "memory.limit_in_bytes", Path("/sys/fs/cgroup"): "memory.max"}
    for root, limit in roots.items():
        folder = root / f"neo-test-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(SIZE))
        except OSError:
            if folder.is_dir():
                folder.rmdir()
            continue
        yield folder
        for _ in range(100):
            if not (folder / "cgroup.procs").read_text():
                break
            time.sleep(0.05)
        folder.rmdir()
        return
    pytest.skip("no memory control group can be made here")


def inside(group: Path) -> str:
    return f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"


def test_a_compiler_that_the_kernel_ends_says_memory_and_the_runner_goes_on(house: House, group: Path) -> None:
    before = life.memory_kills()
    house.create("a")
    house.create("b")
    script = f"if order['request']['CompilationJobName'] == 'a':\n    {EAT.replace(chr(10), '; ', 1).strip()}\n"
    script = script.replace("; while", "\n    while") + DONE
    assert finish(runner(house, script, before=inside(group))) == 0
    assert life.memory_kills() != before
    assert reason(house, "a") == "InternalServerError: The compiler ran out of memory: the kernel ended it (SIGKILL)."
    assert house.store.get("a").attempt == 1 and house.status("b") == COMPLETED  # type: ignore[union-attr]


def test_a_runner_that_the_kernel_ends_is_lost_for_want_of_memory(house: House, group: Path) -> None:
    house.create("a")
    for attempt in (1, 2, 3):
        dead = runner(house, "import time; time.sleep(60)", before=inside(group) + GREEDY)
        dead.communicate(timeout=60)
        assert dead.returncode == -9 and house.status("a") == INPROGRESS
        assert house.store.get("a").attempt == attempt  # type: ignore[union-attr]
        life.tend(house.store, time.time())
    want = "InternalServerError: The worker of the job was lost 3 times for want of memory."
    assert reason(house, "a") == want
    assert [e.detail for e in house.store.events("a")].count("its worker was lost for want of memory") == 2


@pytest.mark.parametrize(
    ("before", "after", "starved"), [(3, 4, True), (3, 3, False), (None, 4, False), (3, None, False)]
)
def test_what_the_kernel_counts_decides(
    before: int | None, after: int | None, starved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.conftest import request_for

    service = Service(MemoryStore(), lambda: 1.0)
    service.call("CreateCompilationJob", request_for("a"))
    me = life.identity()
    service.store.claim(Runner(me.host, me.boot, me.pid, me.start - 1), 1.0, 9.0, 1)
    service.store.note("a", 1, {life.KILLS: before})
    monkeypatch.setattr(life, "memory_kills", lambda: after)
    life.tend(service.store, 2.0)
    assert ("memory" in service.store.events("a")[-1].detail) == starved
