"""Hostile models as whole jobs: nothing is written, nobody is called, nothing is left running, and the job FAILED."""

from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path

import pytest

from models.hostile import KINDS
from neo_cli.worker.sandbox import probe
from worker.conftest import House
from worker.test_attempt import alive, finish, runner

CODE = (
    "import socket, subprocess\n"
    "for act in (lambda: open('{canary}', 'w').close(), lambda: socket.create_connection(('127.0.0.1', {port}), 2),\n"
    "            lambda: subprocess.Popen(['sleep', '{seconds}'], start_new_session=True)):\n"
    "    try: act()\n"
    "    except Exception as error: print('refused:', error, flush=True)\n"
)
NEEDS = {"KERAS": "keras", "TENSORFLOW": "tensorflow", "SKLEARN": "joblib"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of keras with numpy
@pytest.mark.skipif(not probe().confines, reason="no sandbox works on this machine")
@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_model_reaches_nothing(house: House, kind: str) -> None:
    framework, make = KINDS[kind]
    if framework in NEEDS:
        pytest.importorskip(NEEDS[framework])
    canary, seconds = house.root / "canary", f"3{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        folder = house.root / "model"
        folder.mkdir()
        make(folder, CODE.format(canary=canary, port=listener.getsockname()[1], seconds=seconds))
        assert not canary.exists(), "the maker ran the payload itself"
        with tarfile.open(house.archive, "w:gz") as tar:
            for item in sorted(folder.iterdir()):
                tar.add(item, item.name)
        shape = '{"x": [1, 4]}'
        house.create(
            "a", InputConfig={"S3Uri": f"file://{house.archive}", "Framework": framework, "DataInputConfig": shape}
        )
        assert finish(runner(house)) == 0
        with pytest.raises(TimeoutError):
            listener.accept()
    job = house.store.get("a")
    assert job is not None and job.status == "FAILED", job
    assert (
        job.reason and "Traceback" not in job.reason and job.reason.startswith(("ClientError", "InternalServerError"))
    )
    assert not canary.exists() and house.output == [] and alive(f"sleep {seconds}") == []
    assert not [p for p in Path.home().iterdir() if p.name.startswith("pwned")]
