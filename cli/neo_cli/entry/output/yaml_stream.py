"""YAML, each page written as it comes, as a list of one."""

from __future__ import annotations

from neo_cli.entry.output.response import Response
from neo_cli.entry.output.stream import Sink
from neo_cli.entry.output.yaml import dumps


def write(operation: str, response: Response, sink: Sink) -> None:
    """A page each, the query applied to each; an operation without output prints nothing."""
    for page in response:
        value = response.select(page)
        if value != {} or response.result_key is not None:
            sink.write_all(dumps([value]))
