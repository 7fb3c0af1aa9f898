"""Listings page as botocore pages them: the same requests, the same items, the same tokens."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import NeoError, ParamValidation
from neo_cli.entry.context import Context
from neo_cli.entry.paging import Pages, decode, encode, pages

LIST = "ListCompilationJobs"


class Service:
    """Jobs 0..n-1, `size` a page unless MaxResults says otherwise; remembers what it was asked."""

    def __init__(self, jobs: int, size: int) -> None:
        self.jobs, self.size = jobs, size
        self.asked: list[dict[str, Any]] = []

    def __call__(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(dict(params))
        start = int(params.get("NextToken", 0))
        end = start + int(params.get("MaxResults", self.size))
        page: dict[str, Any] = {"CompilationJobSummaries": list(range(start, min(end, self.jobs)))}
        return page | ({"NextToken": str(end)} if end < self.jobs else {})


class Model:
    """The one thing botocore's paginator asks of an operation's model: the type of the limit."""

    class input_shape:
        members = {"MaxResults": type("Shape", (), {"type_name": "integer"})}


def by_botocore(service: Service, **config: Any) -> tuple[Any, str | None]:
    from botocore.paginate import Paginator

    plan = {
        "input_token": "NextToken", "output_token": "NextToken",
        "limit_key": "MaxResults", "result_key": "CompilationJobSummaries",
    }  # fmt: skip
    config = {"".join(w.title() for w in key.split("_")): value for key, value in config.items() if value is not None}
    found = Paginator(lambda **params: service(LIST, params), plan, Model()).paginate(PaginationConfig=config)
    return [page["CompilationJobSummaries"] for page in found], found.resume_token


@given(
    jobs=st.integers(0, 9),
    size=st.integers(1, 4),
    max_items=st.none() | st.integers(-1, 10),
    page_size=st.none() | st.integers(1, 4),
    start=st.none() | st.tuples(st.none() | st.integers(1, 6).map(str), st.none() | st.integers(0, 3)),
)
def test_requests_items_and_tokens_are_botocores(
    jobs: int, size: int, max_items: int | None, page_size: int | None, start: tuple[str | None, int | None] | None
) -> None:
    token = None
    if start is not None:
        token = encode({"NextToken": start[0]} | ({} if start[1] is None else {"boto_truncate_amount": start[1]}))
    options = {"max_items": max_items, "page_size": page_size, "starting_token": token}
    one, two = Service(jobs, size), Service(jobs, size)
    theirs, their_token = by_botocore(two, **options)
    found = pages(one, LIST, {}, options, Context(stderr=io.StringIO()))
    ours = [page["CompilationJobSummaries"] for page in found]
    assert (ours, found.resume_token) == (theirs, their_token)  # type: ignore[attr-defined]
    assert one.asked == two.asked


@given(st.text(max_size=20) | st.from_regex(r"\A(None|tok)(___\w{0,3}){0,2}\Z"))
def test_any_token_is_read_as_botocore_reads_it(token: str) -> None:
    from botocore.paginate import PageIterator

    theirs = object.__new__(PageIterator)
    theirs._starting_token, theirs._input_token = token, ["NextToken"]
    theirs._token_decoder = __import__("botocore.paginate").paginate.TokenDecoder()
    try:
        expected, skip = theirs._parse_starting_token()
    except AttributeError:  # the base64 of a JSON document that is no mapping: botocore breaks down
        return
    except ValueError as fault:
        with pytest.raises(NeoError, match=r"^Bad starting token: "):
            decode(token, "NextToken")
        assert "Bad starting token" in str(fault)
        return
    assert decode(token, "NextToken") == (expected.get("NextToken"), skip)


def test_nothing_is_asked_before_it_is_read() -> None:
    service = Service(5, 2)
    found = iter(pages(service, LIST, {}, {}, Context()))
    assert service.asked == []
    next(found)
    assert service.asked == [{}]


@pytest.mark.parametrize("params", [{"NextToken": "2"}, {"MaxResults": 2}])
def test_who_sends_a_paging_member_gets_one_page(params: dict[str, Any]) -> None:
    service = Service(5, 2)
    assert len(list(pages(service, LIST, params, {}, Context()))) == 1
    assert service.asked == [params]
    with pytest.raises(
        ParamValidation, match=r"^Cannot specify --no-paginate along with pagination arguments: --max-items"
    ):
        pages(service, LIST, params, {"max_items": 3}, Context())


@pytest.mark.parametrize(("operation", "size"), [(LIST, 0), (LIST, -1), ("ListTags", 49)])
def test_a_page_below_the_minimum_is_refused(operation: str, size: int) -> None:
    params = {"ResourceArn": "a"} if operation == "ListTags" else {}
    with pytest.raises(
        ParamValidation, match=rf"^Parameter validation failed:\nInvalid value .*MaxResults, value: {size}, "
    ):
        pages(Service(5, 2), operation, params, {"page_size": size}, Context())
    assert pages(Service(5, 2), operation, params, {"page_size": 500}, Context())


def test_without_paging_the_raw_token_is_shown() -> None:
    found = pages(Service(5, 2), LIST, {}, {}, Context(options={"no_paginate": True}))
    assert not isinstance(found, Pages)
    assert next(iter(found))["NextToken"] == "2"


def test_a_listing_of_nothing_is_warned_about() -> None:
    context = Context(stderr=io.StringIO())
    pages(Service(5, 2), LIST, {}, {"max_items": 0}, context)
    warning = "warning: Non-positive values for --max-items may result in undefined behavior.\n"
    assert context.stderr.getvalue() == warning  # type: ignore[attr-defined]


def test_a_service_that_turns_in_circles_is_left() -> None:
    with pytest.raises(
        NeoError, match=r"^Error during pagination: The same next token was received twice: \{'NextToken'"
    ):
        list(pages(lambda o, p: {"CompilationJobSummaries": [1], "NextToken": "x"}, LIST, {}, {}, Context()))
