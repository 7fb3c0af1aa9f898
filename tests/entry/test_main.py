"""The command as a process and in-process: exit codes, streams, error formats, help, close names."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from golden.endpoint import serving
from neo_cli import __version__
from neo_cli.base.errors import ExitCode
from neo_cli.entry import commands
from neo_cli.entry.context import Context
from neo_cli.entry.help import EXAMPLES
from neo_cli.entry.main import run


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str


def neo(*argv: str, environ: dict[str, str] | None = None, stdin: str = "") -> Result:
    """One command line, run in this process with an environment of its own."""
    out, err = io.StringIO(), io.StringIO()
    context = Context(argv, {"HOME": "/nonexistent", "COLUMNS": "80", **(environ or {})}, io.StringIO(stdin), out, err)
    return Result(run(context), out.getvalue(), err.getvalue())


CREATE = [
    "create-compilation-job", "--compilation-job-name", "x", "--role-arn", "arn:aws:iam::123456789012:role/Neo",
    "--output-config", "S3OutputLocation=s3://b/o,TargetDevice=ml_c5", "--stopping-condition", "MaxRuntimeInSeconds=9",
]  # fmt: skip


@pytest.mark.parametrize(
    "argv, code, text",
    [
        ([], 252, "the following arguments are required: operation"),
        (["descrybe"], 252, "argument operation: Found invalid choice 'descrybe'"),
        (["describe-compilation-job"], 252, "the following arguments are required: --compilation-job-name"),
        (["describe-compilation-job", "--compilation-job-name"], 252, "expected one argument"),
        ([*CREATE, "--frob", "x"], 252, "Unknown options: --frob, x"),
        ([*CREATE, "--input-config", "S3Uri"], 252, "Error parsing parameter '--input-config': Expected: '='"),
        ([*CREATE, "--trust-model", "--engine", "aws"], 252, "--trust-model is for the local engine"),
        ([*CREATE, "--engine", "moon"], 252, "argument --engine: Found invalid choice 'moon'"),
        (["list-compilation-jobs", "--max-items", "x"], 252, "argument --max-items: invalid int value: 'x'"),
        (["list-compilation-jobs", "--max-results", "x"], 255, "invalid literal for int() with base 10: 'x'"),
        (["list-compilation-jobs", "--engine", "aws", "--endpoint-url", "http://x"], 253, "You must specify a region."),
        (["completion", "tcsh"], 252, "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        (["skeletons", "pytorsh"], 252, "Did you mean pytorch?"),
    ],
)
def test_a_mistake_has_one_clear_message_and_its_code(argv: list[str], code: int, text: str) -> None:
    environ = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    result = neo(*argv, environ=environ)
    assert (result.code, result.stdout) == (code, "")
    assert text in result.stderr
    assert result.stderr.count("neo-cli: [ERROR]: ") == 1
    assert "Traceback" not in result.stderr


def test_close_names_are_offered() -> None:
    assert "Did you mean --compilation-job-name?" in neo("describe-compilation-job", "--compilation-job-name", "x", "--compilation-jobname", "y").stderr  # fmt: skip
    assert "  * describe-compilation-job\n" in neo("describe-compilation-jobs").stderr
    assert "Did you mean delete-tags?" in neo("remove-tags").stderr
    assert "Did you mean" not in neo("describe-compilation-jobs").stderr


def test_close_values_are_offered() -> None:
    from neo_cli.base.errors import ValidationException
    from neo_cli.entry import faults

    wrong = "1 validation error detected: Value 'jetson-nano' at 'outputConfig.targetDevice' failed to satisfy constraint: Member must satisfy enum value set: [ml_c5, jetson_nano, jetson_tx1]"
    context = Context(stderr=io.StringIO())
    assert faults.report(ValidationException(wrong), context, "CreateCompilationJob") == ExitCode.SERVICE
    assert context.stderr.getvalue().endswith("\n\nDid you mean jetson_nano?\n")  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["help", "--help", "-h"])
def test_help_in_every_form(word: str) -> None:
    assert neo(word).stdout == neo("help").stdout != ""
    page = neo("create-compilation-job", word)
    assert (page.code, page.stderr) == (0, "")
    assert page.stdout.index("Examples:") < page.stdout.index("Usage:") < page.stdout.index("--role-arn TEXT")
    assert neo("help", "create-compilation-job").stdout == page.stdout
    assert neo(*CREATE, word).stdout == page.stdout


@pytest.mark.parametrize("name", [*commands.operations()])
def test_help_fits_eighty_columns(name: str) -> None:
    page = neo(name, "help").stdout
    prose = page[page.index("Usage:") :]
    assert max(map(len, prose.splitlines())) <= 80
    assert max(map(len, neo("help", environ={"COLUMNS": "60"}).stdout.partition("Usage:")[2].splitlines())) <= 80


def test_every_example_of_the_help_pages_runs() -> None:
    environ = {"NEO_ENGINE": "aws", "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    with serving() as server:
        for examples in EXAMPLES.values():
            for example in examples:
                argv = shlex.split(example.replace("\\\n", ""))[1:]
                argv = argv[: argv.index(">")] if ">" in argv else argv
                if "file://job.yaml" in argv:  # what the reader is to have filled in
                    continue
                url = f"http://127.0.0.1:{server.port}"
                said = neo(*argv, "--endpoint-url", url, "--no-sign-request", environ=environ)
                assert (said.code, said.stderr) == (0, ""), example


def test_topics() -> None:
    page = neo("help", "exit-codes").stdout
    assert all(f"  {int(code)} " in page for code in ExitCode)
    assert "NEO_HOME" in neo("help", "environment").stdout
    assert "argument topic: Found invalid choice 'weather'" in neo("help", "weather").stderr


def test_the_version() -> None:
    assert neo("--version") == (0, f"neo-cli {__version__}\n", "")
    assert neo("--version", "--output", "xml").code == 0
    assert neo("list-compilation-jobs", "--version").code == 0


@pytest.mark.parametrize("form", ["json", "yaml", "text", "table", "enhanced", "legacy"])
def test_error_formats(form: str) -> None:
    said = neo("list-compilation-jobs", "--engine", "aws", "--max-results", "3", "--max-items", "3", "--cli-error-format", form).stderr  # fmt: skip
    sentence = "Cannot specify --no-paginate along with pagination arguments: --max-items"
    assert sentence in said
    if form == "json":
        assert json.loads(said) == {"Code": "ParamValidation", "Message": sentence}
    assert ("neo-cli: [ERROR]: " in said) == (form in ("enhanced", "legacy"))


def test_a_request_comes_in_on_standard_input() -> None:
    skeleton = neo("create-compilation-job", "--generate-cli-skeleton").stdout
    said = neo("create-compilation-job", "--cli-input-json", "-", "--engine", "aws", stdin=skeleton)
    assert said.code == ExitCode.USAGE
    assert "Invalid length for parameter RoleArn, value: 0, valid min length: 20" in said.stderr


def test_debug_shows_the_traceback_and_logs() -> None:
    said = neo("list-compilation-jobs", "--debug", "--max-items", "x").stderr
    assert "Traceback" in said
    assert "DEBUG - Arguments entered to CLI: ['list-compilation-jobs', '--debug', '--max-items', 'x']" in said


def process(*argv: str, **more: object) -> subprocess.Popen[bytes]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_", "LC_", "LANG"))}
    env |= {"LC_ALL": "C", "HOME": "/nonexistent"}
    return subprocess.Popen([sys.executable, "-m", "neo_cli", *argv], env=env, stderr=subprocess.PIPE, **more)  # type: ignore[call-overload, no-any-return]


def test_a_reader_that_leaves_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    child = process("create-compilation-job", "help", stdout=write)
    os.close(write)
    assert child.communicate()[1] == b""
    assert child.returncode == 0


def test_closed_standard_output_is_no_error() -> None:
    child = process("help", preexec_fn=lambda: os.close(1))
    assert child.communicate()[1] == b""
    assert child.returncode == 0


def test_ctrl_c_is_130(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        child = process("list-compilation-jobs", "--endpoint-url", url, "--region", "x", "--no-sign-request", stdout=subprocess.PIPE)  # fmt: skip
        connection, _ = server.accept()  # now it waits for an answer
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
        connection.close()
    assert (child.returncode, out, err) == (130, b"\n", b"")
