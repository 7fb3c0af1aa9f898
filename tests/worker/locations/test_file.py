"""Files: whole or not there, leftovers of killed attempts cleared, NEO_S3_ROOT never left."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.jobs.places import path_of
from neo_cli.worker.locations.base import join, location_of
from neo_cli.worker.locations.file import FileLocation, below

HERE = FileLocation()
MARK = {"neo-job": "j", "neo-attempt": "2"}


def uri(path: Path) -> str:
    return f"file://{path}"


def test_a_file_appears_whole_at_commit_and_never_at_abort(tmp_path: Path) -> None:
    source, target = tmp_path / "made", tmp_path / "out" / "model.tar.gz"
    source.write_bytes(b"x" * 3_000_000)
    first = HERE.prepare(uri(target), source, MARK, None)
    assert not target.exists()
    first.abort()
    assert list(target.parent.iterdir()) == []
    HERE.prepare(uri(target), source, MARK, None).commit()
    assert target.read_bytes() == source.read_bytes() and list(target.parent.iterdir()) == [target]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask
    assert HERE.holds(uri(target), {"neo-digest": hashlib.blake2b(source.read_bytes()).hexdigest()})
    assert not HERE.holds(uri(target), {"neo-digest": "other"}) and not HERE.holds(uri(tmp_path / "no"), {})


def test_what_a_killed_attempt_left_is_cleared_by_the_next_of_the_same_job(tmp_path: Path) -> None:
    source, target = tmp_path / "made", tmp_path / "out" / "m[1].tar.gz"
    source.write_bytes(b"x")
    HERE.prepare(uri(target), source, {**MARK, "neo-attempt": "1"}, None)  # killed here
    other = HERE.prepare(uri(target), source, {**MARK, "neo-job": "other"}, None)
    HERE.prepare(uri(target), source, MARK, None).commit()
    assert sorted(target.parent.iterdir()) == sorted([target, other.temporary])


def test_the_last_of_two_jobs_with_one_output_wins(tmp_path: Path) -> None:
    target = tmp_path / "out.tar.gz"
    prepared = []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        prepared.append(HERE.prepare(uri(target), tmp_path / name, {"neo-job": name}, None))
    for item in reversed(prepared):
        item.commit()
    assert target.read_text() == "one"


@pytest.mark.parametrize(
    ("place", "words"),
    [("nothing", "There is no file "), ("", " is not a file."), ("big", "is 9 bytes; at most 8 are accepted")],
)
def test_what_cannot_be_fetched(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "big").write_bytes(b"123456789")
    with pytest.raises(InputError, match=words):
        HERE.fetch(uri(tmp_path / place), tmp_path / "into", 8)
    assert not (tmp_path / "into").exists()


def test_a_key_is_refused_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="KmsKeyId cannot be honoured"):
        HERE.prepare(uri(tmp_path / "a"), tmp_path / "b", MARK, "alias/k")


def test_a_folder_stands_for_s3(tmp_path: Path) -> None:
    environ = {"NEO_S3_ROOT": str(tmp_path)}
    location, there = location_of("s3://bucket/some/key with space%41+.tar.gz", environ)
    assert isinstance(location, FileLocation)
    assert path_of(there) == f"{tmp_path}/bucket/some/key with space%41+.tar.gz"
    assert path_of(location_of("s3://bucket/out/", environ)[1]) == f"{tmp_path}/bucket/out/"
    assert join("s3://b/out", "x") == join("s3://b/out/", "x") == "s3://b/out/x"
    with pytest.raises(InputError, match="no location that the local engine knows"):
        location_of("https://b/x", environ)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "%2e%2e", "..a", "\x00", "b c"]), max_size=6))
def test_no_key_leaves_the_root(parts: list[str]) -> None:
    key = "s3://bucket/" + "/".join(parts)
    root = Path("/srv/s3")
    try:
        path = path_of(below(root, key))
    except InputError:
        assert {"..", ".", "\x00"} & set(parts)
    else:
        assert os.path.normpath(path).startswith("/srv/s3/bucket")
