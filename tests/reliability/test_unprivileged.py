"""An ordinary user: the probe tells the truth, no way leads out of either tier, and a whole job runs in each.

These tests drop root's rights, so they need them. Where the interpreter lies behind a folder that only root may enter,
that folder is covered, in a mount namespace of this test's own, by one that shows the interpreter alone.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from neo_cli.worker.sandbox import Tier, command
from reliability.others import TESTS, locked_out

NOBODY = 65534
NEEDED = ("setpriv", "unshare", "mount")


def may_mount() -> bool:
    """Root of a container may lack the right to."""
    here = os.geteuid() == 0 and all(map(shutil.which, NEEDED))
    return here and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.skipif(not may_mount(), reason="needs a root that may mount, setpriv and unshare"),
    pytest.mark.skipif(bool(locked_out()), reason=f"others may not enter {locked_out()}"),
]
# $1: the locked folder or nothing; $2: the interpreter's tree below it; the rest: the command
ENTER = """
if [ -n "$1" ]; then
  held=$(mktemp -d); mount --bind "$2" "$held"; mount -t tmpfs -o mode=755 none "$1"
  mkdir -p "$2"; mount --move "$held" "$2"; rmdir "$held"
fi
shift 2
exec setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$@"
"""
WITHOUT_NAMESPACES = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of nobody's, where nobody can get at it."""
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        yield Path(name)


def locked() -> str:
    """The outermost folder above the interpreter that others may not enter; empty when there is none."""
    for folder in reversed(Path(sys.base_prefix).parents):
        if not folder.stat().st_mode & 0o001:
            return str(folder)
    return ""


def as_nobody(home: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the command as nobody, with this interpreter's packages and the tests' folder to import from."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(TESTS),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    line = ["unshare", "--mount", "sh", "-ec", ENTER, "sh", locked(), sys.base_prefix, *argv]
    return subprocess.run(
        line, env=env, cwd=home, capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL
    )


def python(home: Path, code: str, *arguments: str) -> str:
    done = as_nobody(home, sys.executable, "-W", "error", "-c", code, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def works(tier: str, home: Path) -> None:
    """Skip where the tier's own trial says that it does not work for an ordinary user of this machine."""
    fault = python(home, f"from neo_cli.worker import sandbox; print(sandbox._try_{tier}() or '')").strip()
    if fault:
        pytest.skip(f"{tier} does not work for nobody here: {fault}")


def test_the_probe_tells_an_ordinary_user_the_truth(home: Path) -> None:
    """What doctor shows is what a trial as that user found; a machine without user namespaces falls to Landlock."""
    probe = [sys.executable, "-m", "neo_cli.worker.probe"]
    found = json.loads(as_nobody(home, *probe).stdout)
    line = command(Tier("bubblewrap"), ["/bin/true"])  # what a job's compiler would be started by
    assert (found["sandbox"] == "bubblewrap") == (as_nobody(home, *line).returncode == 0), found
    works("landlock", home)
    done = as_nobody(home, "unshare", "--user", "--map-root-user", "sh", "-ec", WITHOUT_NAMESPACES, "sh", *probe)
    if "unshare failed" in done.stderr:
        pytest.skip("user namespaces are off for everybody here")
    without = json.loads(done.stdout)
    assert without["sandbox"] == "landlock" and without["passed_over"][0].startswith("bubblewrap: bwrap: "), without
    absent = json.loads(as_nobody(home, "env", f"PATH={home}", *probe).stdout)
    assert absent == {"sandbox": "landlock", "passed_over": ["bubblewrap: the program bwrap is not installed"]}


@pytest.mark.parametrize("tier", ["bubblewrap", "landlock"])
def test_no_way_leads_out_for_an_ordinary_user(tier: str, home: Path) -> None:
    works(tier, home)
    code = (
        "import json, os, sys\nfrom pathlib import Path\nos.environ['NEO_ESCAPE_SECRET'] = 'x'\n"
        "from reliability.test_escapes import ways_out\ntried, out = ways_out(sys.argv[1], Path.cwd())\n"
        "print(json.dumps([tried, sorted(out), os.getuid()]))"
    )
    tried, out, uid = json.loads(python(home, code, tier))
    assert (out, uid) == ([], NOBODY) and tried > 30


@pytest.mark.slow
@pytest.mark.parametrize("tier", ["bubblewrap", "landlock"])
def test_a_whole_job_runs_for_an_ordinary_user(tier: str, home: Path) -> None:
    works(tier, home)
    code = (
        "import sys\nfrom pathlib import Path\nfrom neo_cli.jobs.logs import log_path\nfrom worker.conftest import House\n"
        "from neo_cli.worker import sandbox\nfrom neo_cli.worker.__main__ import main\n"
        "if sys.argv[1] == 'landlock': sandbox._try_bubblewrap = lambda: 'forbidden here'\n"
        "import os\nhouse = House(Path.cwd())\nos.environ.update(house.environ)\nhouse.create('a')\nassert main([]) == 0\n"
        "print(house.status('a'), house.output, log_path(house.environ, 'a').read_text())"
    )
    said = python(home, code, tier)
    assert said.startswith("COMPLETED ['model-ml_c4.report.json', 'model-ml_c4.tar.gz']"), said
    assert f"sandbox: {tier}" in said
