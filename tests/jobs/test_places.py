"""Places: what people write becomes an absolute URI, and the path it means comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.jobs.places import absolute, fault, path_of


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("m.tar.gz", "file:///here/m.tar.gz"),
        ("./a/../m.tar.gz", "file:///here/m.tar.gz"),
        ("/abs/m.tar.gz", "file:///abs/m.tar.gz"),
        ("file:///abs/m.tar.gz", "file:///abs/m.tar.gz"),
        ("file://m.tar.gz", "file:///here/m.tar.gz"),
        ("file://localhost/abs/m", "file:///abs/m"),
        ("~/out", "file:///home/u/out"),
        ("a b%ü", "file:///here/a%20b%25%C3%BC"),
        ("out/", "file:///here/out/"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("https://h/x", "https://h/x"),
    ],
)
def test_places_become_absolute(place: str, uri: str) -> None:
    assert absolute(place, "/here", "/home/u") == uri


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda t: t not in (".", "..") and not t.startswith("~")
    )
)
def test_a_file_name_survives(name: str) -> None:
    if "://" not in name:
        assert path_of(absolute(name, "/w")) == f"/w/{name}"


def test_schemes_that_are_not_read() -> None:
    assert (
        fault("https://h/x", {}, "S3Uri")
        == "S3Uri is https://, which the local engine does not read or write; use a path, file:// or s3://."
    )
    assert fault("s3://b/k", {}, "S3Uri") is None and fault("file:///x", {}, "S3Uri") is None
