"""Peak memory of natively compiled networks, beside their weights and planned scratch, and how long a build takes.

    python tests/bench/native_memory.py [--target ml_c5] [--threads 2] NAME...

Peaks are VmHWM of /proc: of a C program that does nothing else (tests/backends/native/caller.c; needs gcc), and of the
Python runtime in a process of its own, less what that process had before it loaded the model. A build is everything
from the ONNX graph to the library and its weights, first with an empty cache, then with a full one; wall and CPU
seconds, so that a busy machine shows.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from backends.graphs import as_model, feeds
from backends.native.callers import call, linked, lowered
from models.builders import BUILDERS
from neo_cli.backends.native import compile
from neo_cli.model.model import Model
from neo_cli.targets.devices import targets

PYTHON = """
import json, sys
from pathlib import Path
import numpy as np
from neo_cli.runtime.engines.native import Engine

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))

folder, record, threads = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
feed = dict(np.load(folder / "feed.npz"))
before = peak()
engine = Engine(folder, record, threads)
for _ in range(3):
    engine.run(feed)
print(peak() - before)
engine.close()
"""


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of a call, those of its child processes included."""
    start, used = time.perf_counter(), os.times()
    work()
    now = os.times()
    return time.perf_counter() - start, sum(now[:4]) - sum(used[:4])


def in_python(model: Model, target: str, threads: int, work: Path) -> int:
    """Bytes that loading and running the model adds to a Python process."""
    import numpy as np

    build = compile(model, targets()[target], {}, work)
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    np.savez(work / "feed.npz", **feeds(model))
    line = [sys.executable, "-c", PYTHON, str(work), json.dumps({"settings": build.settings, **tensors}), str(threads)]
    return int(subprocess.run(line, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--target", default="ml_c5")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    for name in asked.names:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            os.environ["NEO_HOME"] = str(work / "home")  # an empty cache of builds
            model = as_model(BUILDERS[name](False), work)
            build = functools.partial(compile, model, targets()[asked.target], {}, work)
            first, again = seconds(build), seconds(build)
            print(
                f"{name}: build {first[0]:.1f} s ({first[1]:.1f} s of CPU), again {again[0]:.1f} s ({again[1]:.1f} s)"
            )
            added = in_python(model, asked.target, asked.threads, work)
            program, target = lowered(model, asked.target, work)
            planned = program.weights.size + program.scratch(asked.threads)
            binary = linked(program, target, work)
            _, peak = call(binary, program, [feeds(model)], asked.threads, "team")
            print(
                f"    weights {program.weights.size / 1e6:.1f} MB, scratch {program.scratch(asked.threads) / 1e6:.1f} MB; "
                f"C program {peak / 1e6:.1f} MB, {peak / planned:.2f} of it; Python adds {added / 1e6:.1f} MB, {added / planned:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
