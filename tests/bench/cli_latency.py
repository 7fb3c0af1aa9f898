"""How fast the command line answers: neo-cli next to `import click` and to the AWS CLI, same run, same endpoint.

usage: python tests/bench/cli_latency.py [--runs 7] [--jobs 10000] [--aws aws] [--only PART]

All commands of a part take turns, so that whatever else the machine does falls on all of them. Printed are medians
of wall time and the largest peak memory; a figure with a limit says whether it holds, and the exit code is 1 where
one does not. The endpoint is a process of its own on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ENDPOINT = Path(__file__).with_name("endpoint.py")
NEO = (sys.executable, "-m", "neo_cli")
CREATE = (
    "create-compilation-job", "--compilation-job-name", "bench", "--role-arn", "arn:aws:iam::123456789012:role/Neo",
    "--input-config", "S3Uri=s3://none/model.tar.gz,Framework=ONNX", "--output-config",
    "S3OutputLocation=s3://none/out,TargetDevice=ml_c5", "--stopping-condition", "MaxRuntimeInSeconds=60",
)  # fmt: skip
DESCRIBE = ("describe-compilation-job", "--compilation-job-name", "bench")


@dataclass
class Subject:
    """One command and what its runs took."""

    name: str
    command: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)
    seconds: list[float] = field(default_factory=list)
    kilobytes: list[int] = field(default_factory=list)

    def run(self, env: dict[str, str]) -> None:
        """One more run."""
        start = time.perf_counter()
        child = subprocess.Popen(self.command, env=env | self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        self.seconds.append(time.perf_counter() - start)
        self.kilobytes.append(usage.ru_maxrss)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode not in self.codes:
            raise SystemExit(f"{self.name} ended with {child.returncode}: {' '.join(self.command)}")

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def measure(subjects: list[Subject], env: dict[str, str], runs: int) -> None:
    """Run all subjects in turn, `runs` times, after one run that only warms the disk's cache."""
    for turn in range(runs + 1):
        for subject in subjects:
            subject.run(env)
            if turn == 0:
                subject.seconds.clear()
                subject.kilobytes.clear()
    for subject in subjects:
        print(f"  {subject.name:34} {subject.median * 1000:8.0f} ms {max(subject.kilobytes) / 1024:8.1f} MiB")


def figure(what: str, value: float, limit: float, at_least: bool = False) -> bool:
    """Print one figure next to its limit and say whether it holds."""
    holds = value >= limit if at_least else value <= limit
    print(f"  {what:60} {value:6.2f}  {'>=' if at_least else '<='} {limit:g}  {'holds' if holds else 'MISSED'}")
    return holds


def startup(env: dict[str, str], runs: int) -> list[bool]:
    """What needs no engine, and describe on this machine, against an interpreter that imports click."""
    base = Subject("python -c 'import click'", (sys.executable, "-c", "import click"))
    cheap = [
        Subject("neo-cli --help", (*NEO, "--help")),
        Subject("neo-cli create --generate-cli-skeleton", (*NEO, "create-compilation-job", "--generate-cli-skeleton")),
        Subject("neo-cli create (parse error)", (*NEO, "create-compilation-job"), codes=(252,)),
        Subject("neo-cli describe, local engine", (*NEO, *DESCRIBE), {"NEO_ENGINE": "local"}),
    ]
    measure([base, *cheap], env, runs)
    return [figure(f"{s.name} / import click", s.median / base.median, 1.3) for s in cheap]


def describe(env: dict[str, str], runs: int, aws: str, url: str) -> list[bool]:
    """One request through the AWS engine against one by the AWS CLI; and the local engine against the latter."""
    ours = Subject("neo-cli describe, AWS engine", (*NEO, *DESCRIBE, "--endpoint-url", url), {"NEO_ENGINE": "aws"})
    local = Subject("neo-cli describe, local engine", (*NEO, *DESCRIBE), {"NEO_ENGINE": "local"})
    theirs = Subject("aws sagemaker describe", (aws, "sagemaker", *DESCRIBE, "--endpoint-url", url))
    measure([ours, local, theirs], env, runs)
    return [
        figure("describe: AWS engine / aws, wall time", ours.median / theirs.median, 0.6),
        figure("describe: AWS engine / aws, peak memory", max(ours.kilobytes) / max(theirs.kilobytes), 0.75),
        figure("describe: aws / local engine, wall time", theirs.median / local.median, 6, at_least=True),
    ]


def listing(env: dict[str, str], runs: int, aws: str, url: str) -> list[bool]:
    """All jobs, a hundred a page."""
    command = ("list-compilation-jobs", "--endpoint-url", url)
    ours = Subject("neo-cli list, AWS engine", (*NEO, *command), {"NEO_ENGINE": "aws"})
    theirs = Subject("aws sagemaker list", (aws, "sagemaker", *command))
    measure([ours, theirs], env, runs)
    return [
        figure("list: AWS engine / aws, wall time", ours.median / theirs.median, 0.85),
        figure("list: AWS engine / aws, peak memory (no limit set)", max(ours.kilobytes) / max(theirs.kilobytes), 1),
    ]


def create_job(env: dict[str, str]) -> None:
    """One job on this machine, and wait until it has ended (it fails: its model is nowhere)."""
    subprocess.run([*NEO, *CREATE], env=env, check=True, stdout=subprocess.DEVNULL)
    status = (*NEO, *DESCRIBE, "--query", "CompilationJobStatus", "--output", "text")
    for _ in range(100):
        found = subprocess.run(status, env=env, check=True, capture_output=True, text=True).stdout.strip()
        if found in ("FAILED", "COMPLETED"):
            return
        time.sleep(0.2)
    raise SystemExit(f"the job is still {found}")


def surroundings(home: str) -> dict[str, str]:
    """An environment without the user's AWS settings, in which byte code is kept, as for an installed package."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "NEO_", "PYTHONDONT"))}
    return keep | {
        "HOME": home, "NEO_HOME": f"{home}/neo", "TZ": "UTC", "AWS_PAGER": "", "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--aws", default=str(Path(sys.executable).with_name("aws")))
    parser.add_argument("--only", choices=["startup", "describe", "listing"])
    args = parser.parse_args()
    aws = shutil.which(args.aws)
    if aws is None:
        raise SystemExit(f"{args.aws} is not there: pip install awscli, or name it with --aws")
    with tempfile.TemporaryDirectory() as home:
        env = surroundings(home)
        server = subprocess.Popen([sys.executable, str(ENDPOINT), str(args.jobs)], stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            if args.only != "listing":
                create_job(env | {"NEO_ENGINE": "local"})
            parts = {
                "startup": lambda: startup(env, args.runs),
                "describe": lambda: describe(env, args.runs, aws, url),
                "listing": lambda: listing(env, args.runs, aws, url),
            }
            held: list[bool] = []
            for name, part in parts.items():
                if args.only in (None, name):
                    print(f"{name}: {args.runs} runs each, in turn")
                    held += part()
        finally:
            server.terminate()
            server.wait()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
