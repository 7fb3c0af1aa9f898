"""A compiler that was taken over says what it likes: nothing of the user's is published, and no runner falls."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from neo_cli.base.errors import InternalError
from neo_cli.jobs.job import COMPLETED
from neo_cli.worker import verdict
from neo_cli.worker.limits import used_disk
from reliability.test_faults import DONE, work
from worker.conftest import House
from worker.test_attempt import finish, reason, runner

GOOD: dict[str, Any] = {"artifact": "a", "report": "r", "digest": "d", "verified": "ran", "derived": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    for name in ("a", "r"):
        (made / name).write_text(name)
    (tmp_path / "secret").write_text("s3cret")
    (made / "link").symlink_to(tmp_path / "secret")
    (made / "up").symlink_to(tmp_path)
    os.mkfifo(made / "pipe")
    return made


def say(folder: Path, **changes: Any) -> dict[str, Any] | None:
    found = {**GOOD, "artifact": str(folder / "a"), "report": str(folder / "r"), **changes}
    (folder / "result.json").write_text(json.dumps(found))
    return verdict.read(folder / "result.json", folder)


def test_an_honest_verdict_is_read(folder: Path) -> None:
    assert verdict.read(folder / "result.json", folder) is None
    found = say(folder, more=1)
    assert found is not None and sorted(found) == ["artifact", "derived", "digest", "report", "verified"]
    assert say(folder, reason="x" * 5000) == {"reason": "x" * 1024}


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "link",
        "up/secret",
        "pipe",
        "",
        "none",
        ".",
        "/etc/passwd",
        "a\0",
        "../work/../secret",
        7,
        None,
        ["a"],
    ],
)
def test_only_its_own_files_are_published(folder: Path, name: Any) -> None:
    shown = str(folder / name) if isinstance(name, str) else name
    with pytest.raises(InternalError, match="names no files of its own"):
        say(folder, artifact=shown)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b" " * (2**20 + 1), b'{"artifact": 1}'])
def test_what_is_no_verdict_is_told(folder: Path, text: bytes) -> None:
    (folder / "result.json").write_bytes(text)
    with pytest.raises(InternalError, match="The compiler left a result that"):
        verdict.read(folder / "result.json", folder)


@pytest.mark.parametrize("trick", ["link", "pipe", "up"])
def test_a_verdict_that_is_no_file_is_not_opened(folder: Path, trick: str) -> None:
    os.rename(folder / trick, folder / "result.json")
    with pytest.raises(InternalError, match="is no file"):
        verdict.read(folder / "result.json", folder)


DEEP = "import os\nos.chdir(folder)\nfor _ in range(3000):\n    os.mkdir('d' * 30)\n    os.chdir('d' * 30)\n"


def test_a_job_that_lies_and_digs_harms_neither_its_runner_nor_the_next_job(house: House) -> None:
    (house.root / "secret").write_text("s3cret")
    house.create("a")
    lie = f"import json\n(folder / 'r').write_text('r')\nos.chdir(folder)\nopen('result.json', 'w').write(json.dumps(dict(artifact={str(house.root / 'secret')!r}, report=str(folder / 'r'), digest='d', verified='ran', derived=None)))\nos._exit(0)"
    assert finish(runner(house, DEEP + "import time; time.sleep(2.5)\n" + lie)) == 0
    assert reason(house, "a") == "InternalServerError: The compiler left a result that names no files of its own."
    assert work(house) == [] and house.output == []
    house.create("b")
    assert finish(runner(house, DONE)) == 0 and house.status("b") == COMPLETED


def test_disk_is_counted_however_deep_it_lies(tmp_path: Path) -> None:
    here = os.getcwd()
    try:
        os.chdir(tmp_path)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("big").write_bytes(b"x" * 100_000)
    finally:
        os.chdir(here)
    assert used_disk(tmp_path) >= 100_000
    from neo_cli.worker.sweep import remove

    remove(tmp_path / "d")
    assert not (tmp_path / "d").exists()
