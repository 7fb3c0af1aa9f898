"""NextToken of ListCompilationJobs: where a page ended, bound to the filters it was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from neo_cli.base.errors import ValidationException

VERSION = 1


def encode(params: Mapping[str, Any], key: Any, name: str) -> str:
    """The token that continues after (key, name)."""
    record = {"v": VERSION, "f": _filters(params), "k": key, "n": name}
    from base64 import urlsafe_b64encode  # here, as most commands need no token

    return urlsafe_b64encode(json.dumps(record).encode()).decode()


def decode(token: str, params: Mapping[str, Any]) -> tuple[Any, str]:
    """(key, name) of the token; ValidationException when it is no token of ours or of other filters."""
    from base64 import urlsafe_b64decode

    try:
        record = json.loads(urlsafe_b64decode(token.encode("ascii", "strict")))
        key, name = record["k"], record["n"]
        if record["v"] != VERSION or not isinstance(name, str) or not isinstance(key, str | int | float):
            raise ValueError
    except (ValueError, KeyError, TypeError, UnicodeError):
        raise ValidationException("The NextToken is not one of this service.") from None
    if record.get("f") != _filters(params):
        raise ValidationException("The NextToken belongs to a request with other filters or another order.")
    return key, name


def _filters(params: Mapping[str, Any]) -> int:
    rest = {k: v for k, v in params.items() if k not in ("NextToken", "MaxResults")}
    from zlib import crc32

    return crc32(json.dumps(rest, sort_keys=True, default=str).encode())
