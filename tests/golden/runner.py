"""One recorded case, run again: in this process where that means the same, else as a process of its own."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from golden.endpoint import Server
from neo_cli.entry.context import Context
from neo_cli.entry.main import run

ROOT = Path(__file__).resolve().parents[2]


def environment(case: dict[str, Any], home: Path, port: str) -> dict[str, str]:
    """The variables every case was recorded with, and the case's own."""
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
        "TZ": "UTC", "LANG": "C.UTF-8", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1", "COLUMNS": "80", "NEO_ENGINE": "aws",
    }  # fmt: skip
    for key, value in case.get("env", {}).items():
        env.pop(key, None)
        if value is not None:
            env[key] = value.replace("@PORT@", port)
    return env


def line(case: dict[str, Any], port: str) -> list[str]:
    """The case's command line without the word "sagemaker", pointed at the endpoint."""
    argv = [word.replace("@PORT@", port) for word in case["argv"]]
    if "sagemaker" in argv:
        argv.remove("sagemaker")
    if case.get("endpoint", True) and "--endpoint-url" not in argv:
        argv += ["--endpoint-url", f"http://127.0.0.1:{port}"]
    return argv


def write_files(case: dict[str, Any], home: Path, work: Path, port: str) -> None:
    """The AWS configuration and the files of the working folder."""
    (home / ".aws").mkdir()
    for name in ("config", "credentials"):
        if name in case:
            (home / ".aws" / name).write_text(case[name].replace("@PORT@", port), encoding="utf-8")
    for name, text in case.get("files", {}).items():
        (work / name).write_bytes(text.encode())


def replay(case: dict[str, Any], server: Server, home: Path, work: Path) -> dict[str, Any]:
    """Run the case and say what came of it, in the shape of a record."""
    write_files(case, home, work, server.port)
    server.requests.clear()
    env, argv = environment(case, home, server.port), line(case, server.port)
    outside = case.get("tty") or "LC_ALL" in case.get("env", {})
    code, out, err = (_process if outside else _here)(case, argv, env, work)

    def tidy(data: bytes) -> str:
        text = data.decode("utf-8", "replace").replace(f":{server.port}", ":@PORT@")
        return text.replace(str(home), "@HOME@").replace(str(work), "@WORK@")

    return {"rc": code, "stdout": tidy(out), "stderr": tidy(err), "requests": list(server.requests)}


def _process(case: dict[str, Any], argv: list[str], env: dict[str, str], work: Path) -> tuple[int, bytes, bytes]:
    command = [sys.executable, "-m", "neo_cli", *argv]
    if case.get("tty"):
        command = ["script", "-qec", shlex.join(command), "/dev/null"]
    done = subprocess.run(command, env=env, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def _here(case: dict[str, Any], argv: list[str], env: dict[str, str], work: Path) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    stdout, stderr = (io.TextIOWrapper(stream, encoding="utf-8", write_through=True) for stream in (out, err))
    with _surroundings(env, work):
        code = run(Context(argv, os.environ, io.StringIO(), stdout, stderr))
    for stream in (stdout, stderr):
        stream.flush()
    return code, out.getvalue(), err.getvalue()


@contextmanager
def _surroundings(env: dict[str, str], work: Path) -> Iterator[None]:
    """This process as the case wants it: variables (botocore reads them itself), folder, zone."""
    before, folder = dict(os.environ), Path.cwd()
    try:
        os.environ.clear()
        os.environ.update(env)
        os.chdir(work)
        time.tzset()
        yield
    finally:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(before)
        time.tzset()


def can_run(case: dict[str, Any]) -> bool:
    """Terminal cases need util-linux's `script`."""
    return not case.get("tty") or shutil.which("script") is not None
