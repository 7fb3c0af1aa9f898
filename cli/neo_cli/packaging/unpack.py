"""The input archive, unpacked by the rules of `runtime/untar.py`, with the messages Neo's own loader had where it had one."""

from __future__ import annotations

from pathlib import Path

from neo_cli.base.errors import InputError
from neo_cli.packaging import zips
from neo_cli.runtime import untar
from neo_cli.runtime.untar import Caps

UNTAR = "Unable to untar input model. Please confirm the model is a tar.gz file"
EMPTY = "No model file found."
IGNORED = ("__MACOSX",)
PLAIN = Caps()


def unpack(archive: Path, into: Path, caps: Caps = PLAIN) -> list[Path]:
    """Write the archive's files below the existing folder `into` (modes 0600 and 0700) and return them.

    Hidden files (a name that starts with a dot, AppleDouble's `._x` among them) and __MACOSX are left out.
    Raises InputError.
    """
    try:
        written = untar.unpack(archive, into, caps, _ignored)
    except untar.Refused as error:
        raise InputError(f"The input archive {error.text}") from error
    except untar.Unreadable as error:
        raise InputError(UNTAR) from error
    if not written:
        raise InputError(EMPTY)
    for file in written:
        zips.check(file, caps)
    return written


def _ignored(name: str) -> bool:
    parts = name.split("/")
    return parts[-1].startswith(".") or parts[0] in IGNORED
