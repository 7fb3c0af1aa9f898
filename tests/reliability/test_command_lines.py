"""Wrong and odd command lines: a clear sentence, the right exit code, no traceback, and nothing kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from entry.test_local_engine import REQUEST, Shell

NAMES = {"": 252, "a" * 64: 254, "-a": 254, "a_b": 254, "ü": 254, "a\n": 254, "a b": 254, "a.b": 254, "a-": 254}


@pytest.fixture
def neo(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def create(**members: object) -> str:
    return json.dumps({**REQUEST, **members})


@pytest.mark.parametrize("name", NAMES)
def test_names(neo: Shell, name: str) -> None:
    said = neo("create-compilation-job", "--cli-input-json", create(CompilationJobName=name), code=NAMES[name])
    assert "compilationJobName" in said or "CompilationJobName" in said
    assert "Traceback" not in said
    describe = ("describe-compilation-job", f"--compilation-job-name={name}")
    assert "ompilationJobName" in neo(*describe, code=NAMES[name])
    assert neo("list-compilation-jobs") == {"CompilationJobSummaries": []}


def test_a_name_that_looks_like_an_option_is_one(neo: Shell) -> None:
    said = neo("describe-compilation-job", "--compilation-job-name", "-a", code=252)
    assert "argument --compilation-job-name: expected one argument" in said


def test_a_name_of_sixty_three_letters_is_good(neo: Shell) -> None:
    neo("create-compilation-job", "--cli-input-json", create(CompilationJobName="a" * 63))


@pytest.mark.parametrize(
    ("value", "code"),
    [(0, 252), (-1, 252), ("60s", 252), (1.5, 252), (None, 252), (2**31, None), (True, 254), ([60], 252)],
)
def test_run_times(neo: Shell, value: object, code: int | None) -> None:
    """2^31 is accepted: the API's model knows no maximum."""
    line = ("create-compilation-job", "--cli-input-json", create(StoppingCondition={"MaxRuntimeInSeconds": value}))
    if code is None:
        neo(*line)
    else:
        assert "MaxRuntimeInSeconds" in neo(*line, code=code).replace("maxRuntime", "MaxRuntime")


def test_files_that_are_none(neo: Shell, tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + create().encode())
    (tmp_path / "binary.json").write_bytes(bytes(range(128, 256)))
    (tmp_path / "deep.json").write_text("[" * 50_000)
    for name in ("missing.json", "", "bom.json", "binary.json", "deep.json"):
        said = neo("create-compilation-job", "--cli-input-json", f"file://{tmp_path}/{name}", code=252)
        assert said.count("\n") < 6 and "Traceback" not in said and len(said) < 1500
    said = neo(
        "create-compilation-job", "--cli-input-json", create(Tags=[{"Key": "k", "Value": "x" * 5_000_000}]), code=254
    )
    assert "Traceback" not in said and "at 'tags.1.member.value' failed" in said
    assert neo("list-compilation-jobs") == {"CompilationJobSummaries": []}


@pytest.mark.parametrize(
    "options",
    [
        "$(touch pwned)",
        "'; touch pwned;'",
        '{"mcpu": "x; touch pwned"}',
        '{"mcpu": "../../etc/passwd"}',
        '{"a": 1',
        "[1]",
        '{"dtype": 7}',
        "`id`",
    ],
)
def test_options_never_reach_a_shell(neo: Shell, tmp_path: Path, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output = {**REQUEST["OutputConfig"], "CompilerOptions": options}
    said = neo("create-compilation-job", "--cli-input-json", create(OutputConfig=output), code=254)
    assert "ValidationException" in said and not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_a_terminal_that_knows_no_unicode(tmp_path: Path, locale: str) -> None:
    """Case 8: what cannot be shown is escaped, not a traceback."""
    environ = {
        "NEO_HOME": str(tmp_path),
        "LC_ALL": locale,
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PATH": os.defpath,
    }
    base = [sys.executable, "-m", "neo_cli"]
    made = subprocess.run(
        [*base, "create-compilation-job", "--cli-input-json", create()], env=environ, capture_output=True
    )
    assert made.returncode == 0, made.stderr
    arn = json.loads(made.stdout)["CompilationJobArn"]
    for form in ("json", "text", "table", "yaml"):
        done = subprocess.run(
            [*base, "list-tags", "--resource-arn", arn, "--output", form], env=environ, capture_output=True
        )
        assert b"Traceback" not in done.stderr and b"team" in done.stdout


def test_a_token_of_rows_that_are_gone_goes_on(neo: Shell) -> None:
    """Case 56: the page's last job was deleted meanwhile; and a token that somebody wrote himself is refused."""
    neo.environ["NEO_SLOTS"] = "1"
    for name in "abc":
        neo("create-compilation-job", "--cli-input-json", create(CompilationJobName=name))
    by_name = ("list-compilation-jobs", "--sort-by", "Name", "--sort-order", "Ascending")
    page = neo(*by_name, "--max-results", "1", "--no-paginate")
    assert [job["CompilationJobName"] for job in page["CompilationJobSummaries"]] == ["a"]
    neo("wait", "compilation-job-completed-or-stopped", "--compilation-job-name", "a", code=255)  # there is no archive
    neo("delete-compilation-job", "--compilation-job-name", "a")
    rest = neo(*by_name, "--next-token", page["NextToken"])
    assert [job["CompilationJobName"] for job in rest["CompilationJobSummaries"]] == ["b", "c"]
    for token in (page["NextToken"][:-4], "zzzz", page["NextToken"][::-1]):
        assert "ValidationException" in neo(*by_name, "--next-token", token, code=254)
    other = ("list-compilation-jobs", "--sort-by", "Status", "--next-token", page["NextToken"])
    assert "ValidationException" in neo(*other, code=254)
