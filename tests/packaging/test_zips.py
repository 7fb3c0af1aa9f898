"""Zip archives inside: what two libraries would read differently is refused, what frameworks write passes."""

from __future__ import annotations

import importlib.util
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.packaging.zips import check
from neo_cli.runtime.untar import Caps

CAPS = Caps()


def made(*members: tuple[str, bytes], packed: bool = False) -> bytes:
    stream = io.BytesIO()
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive,
    ):
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED)
    return stream.getvalue()


HONEST = made(("config.json", b"{}" * 50), ("weights", bytes(range(256))), packed=True)
STORED = made(("data.pkl", b"x" * 100), ("code/a.py", b"y" * 50))


def directory(data: bytes) -> int:
    return data.index(b"PK\x01\x02")


def at(data: bytes, place: int, form: str, value: int) -> bytes:
    return data[:place] + struct.pack(form, value) + data[place + struct.calcsize(form) :]


def overlapping() -> bytes:
    """Fifield's bomb in small: one kernel that several members of the directory point at."""
    kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = kernel.compress(bytes(10_000)) + kernel.flush()
    local = (
        struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 0, zlib.crc32(bytes(10_000)), len(data), 10_000, 1, 0)
        + b"a"
        + data
    )
    central = b"".join(
        struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, zlib.crc32(bytes(10_000)), len(data), 10_000, 1, 0, 0, 0, 0, 0, 0)
        + name for name in (b"a", b"b", b"c")
    )  # fmt: skip
    return local + central + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 3, 3, len(central), len(local), 0)


def inside_another() -> bytes:
    """The second member's header lies in the first one's data: David Fifield's quoting."""
    inner = made(("b", b"evil"))
    outer = made(("a", inner[: inner.index(b"PK\x01\x02")]))
    place = outer.index(b"PK\x03\x04", 4)
    entry = bytearray(inner[inner.index(b"PK\x01\x02") : inner.index(b"PK\x05\x06")])
    entry[42:46] = struct.pack("<I", place)
    start, end = outer.index(b"PK\x01\x02"), outer.index(b"PK\x05\x06")
    central = outer[start:end] + bytes(entry)
    return outer[:start] + central + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 2, 2, len(central), start, 0)


