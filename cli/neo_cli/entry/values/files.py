"""`file://` and `fileb://` values: a parameter whose text lies in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neo_cli.base.errors import NeoError
from neo_cli.clients.profile import expand

MISSING = object()


class FileError(ValueError):
    """The file cannot be read; the message is the AWS CLI's."""


def read(value: Any, environ: Mapping[str, str]) -> Any:
    """What the file named by `value` holds: text after `file://`, bytes after `fileb://`; MISSING for any other value."""
    if not isinstance(value, str) or not value.startswith(("file://", "fileb://")):
        return MISSING
    kind, _, path = value.partition("://")
    path = expand(path, environ)
    try:
        if kind == "fileb":
            with open(path, "rb") as file:
                return file.read()
        with open(path, encoding=environ.get("AWS_CLI_FILE_ENCODING") or None) as file:
            return file.read()
    except UnicodeDecodeError as fault:
        raise FileError(
            f"Unable to load paramfile ({path}), text contents could not be decoded.  If this is a binary file, "
            "please use the fileb:// prefix instead of the file:// prefix."
        ) from fault
    except LookupError as fault:  # AWS_CLI_FILE_ENCODING names no codec
        raise NeoError(str(fault)) from fault
    except OSError as fault:
        raise FileError(f"Unable to load paramfile {value}: {fault}") from fault
