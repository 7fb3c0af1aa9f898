"""The response of one operation as the formats see it: shaped pages, the query applied where the format says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from neo_cli.entry.output.query import Search

Shape = Callable[[dict[str, Any]], dict[str, Any]]


class Response:
    """One response, or the pages of one.

    `pages` may carry `result_key` and, once read to the end, `resume_token` (neo_cli.entry.paging.Pages);
    without a result key it is one response and not a paginated one.
    """

    def __init__(self, pages: Iterable[dict[str, Any]], shape: Shape, search: Search | None) -> None:
        self._pages = pages
        self._shape = shape
        self._search = search
        self.result_key: str | None = getattr(pages, "result_key", None)

    @property
    def resume_token(self) -> str | None:
        """The token --max-items left behind; known when the pages have been read."""
        return getattr(self._pages, "resume_token", None)

    def select(self, value: Any) -> Any:
        """`value` after --query."""
        return value if self._search is None else self._search(value)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The pages, each in model order, before --query; a response without a body is one empty page."""
        for page in self._pages:
            yield self._shape(page)

    def whole(self) -> Any:
        """All pages as one response, after --query: what json, yaml and table print."""
        if self.result_key is None:
            return self.select(next(iter(self), {}))
        merged: dict[str, Any] = {}
        for page in self:
            items = page.get(self.result_key)
            if items is None:
                continue
            if self.result_key in merged:
                merged[self.result_key].extend(items)
            else:
                merged[self.result_key] = items
        if self.resume_token is not None:
            merged["NextToken"] = self.resume_token
        return self.select(merged)

    def ask(self) -> None:
        """Make the request of a response that is not paginated, and look no further."""
        if self.result_key is None:
            next(iter(self), None)
