"""Auto-prompt: what is missing is asked for, on a terminal that prompt_toolkit itself plays."""

from __future__ import annotations

import io

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from neo_cli.entry.context import Context
from neo_cli.entry.main import run
from neo_cli.entry.prompt import complete
from neo_cli.entry.values.shorthand import parse


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_missing_parameters_are_asked_for_in_order() -> None:
    asked: list[tuple[str, int]] = []
    answers = {
        "command": "create-compilation-job", "CompilationJobName": "j", "RoleArn": "r", "InputConfig.S3Uri": "s3://b/m",
        "InputConfig.DataInputConfig": '{"it\'s": [1, 3]}', "InputConfig.Framework": "ONNX",
        "OutputConfig.S3OutputLocation": "s3://b/o", "OutputConfig.TargetDevice": "", "StoppingCondition.MaxRuntimeInSeconds": "9",
    }  # fmt: skip

    def answer(text: str, choices: list[str]) -> str:
        asked.append((text, len(choices)))
        return answers[text]

    argv = complete([], answer)
    assert [text for text, _ in asked] == list(answers)
    assert dict(asked)["InputConfig.Framework"] == 9
    assert dict(asked)["OutputConfig.TargetDevice"] == 37
    assert argv[:5] == ["create-compilation-job", "--compilation-job-name", "j", "--role-arn", "r"]
    config = argv[argv.index("--input-config") + 1]
    assert parse(config, str) == {"S3Uri": "s3://b/m", "DataInputConfig": '{"it\'s": [1, 3]}', "Framework": "ONNX"}
    assert argv[argv.index("--output-config") + 1] == "S3OutputLocation=s3://b/o"


def test_nothing_is_asked_that_is_there_or_not_wanted() -> None:
    def answer(text: str, choices: list[str]) -> str:
        raise AssertionError(text)

    for line in (
        ["describe-compilation-job", "--compilation-job-name=x"],
        ["create-compilation-job", "--cli-input-json", "{}"],
        ["create-compilation-job", "--generate-cli-skeleton"],
        ["list-compilation-jobs"],
        ["doctor"],
    ):
        assert complete(line, answer) == line


@pytest.mark.parametrize(
    "argv, environ", [(["--cli-auto-prompt"], {}), ([], {"AWS_CLI_AUTO_PROMPT": "on"}), ([], {"AWS_CLI_AUTO_PROMPT": "on-partial"})]
)  # fmt: skip
def test_a_person_types_and_the_command_runs(argv: list[str], environ: dict[str, str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    line = (
        ["skeletons", *argv]
        if environ.get("AWS_CLI_AUTO_PROMPT") != "on-partial"
        else ["describe-compilation-job", *argv]
    )
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        if line[0] == "skeletons":
            keys.send_text("jetson.yaml\n")
            assert run(Context(line, environ, Terminal(), out, err)) == 0
            assert "jetson_xavier" in out.getvalue()
            assert err.getvalue() == "neo-cli skeletons jetson.yaml\n"
        else:
            keys.send_text("--generate-cli-skeleton\n")
            assert run(Context(line, environ, Terminal(), out, err)) == 0
            assert out.getvalue() == '{\n    "CompilationJobName": ""\n}\n'


def test_off_a_terminal_it_is_awss_error() -> None:
    err = io.StringIO()
    assert run(Context(["list-tags", "--cli-auto-prompt"], {}, io.StringIO(), io.StringIO(), err)) == 255
    assert err.getvalue() == "Warning: Input is not a terminal (fd=0).\n\nneo-cli: [ERROR]:\n"
    assert run(Context(["list-tags", "--no-cli-auto-prompt"], {"AWS_CLI_AUTO_PROMPT": "on"}, io.StringIO(), io.StringIO(), io.StringIO())) == 252  # fmt: skip