def lying(size: int) -> bytes:
    """Both headers say `size` bytes for a member of 512."""
    data = made(("zeros", bytes(512)), packed=True)
    return at(at(data, 22, "<I", size), directory(data) + 24, "<I", size)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a name twice": (lambda: made(("a", b"1"), ("a", b"2")), "'a' twice, or in two spellings"),
    "a name in two spellings": (lambda: made(("data.pkl", b"1"), ("DATA.PKL", b"2")), "twice, or in two spellings"),
    "a name in two normal forms": (lambda: made(("\u00e9", b"1"), ("e\u0301", b"2")), "twice, or in two spellings"),
    "a path outside": (lambda: made(("../../etc/cron.d/x", b"1")), r"a member called '\.\./\.\./etc"),
    "an absolute path": (lambda: made(("/etc/x", b"1")), "a member called '/etc/x'"),
    "a backslash": (lambda: made(("a\\..\\b", b"1")), "a member called"),
    "an escape sequence": (lambda: made(("a\x1b[2J", b"1")), "a member called"),
    "a NUL": (lambda: STORED.replace(b"code/a.py", b"code\0a.py"), "a member called"),
    "another name in the local header": (lambda: STORED.replace(b"data.pkl", b"evil.pkl", 1), "'data.pkl' in two ways"),
    "another size in the local header": (lambda: at(STORED, 22, "<I", 7), "in two ways"),
    "another method in the local header": (lambda: at(STORED, 8, "<H", 8), "in two ways"),
    "no local header": (lambda: at(STORED, directory(STORED) + 42, "<I", 5), "in two ways|broken|overlap"),
    "encrypted": (lambda: at(at(STORED, 6, "<H", 1), directory(STORED) + 8, "<H", 1), "encrypted"),
    "a rare method": (lambda: at(at(STORED, 8, "<H", 12), directory(STORED) + 10, "<H", 12), "packed by a method"),
    "members that overlap": (overlapping, "overlap|in two ways"),
    "a member in another's data": (inside_another, "overlap|in two ways"),
    "a member in the directory": (lambda: at(at(STORED, 18, "<I", 4000), directory(STORED) + 20, "<I", 4000), "two ways|overlap|broken"),
    "too short a size": (lambda: lying(100), "not as long as it says"),
    "too long a size": (lambda: lying(5000), "not as long as it says"),
    "a size of zip64's": (lambda: at(STORED, directory(STORED) + 24, "<I", 0xFFFFFFFF), "broken|two ways|too much"),
    "a broken deflate stream": (lambda: HONEST[:41] + b"\xff\xff\xff" + HONEST[44:], "broken|not as long"),
    "a bomb": (lambda: made(("zeros", bytes(80 * 2**20)), packed=True), "unpacks to too much"),
    "no directory": (lambda: STORED[: directory(STORED)], "is a broken zip archive"),
    "a zip behind another zip": (lambda: STORED + HONEST, "two files in one"),
    "a zip behind one with as long a directory": (lambda: made(("data.pkl", b"evil" * 9)) + made(("data.pkl", b"good" * 9)), "two files in one"),
    "a zip behind another file": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(64) + STORED, "two files in one"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_could_be_read_in_two_ways_is_refused(kind: str, tmp_path: Path) -> None:
    build, words = BAD[kind]
    (tmp_path / "model.keras").write_bytes(build())
    with pytest.raises(InputError, match=rf"The file 'model\.keras' in the input archive .*({words})"):
        check(tmp_path / "model.keras", CAPS)


def test_what_frameworks_write_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", x=np.ones(5), y=np.zeros((3, 3)))
    np.savez_compressed(tmp_path / "b.npz", x=np.ones(5000))
    for number, data in enumerate(
        (HONEST, STORED, made(), b"", b"PK", b"onnx", bytes(100_000), b"x" * 30 + b"PK\x05\x06" + bytes(18))
    ):
        (tmp_path / f"{number}").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as archive, archive.open("x.npy", "w", force_zip64=True) as member:
        member.write(b"x" * 70_000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)  # the records of large archives in a small one
    large = made(("a", b"a"), ("b", b"b"))
    (tmp_path / "large.npz").write_bytes(large)
    (tmp_path / "larger.npz").write_bytes(at(large, len(large) - 6, "<I", 0xFFFFFFFF))
    (tmp_path / "labelled.tflite").write_bytes(
        b"\x1c\0\0\0TFL3" + bytes(99) + STORED
    )  # as metadata is put behind models
    with zipfile.ZipFile(tmp_path / "told.npz", "w") as archive:
        archive.writestr("a", b"a")
        archive.comment = b"a comment" * 99
    for file in tmp_path.iterdir():
        check(file, CAPS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_so_do_torchs_and_keras_own(tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    layer = torch.nn.Linear(3, 3)
    torch.save(layer.state_dict(), tmp_path / "a.pth")
    torch.jit.trace(layer, torch.ones(1, 3)).save(str(tmp_path / "b.pth"))
    torch.export.save(torch.export.export(layer, (torch.ones(1, 3),)), tmp_path / "c.pt2")
    for file in tmp_path.iterdir():
        check(file, CAPS)


@given(st.data())
def test_damaged_archives_raise_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([HONEST, STORED, overlapping(), inside_another()])))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "damaged.npz"
    file.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        check(file, CAPS)
    except InputError as error:
        assert "\n" not in error.message
        return
    if file.read_bytes()[:4] == b"PK\x03\x04":  # what passes can be read
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                try:
                    assert len(archive.read(info)) == info.file_size
                except zipfile.BadZipFile as error:
                    assert "CRC" in str(error)
