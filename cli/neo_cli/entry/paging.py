"""Listings page by page: --max-items, --page-size, --starting-token, and tokens the AWS CLI reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from neo_cli.api import shapes
from neo_cli.base.errors import NeoError, ParamValidation

if TYPE_CHECKING:
    from neo_cli.entry.context import Context

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
CUT = "boto_truncate_amount"  # botocore's word for how many items of a page have been shown
ARGUMENTS = ("starting_token", "page_size", "max_items")


def pages(
    call: Call, operation: str, params: dict[str, Any], options: Mapping[str, Any], context: Context
) -> Iterable[dict[str, Any]]:
    """The responses of `operation`, asked for when they are read: one, or as many as the listing has.

    Who sends a paging member himself (--next-token, --max-results, or either in --cli-input-json) gets one page.
    """
    plan = shapes.load().get("pagination", {}).get(operation)
    if plan is None:
        return _single(call, operation, params)
    if context.option("no_paginate") or {plan["input_token"], plan["limit_key"]} & params.keys():
        refuse_arguments(options)
        return _single(call, operation, params)
    if options.get("page_size") is not None:
        refuse_size(operation, {**params, plan["limit_key"]: options["page_size"]}, context)
    if options.get("max_items") is not None and options["max_items"] <= 0:
        context.stderr.write("warning: Non-positive values for --max-items may result in undefined behavior.\n")
    return Pages(call, operation, params, options, plan)


def refuse_arguments(options: Mapping[str, Any]) -> None:
    """Paging arguments mean nothing where paging is off."""
    used = [f"--{name.replace('_', '-')}" for name in ARGUMENTS if options.get(name)]
    if used:
        raise ParamValidation(f"Cannot specify --no-paginate along with pagination arguments: {', '.join(used)}")


def refuse_size(operation: str, params: dict[str, Any], context: Context) -> None:
    """A page size below the API's minimum is refused here, as every request's members are; a maximum is not ours."""
    checked = (context.setting("parameter_validation") or "").lower() != "false"
    faults = shapes.client_faults(operation, params) if checked else []
    if faults:
        raise ParamValidation("Parameter validation failed:\n" + "\n".join(faults))


class Pages:
    """A listing; iterate once. `resume_token` is set when --max-items has cut it."""

    def __init__(
        self, call: Call, operation: str, params: dict[str, Any], options: Mapping[str, Any], plan: Mapping[str, str]
    ) -> None:
        self.result_key = plan["result_key"]
        self.resume_token: str | None = None
        self._params: dict[str, Any] = dict(params)
        self._ask = lambda: call(operation, self._params)
        self._token_key, self._answer_key = plan["input_token"], plan["output_token"]
        self._limit: int | None = options.get("max_items")
        self._start: str | None = options.get("starting_token")
        if options.get("page_size") is not None:
            self._params[plan["limit_key"]] = options["page_size"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        token, skip = decode(self._start, self._token_key) if self._start is not None else (None, 0)
        left, received = self._limit, None
        while True:
            self._use(token)
            page = dict(self._ask())
            items = page.get(self.result_key)
            if skip and isinstance(items, list):
                page[self.result_key] = items = items[skip:]
            count = len(items or [])
            if left is not None and count > left:
                page[self.result_key] = (items or [])[:left]  # a negative one counts from the end, as with AWS
                self.resume_token = encode({self._token_key: token, CUT: left + skip})
                yield page
                return
            left = None if left is None else left - count
            following = page.get(self._answer_key) or None
            if following is not None and left == 0:
                self.resume_token = encode({self._token_key: following})
            yield page
            if following is None or left == 0:
                return
            if following == received:
                found = {self._token_key: following}
                raise NeoError(f"Error during pagination: The same next token was received twice: {found}")
            token, received, skip = following, following, 0

    def _use(self, token: str | None) -> None:
        if token is None:
            self._params.pop(self._token_key, None)
        else:
            self._params[self._token_key] = token


def encode(token: dict[str, Any]) -> str:
    """A resume token: the JSON of `token` in base64, byte for byte as botocore writes it."""
    import json
    from base64 import b64encode

    return b64encode(json.dumps(token).encode()).decode()


def decode(token: str, key: str) -> tuple[str | None, int]:
    """(the service's token, items of its page already shown) of a --starting-token.

    What is not a resume token is the service's own; "token___3" and "None___3" are botocore's form of before 2016.
    """
    import json
    from base64 import b64decode

    try:
        found = json.loads(b64decode(token.encode()).decode())
        skip = found.pop(CUT, 0)
        return found.get(key), int(skip)
    except (ValueError, TypeError, AttributeError):
        pass
    head, mark, tail = token.rpartition("___")
    if mark and "___" not in head:
        try:
            return (None if head == "None" else head), int(tail)
        except ValueError:
            pass
    elif mark:
        raise NeoError(f"Bad starting token: {token}")
    return (None if token == "None" else token), 0


def _single(call: Call, operation: str, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield call(operation, params)
