"""The compiler child's verdict, read as what it is: something that a model's code may have written."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from neo_cli.base.errors import InternalError

LIMIT = 2**20  # bytes of a verdict
REASON = 1024  # characters of FailureReason
FILES, TEXTS = ("artifact", "report"), ("digest", "verified")


def read(file: Path, folder: Path) -> dict[str, Any] | None:
    """The verdict in `file`, None when there is none: a reason, or files below `folder` and texts about them.

    Raises InternalError when it is anything else; links are not followed, so that no file of the user's is published.
    """
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InternalError("The compiler left a result that is no file.") from error
    with os.fdopen(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InternalError("The compiler left a result that is no file.")
        data = stream.read(LIMIT + 1)
    try:
        found = json.loads(data) if len(data) <= LIMIT else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InternalError("The compiler left a result that cannot be read.")
    if "reason" in found:
        return {"reason": str(found["reason"])[:REASON]}
    texts = all(isinstance(found.get(key), str) for key in TEXTS) and isinstance(found.get("derived"), str | None)
    if not texts or not all(_own(found.get(key), folder) for key in FILES):
        raise InternalError("The compiler left a result that names no files of its own.")
    return {key: found.get(key) for key in (*FILES, *TEXTS, "derived")}


def _own(name: Any, folder: Path) -> bool:
    """Whether it is a regular file below the folder, reached through no link."""
    if not isinstance(name, str) or "\0" in name:
        return False
    try:
        path, root = Path(name), folder.resolve()
        return path.resolve(strict=True) == root / path.relative_to(folder) and stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError, RuntimeError):
        return False
