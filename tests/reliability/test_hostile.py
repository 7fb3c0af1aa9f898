"""Hostile models in real jobs: nothing is written, sent or left running, and each job ends with a sentence."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import hostile
from models.hostile import CORPUS, LIGHT, Trap
from neo_cli.jobs.job import FAILED
from neo_cli.jobs.logs import log_path
from neo_cli.worker.sandbox import probe
from worker.conftest import House, wait_for
from worker.test_attempt import finish, runner


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
@pytest.mark.filterwarnings("ignore")  # of the frameworks, while they write their models
@pytest.mark.skipif(not probe().confines, reason="no sandbox works on this machine")
def test_hostile_models_reach_nothing(traps: dict[str, Trap], house: House) -> None:
    """As whole jobs, one after the other: nothing is written, sent or left running, and each ends with a sentence."""
    made = {}
    for number, (name, form) in enumerate(CORPUS.items()):
        if importlib.util.find_spec(form.needs) is None:
            continue
        packed = hostile.archive(name, traps[name].bait, house.root / f"hostile{number}")
        config = {"S3Uri": f"file://{packed}", "Framework": form.framework}
        if form.inputs:
            config["DataInputConfig"] = form.inputs
        made[name] = f"attack{number}"
        house.create(made[name], InputConfig=config)
    assert [traps[name].caught() for name in made] == [set()] * len(made)  # building set nothing off
    home = {p.name for p in Path.home().iterdir()}
    assert finish(runner(house)) == 0
    for name, job_name in made.items():
        job = house.store.get(job_name)
        assert job is not None and job.status == FAILED, (name, job)
        assert job.reason and job.reason.startswith("ClientError") and len(job.reason) <= 1024, (name, job.reason)
        assert "Traceback" not in job.reason
        log = log_path(house.environ, job_name).read_text()
        assert "sandbox: bubblewrap" in log or "sandbox: landlock" in log
        assert traps[name].caught() == set(), name
    assert house.output == [] and made and {p.name for p in Path.home().iterdir()} <= home


@pytest.mark.parametrize(
    "name", [LIGHT[0], *(pytest.param(n, marks=pytest.mark.long) for n in CORPUS if n != LIGHT[0])]
)
@pytest.mark.filterwarnings("ignore")  # of the frameworks, while they write their models
def test_the_bait_bites_whoever_is_careless(name: str, trap: Trap, tmp_path: Path) -> None:
    """Without this the test above would pass on files that do nothing."""
    if importlib.util.find_spec(CORPUS[name].needs) is None:
        pytest.skip(f"{CORPUS[name].needs} is not installed")
    hostile.archive(name, trap.bait, tmp_path / "hostile")
    hostile.careless(name, tmp_path / "hostile" / "model")
    caught = trap.caught()
    only_writes = name in ("TorchScript operator", "SavedModel WriteFile", "memory map")
    assert caught == ({"written"} if only_writes else {"written", "sent", "running"})


CARRIERS = {
    "PYTORCH": ("TorchScript data", "torch"),
    "SKLEARN": ("joblib", "joblib"),
    "KERAS": (".keras Lambda", "keras"),
}


@pytest.mark.parametrize("framework", ["SKLEARN", pytest.param("PYTORCH", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")
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
