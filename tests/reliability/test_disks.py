"""Folders that vanish, disks that take no programs or no more files, limits of file size, a network's file system."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neo_cli.base.errors import InputError, InternalError
from neo_cli.jobs.job import COMPLETED
from neo_cli.jobs.logs import log_path
from neo_cli.jobs.stores import sqlite
from neo_cli.jobs.stores.base import StoreBusy, StoreError
from neo_cli.jobs.stores.sqlite import SqliteStore
from neo_cli.worker.locations.file import FileLocation
from reliability.test_faults import DONE, READY, ready, work
from worker.conftest import House
from worker.test_attempt import finish, reason, runner

SFTP = "/usr/lib/openssh/sftp-server"


@contextmanager
def disk(folder: Path, options: str) -> Iterator[None]:
    """A disk in memory at `folder` with mount options of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    line = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("mounting a disk needs root on a machine that allows it")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def working(house: House) -> Path:
    return Path(house.environ["NEO_HOME"], "state", "work")


def create(house: House, backend: str) -> None:
    output = {"S3OutputLocation": f"file://{house.root}/out", "TargetDevice": "ml_c4"}
    house.create("a", OutputConfig={**output, "CompilerOptions": f'{{"backend": "{backend}"}}'})


@pytest.mark.slow
def test_a_work_folder_on_which_nothing_may_run_is_named(house: House) -> None:
    """Case 50: the library that was compiled there cannot be loaded for its check."""
    create(house, "native")
    with disk(working(house), "noexec"):
        assert finish(runner(house)) == 0
    text = reason(house, "a")
    assert text.startswith("InternalServerError: ") and str(working(house)) in text, text
    assert house.output == []


