"""Nothing is printed; the requests are made all the same."""

from __future__ import annotations

from neo_cli.entry.output.response import Response
from neo_cli.entry.output.stream import Sink


def write(operation: str, response: Response, sink: Sink) -> None:
    """Read every page and drop it."""
    for _ in response:
        pass
