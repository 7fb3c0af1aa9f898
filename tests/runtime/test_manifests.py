"""Manifests and records that are anything at all: they are read, or refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.runtime import archive
from neo_cli.runtime.errors import ArtifactError

WORDS = st.sampled_from(
    [
        "files",
        "name",
        "hash",
        "format",
        "inputs",
        "outputs",
        "dtype",
        "shape",
        "lib.so",
        "../../etc/passwd",
        "/etc/passwd",
        "\ud800",
        "",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
)
MANIFESTS = VALUES | st.fixed_dictionaries(
    {"files": st.lists(st.fixed_dictionaries({"name": WORDS | VALUES, "hash": VALUES}), max_size=3)}
)
TENSORS = st.lists(st.fixed_dictionaries({"name": VALUES, "dtype": VALUES, "shape": VALUES}) | VALUES, max_size=2)
RECORDS = VALUES | st.fixed_dictionaries({"format": st.just(archive.FORMAT), "inputs": TENSORS, "outputs": TENSORS})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("artifact")
    (made / "lib.so").write_bytes(b"library")
    (made / "meta").mkdir()
    return made


@given(value=MANIFESTS)
def test_a_manifest_is_true_or_refused(folder: Path, value: Any) -> None:
    (folder / archive.RECORD).unlink(missing_ok=True)
    (folder / archive.MANIFEST).write_text(json.dumps(value))
    with pytest.raises(ArtifactError, match=r"^(The (manifest|file) |.* is no compiled model)"):
        archive.verify(folder)


@given(
    data=st.binary(max_size=60)
    | st.sampled_from([b"[" * 100_000, b'{"files": [{}]}', b'{"files": 3}', b"\xff\xfe", b'{"files": {"name": 1}}'])
)
def test_any_bytes_are_no_manifest(folder: Path, data: bytes) -> None:
    (folder / archive.MANIFEST).write_bytes(data)
    with pytest.raises(ArtifactError):
        archive.verify(folder)
    (folder / archive.RECORD).write_bytes(data)
    with pytest.raises(ArtifactError):
        archive.read_record(folder)
    (folder / archive.RECORD).unlink()


@given(value=RECORDS)
def test_a_record_has_names_dtypes_and_shapes_or_is_refused(folder: Path, value: Any) -> None:
    (folder / archive.RECORD).write_text(json.dumps(value))
    try:
        record = archive.read_record(folder)
    except ArtifactError as error:
        assert "\n" not in str(error)
        return
    finally:
        (folder / archive.RECORD).unlink()
    for tensor in (*record["inputs"], *record["outputs"]):
        assert isinstance(tensor["name"], str) and isinstance(tensor["dtype"], str)
        assert all(isinstance(n, int) for n in tensor["shape"])


def test_the_true_manifest_is_accepted(folder: Path) -> None:
    (folder / archive.MANIFEST).write_text(
        json.dumps({"files": [{"name": "lib.so", "hash": archive.hash_of(folder / "lib.so")}]})
    )
    archive.verify(folder)