def test_a_work_folder_that_cannot_be_written_is_named(house: House) -> None:
    house.create("a")
    with disk(working(house), "ro"):
        assert finish(runner(house)) == 0
    want = f"InternalServerError: The worker cannot work: [Errno 30] Read-only file system: '{working(house)}/a-1'."
    assert reason(house, "a") == want


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", pytest.param("native", marks=pytest.mark.long)])
def test_no_temporary_folder_that_can_be_written_is_no_matter(house: House, backend: str) -> None:
    """TMPDIR leads nowhere, and /tmp and /var/tmp of the runner take nothing: a compiler has its own."""
    house.environ["TMPDIR"] = "/proc/nowhere"
    create(house, backend)
    script = (
        "mount --bind /var /var && mount -o remount,bind,ro /var && mount --bind $0 $0 && "
        "mount --rbind /tmp /tmp && mount -o remount,bind,ro /tmp && ! touch /tmp/neo-probe /var/tmp/neo-probe 2>/dev/null && "
        f"exec {sys.executable} -m neo_cli.worker"
    )
    line = ["unshare", "-m", "sh", "-c", script, str(house.root)]
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("a name space of mounts needs root")
    done = subprocess.run(line, env=house.environ, cwd="/", capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    job = house.store.get("a")
    assert job is not None and job.status == COMPLETED, (job.reason, log_path(house.environ, "a").read_text())


def test_a_work_folder_that_vanishes_while_the_compiler_works(house: House) -> None:
    house.create("a")
    process = runner(house, READY + "import time; time.sleep(1.5)\n" + DONE)
    ready(house)
    shutil.rmtree(working(house))
    assert finish(process) == 0
    text = reason(house, "a")
    assert text.startswith("InternalServerError: ") and str(working(house)) in text, text
    assert house.output == [] and work(house) == []


@pytest.mark.parametrize("place", ["work", "out"])
def test_a_disk_without_room_for_another_file_is_the_machines_fault(house: House, place: str) -> None:
    """Case 71: inodes are used up, though there are bytes."""
    folder = working(house) if place == "work" else house.root / "out"
    house.create("a")
    with disk(folder, "nr_inodes=2"):
        if place == "out":
            (folder / "other").touch()
        assert finish(runner(house, DONE)) == 0
        assert reason(house, "a").startswith("InternalServerError: ") and "No space left" in reason(house, "a")
        if place == "out":
            (folder / "other").unlink()
        subprocess.run(["mount", "-o", "remount,nr_inodes=99", str(folder)], check=True)
        house.create("b")
        assert finish(runner(house, DONE)) == 0 and house.status("b") == COMPLETED


def test_a_store_without_room_for_another_file_says_so(tmp_path: Path) -> None:
    with disk(tmp_path / "d", "nr_inodes=2"):
        with pytest.raises(StoreError, match=r"jobs\.db (cannot be|.*is full)|disk is full"):
            SqliteStore(str(tmp_path / "d" / "jobs.db"))


def test_a_limit_of_file_size_is_the_machines_fault(house: House) -> None:
    """Case 71: RLIMIT_FSIZE of the runner; EFBIG, and no half artifact."""
    house.create("a")
    big = DONE.replace("name.encode()", "os.urandom(400_000)")
    before = "import resource, neo_cli.worker.publish as p\nreal = p.publish\ndef publish(*given):\n    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n    return real(*given)\np.publish = publish\n"
    assert finish(runner(house, big, before=before)) == 0
    assert reason(house, "a") == (
        f"InternalServerError: The output {house.root}/out/model-ml_c4.report.json cannot be written: File too large."
    )
    assert house.output == [] and work(house) == []


STRACE = shutil.which("strace")


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize("error", ["EDQUOT", "EIO"])
def test_what_the_disk_answers_at_the_last_moment_is_told(house: House, error: str) -> None:
    """Case 71: the answer of a disk with quotas, given to fsync(2) of the artifact; nothing of it is left."""
    house.create("a")
    first = runner(house, DONE)  # the same without the fault
    assert finish(first) == 0 and house.status("a") == COMPLETED
    for name in house.output:
        (house.root / "out" / name).unlink()
    house.create("b")
    process = runner(house, READY + "import time; time.sleep(2)\n" + DONE)
    ready(house, "b")
    line = [STRACE, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", f"inject=fsync:error={error}"]
    tracer = subprocess.Popen([*line, "-p", str(process.pid)])  # type: ignore[list-item]
    assert finish(process) == 0
    tracer.wait(30)
    said = {"EDQUOT": "Disk quota exceeded", "EIO": "Input/output error"}[error]
    assert reason(house, "b").startswith("InternalServerError: ") and said in reason(house, "b")
    assert house.output == [] and work(house) == []


@pytest.mark.skipif(STRACE is None, reason="strace is not installed")
@pytest.mark.parametrize(("error", "kind", "said"), [("ENOSPC", StoreBusy, "disk is full"), ("EDQUOT", StoreError, "cannot be used"), ("EIO", StoreError, "cannot be used")])  # fmt: skip
def test_a_store_that_cannot_be_written_says_so_and_keeps_what_it_has(
    tmp_path: Path, error: str, kind: type, said: str
) -> None:
    """The disk refuses a write(2) of the store in the middle of a transaction."""
    code = (
        "import sys, time\nfrom neo_cli.jobs.job import Job, STARTING\nfrom neo_cli.jobs.stores.sqlite import SqliteStore\n"
        "from neo_cli.jobs.stores.base import StoreError\nstore = SqliteStore(sys.argv[1])\n"
        "store.add(Job('kept', 'a', STARTING, 1.0, 1.0, {}), {})\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        "try: store.add(Job('lost', 'a', STARTING, 1.0, 1.0, {}), {}); print('added')\n"
        "except StoreError as error: print(type(error).__name__, error)\n"
    )
    file = str(tmp_path / "jobs.db")
    line = [sys.executable, "-c", code, file]
    process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    inject = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", f"inject=pwrite64:error={error}"]
    tracer = subprocess.Popen([STRACE, *inject, "-p", str(process.pid)])  # type: ignore[list-item]
    while "TracerPid:\t0\n" in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.01)
    out, _ = process.communicate("go\n", timeout=60)
    tracer.wait(30)
    assert out.startswith(f"{kind.__name__} ") and said in out, out
    store = SqliteStore(file)
    assert store.get("kept") is not None and store.get("lost") is None
    assert store._db.run("PRAGMA integrity_check") == [("ok",)]
    store.close()


@pytest.mark.parametrize("changes", [1, 99])
def test_a_file_that_changes_while_it_is_read_is_read_again_then_given_up(
    tmp_path: Path, changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 19 for files: whoever writes there replaces the archive between the first byte and the last."""
    source, left, real = tmp_path / "m.tar.gz", [changes], shutil.copyfile
    source.write_bytes(b"first")

    def meddled(here: Path, there: Path) -> None:
        real(here, there)
        if left[0]:
            left[0] -= 1
            (tmp_path / "new").write_bytes(b"other" + str(left[0]).encode())
            os.replace(tmp_path / "new", source)

    monkeypatch.setattr(shutil, "copyfile", meddled)
    if changes == 1:
        fetched = FileLocation().fetch(f"file://{source}", tmp_path / "into", 99)
        assert fetched.path.read_bytes() == b"other0" and fetched.size == 6
    else:
        with pytest.raises(InternalError, match="changed again and again while it was read"):
            FileLocation().fetch(f"file://{source}", tmp_path / "into", 99)
    source.write_bytes(bytes(100))
    with pytest.raises(InputError, match="100 bytes; at most 99"):
        FileLocation().fetch(f"file://{source}", tmp_path / "into", 99)


@pytest.mark.skipif(
    not (shutil.which("sshfs") and Path(SFTP).is_file()), reason="sshfs or sftp-server is not installed"
)
def test_a_real_network_file_system_is_refused(tmp_path: Path) -> None:
    """Case 54: sshfs, mounted for real and served by sftp-server through a pair of sockets."""
    theirs, here = tmp_path / "theirs", tmp_path / "here"
    theirs.mkdir()
    here.mkdir()
    ours, its = socket.socketpair()
    server = subprocess.Popen([SFTP], stdin=its, stdout=its)
    line = ["sshfs", "-f", "-o", "passive", f":{theirs}", str(here)]
    client = subprocess.Popen(line, stdin=ours, stdout=ours, stderr=subprocess.PIPE)
    try:
        for _ in range(200):
            if os.path.ismount(here) or client.poll() is not None:
                break
            time.sleep(0.05)
        if not os.path.ismount(here):
            pytest.skip(f"sshfs cannot be mounted here: {client.communicate()[1].decode()}")
        (here / "proof").write_text("it is written there")
        assert (theirs / "proof").read_text() == "it is written there"
        with pytest.raises(StoreError, match=r"cannot lie on fuse\.sshfs \(.*\): set NEO_HOME to a folder on a local"):
            SqliteStore(str(here / "state" / "jobs.db"))
        assert list((theirs / "state").iterdir()) == []
        shutil.copy(_made(tmp_path / "local" / "jobs.db"), here / "state" / "jobs.db")
        with pytest.raises(StoreError, match="cannot lie on"):  # also one that somebody brought there
            SqliteStore(str(here / "state" / "jobs.db"))
    finally:
        subprocess.run(["umount", "-l", str(here)], capture_output=True)
        for process in (client, server):
            process.kill()
            process.communicate()
        ours.close()
        its.close()


@pytest.mark.parametrize("kind", sorted(sqlite.NETWORK))
def test_other_network_file_systems_are_told_by_the_names_that_the_kernel_gives_them(kind: str, tmp_path: Path) -> None:
    """Not mounted here: the list of mounts says so, in the form of proc_pid_mountinfo(5)."""
    device = tmp_path.stat().st_dev
    line = f"36 35 {os.major(device)}:{os.minor(device)} / /mnt rw,noatime shared:1 - {kind} server:/export rw\n"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 0:1 / / rw - {kind} other rw\n")
    sqlite._refuse_network(tmp_path, mounts)
    mounts.write_text(line)
    with pytest.raises(StoreError, match=rf"cannot lie on {kind} "):
        sqlite._refuse_network(tmp_path, mounts)
    mounts.write_text(line.replace(f"- {kind}", "- ext4"))
    sqlite._refuse_network(tmp_path, mounts)


def _made(file: Path) -> Path:
    SqliteStore(str(file)).close()
    return file
