"""Clocks that jump, machines that sleep, a client whose clock is wrong: with a clock that is loaded first, and the kernel's freezer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from neo_cli.jobs import launch, life
from neo_cli.jobs.job import COMPLETED, INPROGRESS
from reliability.test_faults import DONE, READY, ready
from worker.conftest import House, wait_for
from worker.test_attempt import finish, reason, runner

QUICK = "a.HEARTBEAT = 0.2\n"

# The wall clock alone, and what the file says it is off by, at each look; other clocks and all sleeping stay the kernel's.
CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long off(void) {
  char text[32] = {0};
  int file = open(getenv("NEO_TEST_CLOCK"), O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  long got = read(file, text, sizeof text - 1);
  close(file);
  return got > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t which, struct timespec *out) {
  int code = (int)syscall(SYS_clock_gettime, which, out);
  if (code == 0 && which == CLOCK_REALTIME) out->tv_sec += off();
  return code;
}
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  out->tv_sec = now.tv_sec;
  out->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wall clock that jumps, for processes that load it first."""
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    compiler = ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    subprocess.run([*compiler, "-shared", "-fPIC", "-O1", "-o", "clock.so", "clock.c"], cwd=folder, check=True)
    return folder / "clock.so"


def fake(library: Path, file: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose wall clock is `seconds` off, by what `file` says at the time."""
    jump(file, seconds)
    return {"LD_PRELOAD": str(library), "NEO_TEST_CLOCK": str(file)}


def jump(file: Path, seconds: int) -> None:
    new = file.with_name(file.name + ".new")
    new.write_text(str(seconds))
    new.rename(file)


@linux
def test_a_clock_that_jumps_back_and_forth_costs_no_job(house: House, library: Path) -> None:
    """Case 72: the runner's wall clock jumps by an hour and back by two; commands look with the right one."""
    house.create("a")
    house.environ |= fake(library, house.root / "clock", 0)
    process = runner(house, READY + f"import os, time\nwhile not os.path.exists({str(house.root / 'go')!r}): time.sleep(0.1)\n" + DONE, before=QUICK)  # fmt: skip
    ready(house)
    for seconds in (3600, -3600):
        jump(house.root / "clock", seconds)
        wait_for(lambda s=seconds: abs((house.store.get("a").lease or 0) - time.time() - s - 30) < 60, 10)  # type: ignore[misc,union-attr]
        for now in (time.time(), time.time() + 3600):
            life.tend(house.store, now)
        assert house.status("a") == INPROGRESS
    (house.root / "go").touch()
    assert finish(process) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 1), job.reason


@linux
def test_a_time_out_is_measured_by_a_clock_that_does_not_jump(house: House, library: Path) -> None:
    """The wall clock goes back by an hour and then an hour ahead: 2 seconds of work are 2 seconds."""
    for name, seconds in (("a", -3600), ("b", 3600)):
        house.create(name, StoppingCondition={"MaxRuntimeInSeconds": 2})
        house.environ |= fake(library, house.root / "clock", 0)
        process = runner(house, READY + "import time; time.sleep(60)")
        ready(house, name)
        jump(house.root / "clock", seconds)
        assert finish(process) == 0
        assert reason(house, name) == "ClientError: TimeOut: The job did not complete within 2 seconds."


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A group of processes that the kernel can freeze, as it freezes all of them for a suspend."""
    folder = Path(f"/sys/fs/cgroup/freezer/neo-test-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("no freezer control group can be made here")
    yield folder
    (folder / "freezer.state").write_text("THAWED")
    for _ in range(100):
        if not (folder / "cgroup.procs").read_text():
            break
        time.sleep(0.05)
    folder.rmdir()


def test_a_machine_that_slept_beyond_the_lease_goes_on(house: House, freezer: Path) -> None:
    """Case 74: all of the job is frozen by the kernel and its lease runs out; it lives, so nobody takes the job."""
    house.create("a")
    before = f"import os; open({str(freezer / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n{QUICK}a.LEASE = 1.0\n"
    process = runner(house, READY + "import time; time.sleep(1)\n" + DONE, before=before)
    ready(house)
    (freezer / "freezer.state").write_text("FROZEN")
    wait_for(lambda: (freezer / "freezer.state").read_text() == "FROZEN\n", 10)
    lease = house.store.get("a").lease  # type: ignore[union-attr]
    time.sleep(2)
    assert lease and time.time() > lease and house.store.get("a").lease == lease  # type: ignore[union-attr]
    launch.look(house.store, house.environ, time.time())
    assert house.status("a") == INPROGRESS
    (freezer / "freezer.state").write_text("THAWED")
    assert finish(process) == 0
    job = house.store.get("a")
    assert job is not None and (job.status, job.attempt) == (COMPLETED, 1)


class Punctual(BaseHTTPRequestHandler):
    """SageMaker's answer to a signature that is more than five minutes off, with its own time in it."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        signed = datetime.strptime(self.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        off = (signed - datetime.now(UTC)).total_seconds()
        if abs(off) <= 300:
            code, said = "ResourceNotFound", "Could not find requested job"
        else:
            now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            text = "Signature not yet current: {} is still later than {} ({} + 5 min.)" if off > 0 else "Signature expired: {} is now earlier than {} ({} - 5 min.)"  # fmt: skip
            code, said = "InvalidSignatureException", text.format(self.headers["X-Amz-Date"], now, now)
        body = f'{{"__type": "{code}", "message": "{said}"}}'.encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def punctual() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Punctual)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@linux
@pytest.mark.parametrize("minutes", [10, -10, 1])
def test_a_client_whose_clock_is_wrong_is_told_the_servers_time(
    tmp_path: Path, library: Path, punctual: str, minutes: int
) -> None:
    """Case 73: signed with a clock that is off; what the service says about it is shown as the AWS CLI shows it."""
    environ = {
        **fake(library, tmp_path / "clock", 60 * minutes), "PATH": os.defpath, "HOME": str(tmp_path), "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1", "NEO_HOME": str(tmp_path),
    }  # fmt: skip
    given = ["--endpoint-url", punctual, "--compilation-job-name", "a"]
    said = dict[str, str]()
    for name, line in {
        "ours": [sys.executable, "-m", "neo_cli", "describe-compilation-job", *given],
        "theirs": [str(Path(sys.executable).with_name("aws")), "sagemaker", "describe-compilation-job", *given],
    }.items():
        done = subprocess.run(line, env=environ, capture_output=True, text=True, timeout=120)
        assert done.stdout == "" and done.returncode == (254 if name == "ours" else done.returncode), done
        said[name] = re.sub(r"\d{8}T\d{6}Z", "TIME", done.stderr.strip())
        if abs(minutes) > 5:
            assert "(InvalidSignatureException)" in said[name] and said[name].count("TIME") == 3
        else:
            assert "(ResourceNotFound)" in said[name]
    assert said["ours"] == "neo-cli: [ERROR]: " + said["theirs"].removeprefix("aws: [ERROR]: ")
