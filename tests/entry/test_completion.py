"""Completion: what is offered, and that the bash script offers it in a real bash."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neo_cli.entry.commands import COMMANDS
from neo_cli.entry.completion import candidates, lines
from neo_cli.entry.context import Context
from neo_cli.entry.main import run
from neo_cli.entry.verbs.completion import SCRIPTS


def offered(*words: str) -> list[str]:
    return [value for value, _ in candidates(list(words), Context(environ={"HOME": "/nonexistent"}))]


def test_commands_and_options() -> None:
    assert set(COMMANDS) <= set(offered(""))
    assert offered("desc") == ["describe-compilation-job"]
    assert offered("--region", "x", "desc") == ["describe-compilation-job"]
    assert offered("describe-compilation-job", "--comp") == ["--compilation-job-name"]
    assert offered("--outp") == ["--output"]
    assert "--max-items" in offered("list-compilation-jobs", "--")
    assert "--max-items" not in offered("stop-compilation-job", "--")


def test_values() -> None:
    assert offered("--output", "y") == ["yaml", "yaml-stream"]
    assert offered("--output=y") == ["--output=yaml", "--output=yaml-stream"]
    assert offered("list-compilation-jobs", "--status-equals", "STO") == ["STOPPED", "STOPPING"]
    assert offered("completion", "z") == ["zsh"]
    assert offered("create-compilation-job", "--generate-cli-skeleton", "") == ["input", "output", "yaml-input"]
    assert offered("create-compilation-job", "--trust-model", "--role") == ["--role-arn"]
    assert offered("create-compilation-job", "--cli-input-json", "") == []  # a file: the shell's own business


def test_shorthand() -> None:
    create = ("create-compilation-job", "--output-config")
    assert offered(*create, "S3OutputLocation=s3://b,TargetDevice=jetson_n") == ["S3OutputLocation=s3://b,TargetDevice=jetson_nano"]  # fmt: skip
    assert offered(*create, "Targ") == ["TargetDevice=", "TargetPlatform={"] or offered(*create, "Targ") == ["TargetDevice=", "TargetPlatform={="]  # fmt: skip
    assert offered(*create, "TargetPlatform={Os=L") == ["TargetPlatform={Os=LINUX"]
    assert offered("create-compilation-job", "--input-config", "Framework=X") == ["Framework=XGBOOST"]
    assert offered("add-tags", "--tags", "K") == ["Key="]


def test_every_script_is_printed() -> None:
    for shell, script in SCRIPTS.items():
        out = io.StringIO()
        assert run(Context(["completion", shell], {}, stdout=out)) == 0
        assert out.getvalue() == script


def test_nothing_heavy_is_loaded_by_a_key_press() -> None:
    code = (
        "import sys; from neo_cli.entry.main import main;"
        "main(['__complete', 'create-compilation-job', '--output-config', 'TargetDevice=']);"
        "print([m for m in ('botocore', 'boto3', 'yaml', 'numpy', 'rich', 'prompt_toolkit', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "TargetDevice=ml_c5\t" in done.stdout


SHELLS = {
    "bash": 'COMP_LINE="$LINE"; COMP_POINT=${#LINE}; read -ra COMP_WORDS <<< "$LINE"; COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _neo_cli; printf "%s\\n" "${COMPREPLY[@]}"',
    "fish": 'complete -C "$LINE"',
}
# zsh completes only where there is a terminal: one is typed into, and says what its line became and which choices it listed.
ZSH = """\
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "autoload -Uz compinit; compinit -u -d $HOME/dump; source $HOME/completion"
zpty -w shell "show() { print -r -- \\$BUFFER > $HOME/line.new; mv $HOME/line.new $HOME/line }; zle -N show; bindkey '^Xs' show"
zpty -w -n shell "$LINE"$'\t\t\x18s'
repeat 200 { [[ -e $HOME/line ]] && break; zpty -r -t shell text && print -rn -- $text; sleep 0.1 }
while zpty -r -t shell text; do print -rn -- $text; done
cat $HOME/line
"""


LINES = pytest.mark.parametrize(
    "line, wanted",
    [
        ("neo-cli desc", "describe-compilation-job"),
        ("neo-cli create-compilation-job --output-config TargetDevice=jetson_n", "jetson_nano"),
        ("neo-cli describe-compilation-job --output y", "yaml-stream"),
    ],
)


@pytest.mark.parametrize("shell", SHELLS)
@LINES
def test_a_real_shell_completes(shell: str, line: str, wanted: str, tmp_path: Path) -> None:
    answer = _answer(shell, SCRIPTS[shell] + SHELLS[shell], line, tmp_path)
    found = [found.partition("\t")[0] for found in answer.splitlines()]
    assert any(value.endswith(wanted) for value in found), answer


@LINES
def test_a_real_zsh_completes(line: str, wanted: str, tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(SCRIPTS["zsh"], encoding="utf-8")
    assert wanted in _answer("zsh", ZSH, line, tmp_path)


def _answer(shell: str, script: str, line: str, home: Path) -> str:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    program = home / "neo-cli"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m neo_cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (home / "script").write_text(script + "\n", encoding="utf-8")
    env = {"PATH": f"{home}:/usr/bin:/bin", "LINE": line, "HOME": str(home), "TERM": "dumb"}
    done = subprocess.run([shell, str(home / "script")], env=env, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_the_answer_is_a_line_each() -> None:
    answer = lines(["completion", ""], Context(environ={}))
    assert answer == "bash\t\nfish\t\nhelp\tshow the help page\nzsh\t\n"
