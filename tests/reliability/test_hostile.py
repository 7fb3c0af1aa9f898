"""Hostile models in real jobs: nothing is written, sent or left running, and each job ends with a sentence."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from neo_cli.jobs.job import FAILED
from neo_cli.jobs.logs import log_path
from reliability import hostile
from reliability.hostile import CORPUS, LIGHT, Bait
from worker.conftest import House, wait_for
from worker.test_attempt import finish, runner

HARMLESS = {"TorchScript": ("COMPLETED",)}  # the operator that writes does not survive the conversion


class Trap:
    """A bait, and what it has caught."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.1)
        self.bait = Bait(folder, self._server.getsockname()[1])

    def caught(self) -> set[str]:
        """What the attack achieved so far; the trap is set again."""
        found = {"written" for _ in self.bait.folder.iterdir()}
        try:
            self._server.accept()[0].close()
            found.add("sent")
        except TimeoutError:
            pass
        if self.bait.processes():
            found.add("running")
        return found

    def close(self) -> None:
        for pid in self.bait.processes():
            os.kill(pid, signal.SIGKILL)
        self._server.close()


@pytest.fixture
def trap(tmp_path: Path) -> Iterator[Trap]:
    made = Trap(tmp_path / "bait")
    yield made
    made.close()


@pytest.fixture
def traps(tmp_path: Path) -> Iterator[dict[str, Trap]]:
    made = {name: Trap(tmp_path / f"bait{number}") for number, name in enumerate(CORPUS)}
    yield made
    for trap in made.values():
        trap.close()


@pytest.mark.slow
def test_operators_and_samples_reach_nothing(traps: dict[str, Trap], house: House) -> None:
    """Besides tests/worker/test_hostile_models.py: a TorchScript operator that writes, a pickle among the samples."""
    made, names = {}, ("TorchScript", "samples.npz")
    for number, name in enumerate(names):
        form = CORPUS[name]
        if importlib.util.find_spec(form.needs) is None:
            continue
        packed = hostile.archive(name, traps[name].bait, house.root / f"hostile{number}")
        config = {"S3Uri": f"file://{packed}", "Framework": form.framework}
        if form.inputs:
            config["DataInputConfig"] = form.inputs
        made[name] = f"attack{number}"
        house.create(made[name], InputConfig=config)
    assert [traps[name].caught() for name in made] == [set()] * len(made)  # building set nothing off
    assert finish(runner(house)) == 0
    for name, job_name in made.items():
        job = house.store.get(job_name)
        assert job is not None and job.status in (FAILED, *HARMLESS.get(name, ())), (name, job)
        assert "Traceback" not in (job.reason or "") and len(job.reason or "") <= 1024
        log = log_path(house.environ, job_name).read_text()
        assert "sandbox: bubblewrap" in log or "sandbox: landlock" in log
        assert traps[name].caught() == set(), name
    assert len(house.output) in (0, 2) and made


@pytest.mark.parametrize(
    "name", [LIGHT[0], *(pytest.param(n, marks=pytest.mark.long) for n in CORPUS if n != LIGHT[0])]
)
def test_the_bait_bites_whoever_is_careless(name: str, trap: Trap, tmp_path: Path) -> None:
    """Without this the test above would pass on files that do nothing."""
    if importlib.util.find_spec(CORPUS[name].needs) is None:
        pytest.skip(f"{CORPUS[name].needs} is not installed")
    hostile.archive(name, trap.bait, tmp_path / "hostile")
    hostile.careless(name, tmp_path / "hostile" / "model")
    caught = trap.caught()
    only_writes = name in ("TorchScript", "SavedModel WriteFile")
    assert caught == ({"written"} if only_writes else {"written", "sent", "running"})


CARRIERS = {"PYTORCH": ("TorchScript", "torch"), "SKLEARN": ("joblib", "joblib"), "KERAS": (".keras Lambda", "keras")}


@pytest.mark.parametrize("framework", ["SKLEARN", pytest.param("PYTORCH", marks=pytest.mark.slow)])
def test_without_a_sandbox_only_trust_lets_code_in(framework: str, trap: Trap, house: House) -> None:
    """No tier works: code-carrying formats are refused before they are read, and --trust-model is named."""
    name, needs = CARRIERS[framework]
    pytest.importorskip(needs)
    packed = hostile.archive(name, trap.bait, house.root / "hostile")
    form = CORPUS[name]
    config = {
        "S3Uri": f"file://{packed}",
        "Framework": framework,
        **({"DataInputConfig": form.inputs} if form.inputs else {}),
    }
    house.create("attack", InputConfig=config)
    house.create("data")
    assert finish(unconfined(house)) == 0
    job = house.store.get("attack")
    assert job is not None and job.status == FAILED
    assert "ive --trust-model" in (job.reason or "")
    assert trap.caught() == set()
    assert wait_for(lambda: house.status("data")) == "COMPLETED"  # ONNX holds data alone and needs no sandbox


def unconfined(house: House):  # type: ignore[no-untyped-def]
    """A runner on a machine where no tier's trial succeeds."""
    import subprocess
    import sys

    code = (
        "import neo_cli.worker.sandbox as s\ns._try_bubblewrap = s._try_landlock = lambda: 'forbidden here'\n"
        "from neo_cli.worker.__main__ import main; raise SystemExit(main([]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], env=house.environ, cwd="/", start_new_session=True, stderr=subprocess.PIPE
    )
