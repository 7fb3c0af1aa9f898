"""The compiler child: `python -m neo_cli.worker.child FOLDER` reads request.json there and leaves result.json."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InternalError, JobError

REQUEST, RESULT, DEBUG = "request.json", "result.json", "NEO_DEBUG"


def main(folder: Path) -> int:
    """Compile; what went wrong is in the result, and the exit code is 0 unless not even that could be written."""
    order = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    try:
        result = _compile(order, folder)
    except JobError as error:
        result = {"reason": error.reason}
        _trace()
    except MemoryError:
        result = {"reason": InternalError("The compiler ran out of memory.").reason}
    except Exception as error:
        result = {"reason": InternalError(f"The compiler failed: {type(error).__name__}: {error}").reason}
        _trace(always=True)
    temporary = folder / (RESULT + ".new")
    temporary.write_text(json.dumps(result), encoding="utf-8")
    os.replace(temporary, folder / RESULT)
    return 0


def _compile(order: dict[str, Any], folder: Path) -> dict[str, Any]:
    from neo_cli.pipeline import compile_job

    result = compile_job(
        order["request"], folder / order["archive"], folder, _log, environ=os.environ, trusted=order["trusted"]
    )
    return {
        "artifact": str(result.artifact), "report": str(result.report), "digest": result.digest, "derived": result.derived,
        "verified": result.verified,
    }  # fmt: skip


def _log(text: str) -> None:
    print(text, flush=True)


def _trace(always: bool = False) -> None:
    """The traceback goes into the job's log, for whoever mends the compiler; the user's reason is one sentence."""
    if always or os.environ.get(DEBUG):
        traceback.print_exc(file=sys.stderr)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
