"""Ways out of the sandbox, tried inside each tier that works here: none leads out."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from neo_cli.jobs.logs import log_path
from neo_cli.worker.sandbox import Tier, command, environment
from worker.conftest import House
from worker.test_attempt import finish, reason
from worker.test_sandbox import available

SCRIPT = Path(__file__).with_name("escapes.py")


def ways_out(name: str, folder: Path) -> tuple[int, set[str]]:
    """How many ways were tried inside the tier `name`, and which of them led out."""
    outside, work = folder / "outside", folder / "work"
    outside.mkdir()
    work.mkdir()
    (outside / "secret").write_text("s3cret")
    shutil.copy(SCRIPT, work / "escapes.py")
    held = os.open(outside / "secret", os.O_RDONLY)
    os.set_inheritable(held, True)
    listeners = [socket.create_server(("127.0.0.1", 0))]
    port = listeners[0].getsockname()[1]
    for address in (str(outside / "socket"), f"\0neo-escape-{port}"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(address)
        made.listen()
        listeners.append(made)
    line = [sys.executable, str(work / "escapes.py"), str(outside), str(port), str(os.getpid())]
    done = subprocess.run(
        command(Tier(name), line, write=[work]), env=environment(os.environ, work), capture_output=True, text=True, timeout=120
    )  # fmt: skip
    os.close(held)
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    out = {what for what, result in tried.items() if result == "done"}
    for listener in listeners:
        listener.settimeout(0.05)
        try:
            listener.accept()[0].close()
            out.add("a connection was made")
        except TimeoutError:
            pass
        listener.close()
    if sorted(p.name for p in outside.iterdir()) != ["secret", "socket"]:
        out.add("a file was written")
    return len(tried), out


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_no_way_leads_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not available(name):
        pytest.skip(f"{name} does not work on this machine")
    monkeypatch.setenv("NEO_ESCAPE_SECRET", "x")
    monkeypatch.chdir(tmp_path)
    tried, out = ways_out(name, tmp_path)
    assert out == set() and tried > 30


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "native"])
def test_a_job_compiles_in_the_second_tier(backend: str, house: House) -> None:
    """Landlock must leave a compiler all that it needs: threads, programs of its own, temporary files."""
    if not available("landlock"):
        pytest.skip("landlock does not work on this machine")
    output = {"S3OutputLocation": f"file://{house.root}/out", "TargetDevice": "ml_c5"}
    house.create("a", OutputConfig={**output, "CompilerOptions": json.dumps({"backend": backend})})
    code = (
        "import neo_cli.worker.sandbox as s\ns._try_bubblewrap = lambda: 'forbidden here'\n"
        "from neo_cli.worker.__main__ import main; raise SystemExit(main([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=house.environ, cwd="/", start_new_session=True, stderr=subprocess.PIPE
    )
    assert finish(process) == 0
    job = house.store.get("a")
    assert job is not None and job.status == "COMPLETED", job
    assert "sandbox: landlock" in log_path(house.environ, "a").read_text()


def test_a_private_tmp_is_part_of_the_jobs_disk(house: House) -> None:
    """Model code that fills /tmp inside bubblewrap is ended, and the reason says what it used up."""
    if not available("bubblewrap"):
        pytest.skip("bubblewrap does not work on this machine")
    house.environ["NEO_JOB_DISK"] = "16M"
    house.create("a")
    script = house.root / "filler.py"
    script.write_text(
        "import time\nwith open('/tmp/filler', 'wb') as stream:\n"
        "    for _ in range(64): stream.write(bytes(2**20)); stream.flush()\ntime.sleep(120)\n"
    )
    code = (
        "import sys\nfrom pathlib import Path\nimport neo_cli.worker.sandbox as s, neo_cli.worker.attempt as a\na.GRACE = 0.5\n"
        f"real, script = s.command, Path({str(script)!r})\n"
        "s.command = lambda tier, argv, **k: real(tier, [argv[0], str(script)], read=[script], **k)\n"
        "from neo_cli.worker.__main__ import main; raise SystemExit(main([]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=house.environ, cwd="/", start_new_session=True, stderr=subprocess.PIPE
    )
    assert finish(process) == 0
    assert reason(house, "a") == (
        "InternalServerError: The compiler ran out of disk: it may use 16777216 bytes (NEO_JOB_DISK)."
    )
    assert "sandbox: bubblewrap" in log_path(house.environ, "a").read_text() and house.output == []
