"""Tables: boxes drawn with - | +, nested ones in one more bar on each side."""

from __future__ import annotations

from typing import Any

from neo_cli.base.errors import NeoError
from neo_cli.entry.output.grid import Section, render
from neo_cli.entry.output.response import Response
from neo_cli.entry.output.stream import Sink


def write(operation: str, response: Response, sink: Sink) -> None:
    """The whole response under the operation's name; an empty one, null or zero prints nothing."""
    sections = layout(operation, response.whole())
    if sections:
        sink.write_all(render(sections, terminal_width(sink), sink.color, sink.paged))


def layout(title: str, value: Any) -> list[Section]:
    """The boxes of `value`, outermost first."""
    sections: list[Section] = []
    _add(sections, title, value, 0)
    return sections


def _add(sections: list[Section], title: str | None, value: Any, level: int) -> None:
    if not value:
        return
    if title is not None:
        sections.append(Section(title, level))
    if isinstance(value, dict):
        _add_mapping(sections, value, level)
    elif isinstance(value, list) and isinstance(value[0], dict):
        _add_mappings(sections, title or "", value, level)
    elif isinstance(value, list):
        for item in value:
            if not isinstance(item, dict | list):
                sections[-1].add([item])
            elif not any(isinstance(part, dict | list) for part in item):
                sections[-1].add(list(item))
            else:
                _add(sections, None, item, 0)


def _add_mapping(sections: list[Section], value: dict[str, Any], level: int) -> None:
    flat, nested = _split([value])
    if len(flat) == 1:
        sections[-1].add([flat[0], value[flat[0]]])
    elif flat:
        sections[-1].head(flat)
        sections[-1].add([value[key] for key in flat])
    for key in nested:
        _add(sections, key, value[key], level + 1)


def _add_mappings(sections: list[Section], title: str, values: list[Any], level: int) -> None:
    """A list of mappings: one box with a row each, or a box each where they hold more than scalars."""
    if not all(isinstance(value, dict) for value in values):
        raise NeoError("A table cannot show a list that mixes mappings and other values; choose another --output.")
    flat, nested = _split(values)
    sections[-1].head(flat)
    for number, value in enumerate(values):
        if number and nested:
            sections.append(Section(title, level))
            sections[-1].head(flat)
        sections[-1].add([value.get(key, "") for key in flat])
        for key in nested:
            _add(sections, key, value.get(key), level + 1)


def _split(values: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The keys that hold scalars and those that hold more, each sorted."""
    flat = {key for value in values for key, item in value.items() if not isinstance(item, dict | list)}
    nested = {key for value in values for key, item in value.items() if isinstance(item, dict | list)}
    return sorted(flat), sorted(nested)


def terminal_width(sink: Sink) -> int:
    """What the terminal says, 0 included; 80 where standard output is none. $COLUMNS is not asked, as by AWS."""
    import os
    import sys

    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 80
    except (OSError, ValueError):
        return 80
