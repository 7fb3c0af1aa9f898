"""A response becomes bytes on standard output: in the format, the query, the zone and the pager asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from neo_cli.base.errors import NeoError
from neo_cli.base.table import resolve

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

FORMATS = {
    "json": "neo_cli.entry.output.json:write",
    "text": "neo_cli.entry.output.text:write",
    "table": "neo_cli.entry.output.table:write",
    "yaml": "neo_cli.entry.output.yaml:write",
    "yaml-stream": "neo_cli.entry.output.yaml_stream:write",
    "off": "neo_cli.entry.output.off:write",
}


def emit(operation: str, pages: Iterable[dict[str, Any]], query: str | None, context: Context) -> None:
    """Print the response of `operation`; `pages` may be lazy: what can be refused without asking the service is."""
    from neo_cli.entry.output.query import compile_query
    from neo_cli.entry.output.response import Response
    from neo_cli.entry.output.shape import shaper
    from neo_cli.entry.output.stream import Sink
    from neo_cli.entry.output.timestamps import formatter

    response = Response(
        pages, shaper(operation, formatter(context.setting("cli_timestamp_format"))), compile_query(query)
    )
    name = context.option("output") or "json"
    if name not in FORMATS:
        response.ask()  # AWS notices after the request; a script that counts on the job being created still does
        raise NeoError(f"Unknown output type: {name}")
    with Sink(context) as sink:
        resolve(FORMATS[name])(operation, response, sink)
