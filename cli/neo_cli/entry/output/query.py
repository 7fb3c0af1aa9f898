"""--query: a JMESPath expression, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neo_cli.base.errors import NeoError, ParamValidation

Search = Callable[[Any], Any]


def compile_query(text: str | None) -> Search | None:
    """The search function of a --query value; None where there is no query."""
    if text is None:
        return None
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        expression = jmespath.compile(text)
    except (JMESPathError, ValueError) as fault:
        message = str(fault) if text else "Invalid JMESPath expression: cannot be empty."
        raise ParamValidation(f"Bad value for --query {text}: {message}") from fault

    def search(value: Any) -> Any:
        try:
            return expression.search(value)
        except JMESPathError as fault:
            raise NeoError(str(fault)) from fault

    return search
