"""Responses in model order: unmodelled members and nulls are dropped, timestamps are written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neo_cli.api import shapes

Convert = Callable[[Any], Any]


def shaper(operation: str, stamp: Convert) -> Convert:
    """The function that puts a response of `operation` into model order; `stamp` writes a timestamp."""
    model = shapes.load()
    output = model["operations"].get(operation, {}).get("output")
    if output is None:
        return lambda value: value if operation not in model["operations"] else {}
    return _convert(model["shapes"], output["shape"], stamp)


def _convert(known: dict[str, Any], name: str, stamp: Convert) -> Convert:
    shape = known[name]
    if shape["type"] == "structure":
        members = [(key, _convert(known, member["shape"], stamp)) for key, member in shape["members"].items()]
        return _structure(members)
    if shape["type"] == "list":
        item = _convert(known, shape["member"]["shape"], stamp)
        return lambda value: [item(v) for v in value] if isinstance(value, list) else value
    return stamp if shape["type"] == "timestamp" else _same


def _structure(members: list[tuple[str, Convert]]) -> Convert:
    def ordered(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        found = {}
        for key, convert in members:
            part = value.get(key)
            if part is not None:
                found[key] = part if convert is _same else convert(part)
        return found

    return ordered


def _same(value: Any) -> Any:
    return value
