"""NextToken of ListCompilationJobs: where a page ended, bound to the filters it was made for."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from neo_cli.base.errors import ValidationException

VERSION = 1


def encode(params: Mapping[str, Any], key: Any, name: str) -> str:
    """The token that continues after (key, name)."""
    record = {"v": VERSION, "f": _filters(params), "k": key, "n": name}
    return base64.urlsafe_b64encode(json.dumps(record).encode()).decode()


def decode(token: str, params: Mapping[str, Any]) -> tuple[Any, str]:
    """(key, name) of the token; ValidationException when it is no token of ours or of other filters."""
    try:
        record = json.loads(base64.urlsafe_b64decode(token.encode("ascii", "strict")))
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
    return zlib.crc32(json.dumps(rest, sort_keys=True, default=str).encode())
