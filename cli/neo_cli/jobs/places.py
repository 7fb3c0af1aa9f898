"""Where bytes of a local job may lie: plain paths and file:// made absolute, s3:// as it is, the rest refused."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit


def absolute(place: str, cwd: str, home: str = "") -> str:
    """The URI of `place`: paths become absolute file:// URIs; other schemes are left alone."""
    if "://" in place and not place.startswith("file://"):
        return place
    path = path_of(place) if place.startswith("file://") else place
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    end = "/" if path.endswith("/") and path.strip("/") else ""
    return "file://" + quote(os.path.normpath(os.path.join(cwd, path)) + end)


def path_of(uri: str) -> str:
    """The path a file:// URI means: percent escapes are undone, `file://model.tar.gz` is relative as people mean it."""
    parts = urlsplit(uri)
    return unquote(parts.netloc if parts.netloc != "localhost" else "") + unquote(parts.path)


def is_local(uri: str) -> bool:
    """Whether the URI is a file of this machine."""
    return uri.startswith("file://")


def fault(uri: str, environ: Mapping[str, str], what: str) -> str | None:
    """Why the local engine cannot use the URI, in one sentence; None when it can."""
    if uri.startswith(("file://", "s3://")):
        return None
    scheme = uri.split("://", 1)[0]
    return f"{what} is {scheme}://, which the local engine does not read or write; use a path, file:// or s3://."
