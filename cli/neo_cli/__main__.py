"""The process `neo-cli` (also `python -m neo_cli`): one command line, an exit code, and out."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn


def console() -> NoReturn:
    """Run the command line of this process.

    What a short command builds is no garbage until it ends, and what it leaves the system takes back: not looking
    for the one and not tidying up the other is a fifth of the time of `neo-cli --help`.
    """
    gc.set_threshold(100_000, 50, 100)
    from neo_cli.entry.main import main

    leave(main())


def leave(code: int) -> NoReturn:
    """End the process: exit handlers run, streams are flushed, threads are waited for; modules are not taken apart."""
    import atexit
    import os

    threads = sys.modules.get("threading")
    if threads is not None and threads.active_count() > 1:
        sys.exit(code)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the reader has left, or the stream is closed: `main` has dealt with it
            pass
    os._exit(code)


if __name__ == "__main__":
    console()
