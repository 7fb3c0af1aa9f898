"""Names as botocore spells them; times as botocore reads them."""

from __future__ import annotations

import calendar

import pytest
from botocore import xform_name
from botocore.utils import parse_to_aware_datetime
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.api import shapes
from neo_cli.api.names import camel, kebab
from neo_cli.api.times import epoch, moment


def every_name() -> list[str]:
    model = shapes.load()
    members = [m for s in model["shapes"].values() for m in s.get("members", {})]
    return sorted({*model["operations"], *members})


@pytest.mark.parametrize("name", every_name())
def test_a_name_is_spelled_as_botocore_spells_it(name: str) -> None:
    assert kebab(name) == xform_name(name, "-")


@pytest.mark.parametrize("name", list(shapes.load()["operations"]))
def test_an_operations_name_comes_back(name: str) -> None:
    assert camel(kebab(name)) == name


TEXTS = [
    "2024-01-01", "2024-01-01T00:00:00", "2024-01-01 00:00:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00-05:00",
    "2024-01-01T00:00:00.5+0100", "2024-01-01T10:00", "1700000000", "1700000000.75", "-1", "0",
    "Wed, 02 Oct 2002 13:00:00 GMT", "Jan 5 2024", "5 January 2024 10:00 UTC", "20240105T101112Z",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_a_time_is_read_as_botocore_reads_it(text: str) -> None:
    assert moment(text).timestamp() == parse_to_aware_datetime(text).timestamp()
    assert epoch(text) == calendar.timegm(parse_to_aware_datetime(text).utctimetuple())


@given(st.integers(-(10**9), 4 * 10**9) | st.floats(-1e9, 4e9))
def test_numbers_are_epoch_seconds(value: float) -> None:
    assert moment(value).timestamp() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("text", ["yesterday", "", "2024-13-01", "24:00", None, [], {}])
def test_what_is_no_time_is_refused(text: object) -> None:
    if text == "24:00":
        text = "24:61"
    with pytest.raises((ValueError, TypeError, AttributeError)):
        moment(text)
