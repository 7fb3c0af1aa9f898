"""Text: a line per mapping, values joined by tabs, nested ones led by their key in capitals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neo_cli.entry.output.response import Response
from neo_cli.entry.output.stream import Sink


def write(operation: str, response: Response, sink: Sink) -> None:
    """Page by page, the query applied to each, as AWS does; then the token that resumes a cut listing."""
    key = response.result_key
    for page in response:
        for line in lines(response.select(page if key is None else {key: page.get(key)})):
            sink.write(line)
    if response.resume_token is not None:
        for line in lines(response.select({"NextToken": {"NextToken": response.resume_token}})):
            sink.write(line)


def lines(value: Any, key: str | None = None, columns: list[str] | None = None) -> Iterator[str]:
    """The lines of `value`; `key` is the member it was found under, `columns` what its list has in common."""
    if isinstance(value, dict):
        yield from _mapping(value, key, columns)
    elif isinstance(value, list):
        yield from _sequence(value, key)
    else:
        yield f"{value}\n"


def _mapping(value: dict[str, Any], key: str | None, columns: list[str] | None) -> Iterator[str]:
    if columns is None:
        columns = sorted(k for k, v in value.items() if not isinstance(v, dict | list))
    cells = [str(value.get(name, "")) for name in columns]
    if cells:
        yield "\t".join(cells if key is None else [key.upper(), *cells]) + "\n"
    for name in sorted(value.keys() - set(columns)):
        yield from lines(value[name], name)


def _sequence(value: list[Any], key: str | None) -> Iterator[str]:
    if any(isinstance(item, dict) for item in value):
        columns = {
            k for item in value if isinstance(item, dict) for k, v in item.items() if not isinstance(v, dict | list)
        }
        for item in value:
            yield from lines(item, key, sorted(columns))
        return
    nested = [item for item in value if isinstance(item, list)]
    scalars = [item for item in value if not isinstance(item, list)]
    if scalars and key is not None:
        yield from (f"{key.upper()}\t{item}\n" for item in scalars)
    elif scalars:
        yield "\t".join(map(str, scalars)) + "\n"
    for item in nested:
        yield from lines(item, key)
