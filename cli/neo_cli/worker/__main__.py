"""`python -m neo_cli.worker`: a runner, as every local command starts it; `neo-cli worker` adds `--stay --parent PID`."""

from __future__ import annotations

import os
import sys

from neo_cli.base.errors import NeoError
from neo_cli.worker.loop import Interruption, run


def main(arguments: list[str]) -> int:
    """0 when nothing waits any more, 143 when TERM or INT ended it, 255 when the store cannot be used, or was busy for too long."""
    interruption = Interruption(_number(arguments, "--parent"))
    interruption.install()
    try:
        run(os.environ, interruption, stay="--stay" in arguments, slots=_number(arguments, "--slots"))
    except NeoError as error:
        print(error.message, file=sys.stderr)
        return 143 if interruption.asked else 255
    return 143 if interruption.asked else 0


def _number(arguments: list[str], name: str) -> int | None:
    return int(arguments[arguments.index(name) + 1]) if name in arguments else None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
