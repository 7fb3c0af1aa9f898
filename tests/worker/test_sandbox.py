"""The sandbox: what model code may not do, tried in each tier that works here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neo_cli.worker.limits import used_disk
from neo_cli.worker.sandbox import Limits, Tier, apply, command, environment, probe

TIERS = ("bubblewrap", "landlock")
PLAIN = Limits()

ATTEMPTS = """
import json, os, socket, sys
home, server, parent, work = sys.argv[1:]
def attempt(action):
    try:
        action()
        return "done"
    except BaseException as fault:
        return type(fault).__name__
def connect():
    socket.create_connection(("127.0.0.1", int(server)), 2)
def datagram():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", int(server)))
print(json.dumps({
    "read a secret": attempt(lambda: open(home + "/secret").read()),
    "list the home": attempt(lambda: os.listdir(home)),
    "write to the home": attempt(lambda: open(home + "/pwned", "w").write("x")),
    "connect": attempt(connect),
    "datagram": attempt(datagram),
    "signal the parent": attempt(lambda: os.kill(int(parent), 0)),
    "write to the system": attempt(lambda: open("/usr/pwned", "w")),
    "work": attempt(lambda: open(work + "/result", "w").write("x")),
    "environment": sorted(os.environ),
}))
"""


def available(name: str) -> bool:
    tier = probe()
    if name == "bubblewrap":
        return tier.name == name
    return (
        tier.name == name
        or subprocess.run(command(Tier(name), [sys.executable, "-c", "pass"]), capture_output=True).returncode == 0
    )


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> Tier:
    if not available(request.param):
        if os.environ.get("NEO_CI"):
            pytest.fail(f"{request.param} does not work on this machine")
        pytest.skip(f"{request.param} does not work on this machine")
    return Tier(request.param)


def run(tier: Tier, code: str, work: Path, *arguments: str, limits: Limits = PLAIN) -> subprocess.CompletedProcess[str]:
    environ = environment({"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "s3cret", "SECRET": "x"}, work)
    argv = command(tier, [sys.executable, "-c", code, *arguments], write=[work])
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, preexec_fn=apply(limits))


def test_model_code_reaches_nothing_but_its_folder(tier: Tier, tmp_path: Path) -> None:
    import socket

    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (home / "secret").write_text("s3cret")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = server.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        datagrams.settimeout(0.2)
        done = run(tier, ATTEMPTS, work, str(home), str(port), str(os.getpid()), str(work))
        with pytest.raises(TimeoutError):
            datagrams.recv(10)
        server.settimeout(0.2)
        with pytest.raises(TimeoutError):
            server.accept()
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen.pop("work") == "done" and (work / "result").read_text() == "x"
    assert not {"AWS_SECRET_ACCESS_KEY", "SECRET"} & set(seen.pop("environment"))
    datagram = seen.pop("datagram")  # an isolated network takes it and loses it; nothing arrived above
    assert datagram == "done" or tier.name == "landlock"
    assert "done" not in seen.values(), seen
    assert sorted(p.name for p in home.iterdir()) == ["secret"]


def test_limits_hold_inside(tier: Tier, tmp_path: Path) -> None:
    big = run(tier, "bytearray(2**31)", tmp_path, limits=Limits(memory=2**30))
    assert "MemoryError" in big.stderr and big.returncode == 1
    long = run(tier, "open('f', 'wb').write(bytes(2**21))", tmp_path, limits=Limits(file_size=2**20))
    assert "File too large" in long.stderr and (tmp_path / "f").stat().st_size <= 2**20


def test_nothing_can_be_written_that_is_not_counted(tmp_path: Path) -> None:
    """A private /tmp and /dev/shm are part of the job's folder; no file system in memory can be filled."""
    if probe().name != "bubblewrap":
        pytest.skip("bubblewrap does not work on this machine")
    code = (
        "import os\nfor name in ('/tmp/a', '/dev/shm/b'): open(name, 'wb').write(bytes(2**20))\n"
        "found = []\n"
        "for line in open('/proc/self/mountinfo'):\n"
        "    place, options, kind = line.split()[4], line.split()[5], line.split(' - ')[1].split()[0]\n"
        "    if kind in ('tmpfs', 'ramfs') and 'rw' in options.split(',') and os.access(place, os.W_OK) and os.path.isdir(place):\n"
        "        found.append(place)\n"
        "print(found)"
    )
    done = run(Tier("bubblewrap"), code, tmp_path)
    assert done.returncode == 0 and done.stdout == "[]\n", done
    assert {p.stat().st_size for p in (tmp_path / "tmp").iterdir() if p.is_file()} == {2**20}
    assert used_disk(tmp_path) >= 2 * 2**20


def test_frameworks_and_threads_work_inside(tier: Tier, tmp_path: Path) -> None:
    code = "import numpy, threading, subprocess, sys, ctypes\nnumpy.ones((64, 64)) @ numpy.ones((64, 64))\nt = threading.Thread(target=print); t.start(); t.join()\nsubprocess.run([sys.executable, '-c', 'pass'], check=True)"
    done = run(tier, code, tmp_path)
    assert done.returncode == 0, done.stderr


def test_bubblewrap_ends_every_process_of_the_job(tmp_path: Path) -> None:
    if probe().name != "bubblewrap":
        pytest.skip("bubblewrap does not work on this machine")
    code = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)', 'neo-daemon-mark'], start_new_session=True)"
    assert run(Tier("bubblewrap"), code, tmp_path).returncode == 0
    marked = subprocess.run(["pgrep", "-f", "neo-daemon-mark"], capture_output=True, text=True).stdout.split()
    assert not [pid for pid in marked if "time.sleep(120)" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_the_probe_prints_the_tier() -> None:
    done = subprocess.run([sys.executable, "-m", "neo_cli.worker.probe"], capture_output=True, text=True)
    assert json.loads(done.stdout)["sandbox"] == probe().name
