"""`python -m neo_cli.worker`: a runner, as every local command starts it; `--stay` for `neo-cli worker`."""

from __future__ import annotations

import os
import sys

from neo_cli.worker.loop import Interruption, run


def main(arguments: list[str]) -> int:
    """0 when nothing waits any more, 143 when TERM or INT ended it."""
    interruption = Interruption()
    interruption.install()
    slots = int(arguments[arguments.index("--slots") + 1]) if "--slots" in arguments else None
    run(os.environ, interruption, stay="--stay" in arguments, slots=slots)
    return 143 if interruption.asked else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
