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

from neo_cli.worker.sandbox import Tier, command, environment
from worker.test_sandbox import available

SCRIPT = Path(__file__).with_name("escapes.py")
HARMLESS = {
    "bubblewrap": {"add a kernel key"},
    "landlock": set[str](),
}  # a key of the process's own ring reaches nobody


@pytest.mark.parametrize("name", ["bubblewrap", "landlock"])
def test_no_way_leads_out(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not available(name):
        pytest.skip(f"{name} does not work on this machine")
    outside, work = tmp_path / "outside", tmp_path / "work"
    outside.mkdir()
    work.mkdir()
    (outside / "secret").write_text("s3cret")
    shutil.copy(SCRIPT, work / "escapes.py")
    monkeypatch.setenv("NEO_ESCAPE_SECRET", "x")
    monkeypatch.chdir(outside)
    held = os.open(outside / "secret", os.O_RDONLY)
    os.set_inheritable(held, True)
    listeners = [socket.create_server(("127.0.0.1", 0))]
    port = listeners[0].getsockname()[1]
    for address in (str(outside / "socket"), f"\0neo-escape-{port}"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(address)
        made.listen()
        listeners.append(made)
    argv = command(
        Tier(name), [sys.executable, str(work / "escapes.py"), str(outside), str(port), str(os.getpid())], write=[work]
    )
    done = subprocess.run(argv, env=environment(os.environ, work), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    tried = json.loads(done.stdout)
    out = {what for what, result in tried.items() if result == "done"} - HARMLESS[name]
    for listener in listeners:
        listener.settimeout(0.05)
        with pytest.raises(TimeoutError):
            listener.accept()
        listener.close()
    os.close(held)
    assert out == set() and len(tried) > 25
    assert sorted(p.name for p in outside.iterdir()) == ["secret", "socket"]
