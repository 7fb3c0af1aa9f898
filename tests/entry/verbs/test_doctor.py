"""`neo-cli doctor` says what is in force and why, whatever is broken."""

from __future__ import annotations

import io
import json
import os
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from neo_cli.entry.context import Context
from neo_cli.entry.main import run


@pytest.fixture
def doctor(tmp_path: Path) -> Any:
    def call(*line: str, **environ: str) -> tuple[int, str]:
        surroundings = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NEO_HOME": str(tmp_path / "neo"), **environ}
        stdout = io.StringIO()
        code = run(Context(["doctor", *line], surroundings, stdout=stdout, stderr=io.StringIO()))
        return code, stdout.getvalue()

    return call


def by_name(text: str) -> dict[str, tuple[str, str]]:
    return {row["Name"]: (row["Value"], row["Source"]) for row in json.loads(text)["Settings"]}


def test_each_setting_names_its_source(doctor: Any, tmp_path: Path) -> None:
    code, text = doctor(
        "--output", "json", "--engine", "aws", AWS_DEFAULT_REGION="eu-west-1", AWS_ACCESS_KEY_ID="SECRETKEY"
    )
    found = by_name(text)
    assert code == 0 and "SECRETKEY" not in text
    assert found["engine"] == ("aws", "--engine") and found["region"] == ("eu-west-1", "AWS_DEFAULT_REGION")
    assert found["credentials"] == ("access key", "AWS_ACCESS_KEY_ID") and found["output"] == ("json", "--output")
    assert found["store"] == (str(tmp_path / "neo" / "state" / "jobs.db"), "NEO_HOME")
    assert found["sandbox"][0] != "none"


def test_packages_come_from_the_packages_own_metadata(doctor: Any) -> None:
    assert metadata.distribution("neo-cli"), "the tests run against an installed package"
    packages = {row["Name"]: row for row in json.loads(doctor("--output", "json")[1])["Packages"]}
    assert packages["click"]["Extra"] == "always" and packages["click"]["Version"][0].isdigit()
    assert packages["torch"]["Extra"] != "always"


def test_a_person_reads_lines_and_what_is_broken_is_among_them(doctor: Any) -> None:
    code, text = doctor(AWS_PROFILE="nope", NEO_SLOTS="many", NEO_THREADS="2")
    assert code == 0
    assert "error  [NEO_SLOTS is 'many'" in text and "NEO_THREADS" in text
    assert "error  [The config profile (nope) could not be found]" in text
    assert "bwrap" in text and "NEO_HOME" in text
