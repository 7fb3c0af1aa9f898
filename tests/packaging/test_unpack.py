"""Input archives: honest ones unpack, hostile ones are refused before anything is written."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.packaging.unpack import EMPTY, UNTAR, Caps, unpack

Fill = Callable[[tarfile.TarFile], None]


def add(tar: tarfile.TarFile, name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    tar.addfile(info, io.BytesIO(data) if kind == tarfile.REGTYPE else None)


def archive(folder: Path, *fills: Fill, format: int = tarfile.PAX_FORMAT) -> Path:
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz", format=format) as tar:
        for fill in fills:
            fill(tar)
    return path


def unpacked(path: Path, caps: Caps = Caps()) -> dict[str, bytes]:  # noqa: B008
    into = path.parent / "into"
    into.mkdir()
    unpack(path, into, caps)
    return {f.relative_to(into).as_posix(): f.read_bytes() for f in into.rglob("*") if f.is_file()}


def refused(path: Path, caps: Caps = Caps()) -> str:  # noqa: B008
    into = path.parent / "into"
    into.mkdir(exist_ok=True)
    with pytest.raises(InputError) as caught:
        unpack(path, into, caps)
    assert not list(into.rglob("*")), "something was written"
    return caught.value.message


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_honest_archives_unpack(tmp_path: Path, format: int) -> None:
    name = "saved/variables/" + "v" * 90 + ".index"

    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "./", kind=tarfile.DIRTYPE)
        add(tar, "./model.onnx", b"onnx")
        add(tar, name, b"v" * 100_000)
        for junk in ("._model.onnx", ".DS_Store", "__MACOSX/x", "saved/.hidden"):
            add(tar, junk)

    assert unpacked(archive(tmp_path, fill, format=format)) == {"model.onnx": b"onnx", name: b"v" * 100_000}
    assert (tmp_path / "into" / "model.onnx").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("fill", "words"),
    [
        (lambda t: add(t, "../evil"), "leaves its folder: '../evil'"),
        (lambda t: add(t, "a/../../evil"), "leaves its folder"),
        (lambda t: add(t, "/etc/evil"), "leaves its folder: '/etc/evil'"),
        (lambda t: add(t, "..\\evil"), "leaves its folder"),
        (lambda t: add(t, "C:evil"), "leaves its folder"),
        (lambda t: add(t, "l", kind=tarfile.SYMTYPE, link="/etc/passwd"), "a symbolic link ('l')"),
        (lambda t: add(t, "l", kind=tarfile.SYMTYPE, link="model.onnx"), "a symbolic link"),
        (lambda t: add(t, "l", kind=tarfile.LNKTYPE, link="model.onnx"), "a hard link ('l')"),
        (lambda t: add(t, "d", kind=tarfile.CHRTYPE), "a device ('d')"),
        (lambda t: add(t, "f", kind=tarfile.FIFOTYPE), "a pipe ('f')"),
        (lambda t: add(t, "a\nb"), "control characters: 'a\\nb'"),
        (lambda t: add(t, "a\x1b[2J"), "control characters: 'a\\x1b[2J'"),
        (lambda t: [add(t, "a"), add(t, "A")], "twice, or in two spellings"),
        (lambda t: [add(t, "a"), add(t, "a")], "'a' twice"),
        (lambda t: add(t, "/".join("d" * 40)), "too deep or too long"),
        (lambda t: add(t, "n" * 300), "too deep or too long"),
    ],
)
def test_hostile_members_are_refused(tmp_path: Path, fill: Fill, words: str) -> None:
    assert words in refused(archive(tmp_path, lambda t: add(t, "model.onnx"), fill))


def test_a_bomb_is_noticed_before_it_goes_off(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    info = tarfile.TarInfo("zeros")
    info.size = 2 * 2**30
    with gzip.open(path, "wb", 1) as stream:
        stream.write(info.tobuf())
        block = bytes(2**20)
        for _ in range(160):
            stream.write(block)
    start = time.monotonic()
    assert refused(path) == "The input archive unpacks to more than 200 times its size."
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("caps", "words"),
    [(Caps(members=3), "more than 3 members"), (Caps(total=20), "more than 20 bytes")],
)
def test_caps(tmp_path: Path, caps: Caps, words: str) -> None:
    assert words in refused(archive(tmp_path, *[lambda t, n=n: add(t, f"f{n}", b"0123456789") for n in range(5)]), caps)  # type: ignore[misc]


def test_three_thousand_levels_and_fifty_thousand_members(tmp_path: Path) -> None:
    assert "too deep or too long" in refused(archive(tmp_path, lambda t: add(t, "d/" * 3000 + "f")))
    many = archive(tmp_path, lambda t: [add(t, f"f{n}", b"") for n in range(12_000)])  # type: ignore[arg-type,return-value]
    assert refused(many) == "The input archive has more than 10000 members."


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: b"",
        lambda d: b"plain text",
        lambda d: d[: len(d) // 2],
        lambda d: d[:-8] + b"\0" * 8,
        lambda d: d[:-1],
        lambda d: d + b"trailing garbage",
    ],
)
def test_what_is_no_gzip_is_called_so(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    path = archive(tmp_path, lambda t: add(t, "model.onnx", bytes(range(256)) * 100))
    path.write_bytes(spoil(path.read_bytes()))
    assert refused(path) == UNTAR


def test_a_zip_or_a_plain_tar_is_no_tar_gz(tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    with zipfile.ZipFile(path, "w") as inner:
        inner.writestr("model.onnx", b"x")
    assert refused(path) == UNTAR
    with tarfile.open(path, "w") as tar:
        add(tar, "model.onnx")
    assert refused(path) == UNTAR


@pytest.mark.parametrize(
    "fill", [lambda t: None, lambda t: add(t, "folder", kind=tarfile.DIRTYPE), lambda t: add(t, ".hidden")]
)
def test_nothing_to_load(tmp_path: Path, fill: Fill) -> None:
    assert refused(archive(tmp_path, fill)) == EMPTY


def test_zips_inside_keep_the_caps(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("weights", bytes(80 * 2**20))
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(InputError, match=r"model\.keras' in the input archive unpacks to too much"):
        unpack(archive(tmp_path, lambda t: add(t, "model.keras", buffer.getvalue())), into)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_bytes_never_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        add(tar, "model.onnx", b"x" * 700)
        add(tar, "b/c", b"y")
    content = bytearray(raw.getvalue()[:3072])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "m.tar.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    (folder / "into").mkdir()
    try:
        files = unpack(path, folder / "into")
    except InputError:
        return
    assert all((folder / "into") in f.parents for f in files)
