"""Invariant 2: a name costs nothing until it is used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "boto3",
    "botocore",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "rich",
    "yaml",
    "jmespath",
    "torch",
    "tensorflow",
    "prompt_toolkit",
)
LIMIT = 260  # modules in the interpreter after the command

PROBE = """
import json, sys
from neo_cli.entry.main import main
sys.argv = ["neo-cli", *json.loads(sys.argv[1])]
try:
    code = main()
except SystemExit as stop:
    code = stop.code
sys.stdout.flush()
print("\\n@@" + json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""

COMMANDS = {
    "version": ["--version"],
    "help": ["--help"],
    "operation help": ["create-compilation-job", "--help"],
    "skeleton": ["create-compilation-job", "--generate-cli-skeleton"],
    "parse error": ["create-compilation-job"],
    "describe": ["describe-compilation-job", "--compilation-job-name", "nope"],
    "list": ["list-compilation-jobs"],
    "stop": ["stop-compilation-job", "--compilation-job-name", "nope"],
    "completion": ["completion", "bash"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_cheap_command_loads_nothing_heavy(name: str, tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_"))}
    env |= {"NEO_HOME": str(tmp_path), "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(COMMANDS[name])], env=env, capture_output=True, text=True, timeout=60
    )
    assert "@@" in run.stderr, run.stderr
    _, modules = json.loads(run.stderr.rsplit("@@", 1)[1])
    assert not [m for m in HEAVY if m in modules]
    assert len(modules) < LIMIT, len(modules)
