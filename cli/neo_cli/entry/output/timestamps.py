"""Timestamps as the AWS CLI v2 prints them: local zone, microseconds, `+00:00` rather than `Z`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from neo_cli.base.errors import ConfigurationError


def formatter(wanted: str | None) -> Callable[[Any], Any]:
    """The function that writes a timestamp as `cli_timestamp_format` asks."""
    if wanted == "wire":
        return lambda value: value
    if wanted in (None, "iso8601"):
        return iso8601
    raise ConfigurationError(f'Unknown cli_timestamp_format value: {wanted}, valid values are "wire" or "iso8601"')


def iso8601(value: Any) -> Any:
    """Epoch seconds, or a date in words as some endpoints send it, in the local zone; what is neither stays."""
    if isinstance(value, str):
        value = _moment(value)
    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(value).astimezone().isoformat()
        except (OverflowError, OSError, ValueError):  # a year Python has no date for
            return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone().isoformat()
    return value


def _moment(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            found = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return text
    return found if found.tzinfo else found.replace(tzinfo=UTC)
