"""The AWS CLI's text and table formatters as a process that answers lines of JSON.

A process of its own, because importing awscli puts its own botocore in the place of the real one.
"""

from __future__ import annotations

import io
import json
import sys
from argparse import Namespace
from typing import Any


def text(value: Any) -> str:
    from awscli.text import format_text

    stream = io.StringIO()
    format_text(value, stream)
    return stream.getvalue()


def table(value: Any, width: int, color: bool) -> str:
    from awscli.formatter import TableFormatter
    from awscli.table import MultiTable, Styler

    class Styled(Styler):
        """The colours, without the colour library's resets."""

        def style_row_element(self, text: str) -> str:
            return f"\x1b[1m\x1b[34m{text}\x1b[0m"

        def style_indentation_char(self, text: str) -> str:
            return f"\x1b[2m\x1b[33m{text}\x1b[0m"

    boxes = MultiTable(initial_section=False, column_separator="|", styler=Styled() if color else Styler())
    boxes._terminal_width = width
    formatter = TableFormatter(Namespace(query=None, color="off"))
    formatter.table = boxes
    stream = io.StringIO()
    try:
        formatter._format_response("Title", value, stream)
    except ValueError as fault:  # rows of unequal length
        return str(fault)
    return stream.getvalue()


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"text": text, "table": table}[request.pop("kind")](**request)
        except (TypeError, AttributeError, IndexError):  # it breaks down on lists that mix mappings and others
            answer = None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
