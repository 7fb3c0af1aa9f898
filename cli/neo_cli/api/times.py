"""Timestamps of requests: every form the AWS CLI takes, as one moment, and as the integer that goes over the wire."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime
from typing import Any

_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:?\d\d)?)?")


def moment(value: Any) -> datetime:
    """`value` as an aware datetime: epoch seconds (number or text), ISO 8601, RFC 822, what dateutil reads.

    A time without a zone is UTC. ValueError, TypeError or OverflowError says that it is no time.
    """
    found = value if isinstance(value, datetime) else _read(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def epoch(value: Any) -> int:
    """`value` as whole epoch seconds, the fraction dropped: what a request sends."""
    return calendar.timegm(moment(value).astimezone(UTC).timetuple())


def _read(value: Any) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except ValueError:
        pass
    if _ISO.fullmatch(value):
        return datetime.fromisoformat(value)
    import dateutil.parser
    import dateutil.tz

    return dateutil.parser.parse(value, tzinfos={"GMT": dateutil.tz.tzutc()})
