"""Generated archives against Python's own `data` filter: what that refuses is never accepted here, what is accepted is equal."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neo_cli.base.errors import InputError
from neo_cli.packaging.unpack import UNTAR, unpack
from neo_cli.runtime.untar import Caps, Refused
from neo_cli.runtime.untar import unpack as untar

KINDS = [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
         tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]  # fmt: skip
PARTS = [
    "a",
    "b",
    "A",
    "model.onnx",
    "..",
    ".",
    "",
    "\u00e9",
    "e\u0301",
    "x" * 120,
    "x" * 260,
    "\udcff",
    "\x1b[2J",
    "nul\0",
    " ",
    "c:",
    "back\\slash",
    "\u202e",
]
names = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4).map("/".join) | st.sampled_from(
    ["/etc/x", "//x", "a/", "./a", "a/../b", "d/" * 40 + "f"]
)
members = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS) | st.just(tarfile.REGTYPE),
        "name": names,
        "link": st.sampled_from(["a", "../..", "/etc/passwd", "model.onnx", "a/../../x"]),
        "data": st.binary(max_size=40),
        "size": st.none() | st.sampled_from([0, 1, 511, 513, 2**20, 2**33 - 1]),
        "pax": st.dictionaries(st.sampled_from(["path", "linkpath", "size", "GNU.sparse.major", "GNU.sparse.realsize", "comment", "SCHILY.xattr.x"]),
                               st.sampled_from(["a", "../up", "/root/x", "5", "-1", "99999999", "x" * 300]), max_size=2),
        "format": st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
        "spoil": st.none() | st.none() | st.tuples(st.integers(0, 511), st.integers(0, 255)),
    }
)  # fmt: skip
ENDINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": gzip.compress,
    "two gzip members": lambda tar: gzip.compress(tar[: len(tar) // 2]) + gzip.compress(tar[len(tar) // 2 :]),
    "zeros behind": lambda tar: gzip.compress(tar) + bytes(512),
    "garbage behind": lambda tar: gzip.compress(tar) + b"garbage",
    "cut off": lambda tar: gzip.compress(tar)[:-9],
    "a wrong checksum": lambda tar: gzip.compress(tar)[:-8] + b"\0\0\0\1" + gzip.compress(tar)[-4:],
    "no end": lambda tar: gzip.compress(tar.rstrip(b"\0")),
    "data behind the end": lambda tar: gzip.compress(tar + b"y" * 512 * 3),
}


def header(member: dict) -> bytes:  # type: ignore[type-arg]
    info = tarfile.TarInfo(member["name"])
    info.type, info.linkname, info.pax_headers = member["kind"], member["link"], dict(member["pax"])
    info.size = len(member["data"]) if member["size"] is None else member["size"]
    try:
        written = info.tobuf(member["format"], "utf-8", "surrogateescape")
    except ValueError:  # the name is too long for the format
        info.name = info.name[:90]
        written = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    if member["spoil"]:
        place, value = member["spoil"]
        block = bytearray(written[-512:])
        block[place] = value
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)  # a right checksum: the header is believed
        written = written[:-512] + bytes(block)
    return written + member["data"] + bytes(-len(member["data"]) % 512)


def seen(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and not p.is_symlink()
    }


@settings(max_examples=600)
@given(st.lists(members, min_size=1, max_size=4), st.sampled_from(sorted(ENDINGS)) | st.just("plain"))
def test_nothing_is_accepted_that_pythons_filter_refuses(
    tmp_path_factory: pytest.TempPathFactory, held: list, ending: str
) -> None:  # type: ignore[type-arg]
    folder = tmp_path_factory.getbasetemp() / "differential"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("ours/into", "theirs/into"):
        (folder / name).mkdir(parents=True)
    path = folder / "m.tar.gz"
    path.write_bytes(ENDINGS[ending](b"".join(map(header, held)) + bytes(1024)))
    try:
        files = unpack(path, folder / "ours" / "into")
    except InputError as error:
        assert "\n" not in error.message and len(error.message) < 300
        files = []
    assert [p.name for p in (folder / "ours").iterdir()] == ["into"]
    found = list((folder / "ours" / "into").rglob("*"))
    assert all(not p.is_symlink() and (p.is_dir() or p.stat().st_mode & 0o7777 == 0o600) for p in found)
    if not files:
        return
    into = folder / "theirs" / "into"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with tarfile.open(path, "r:gz") as tar:
            tar.extractall(into, filter="data")
    theirs = seen(into)
    for name, data in seen(folder / "ours" / "into").items():
        assert theirs[name] == data
    assert not [p for p in into.rglob("*") if p.is_symlink()]


def archive(folder: Path, data: bytes) -> Path:
    (folder / "into").mkdir()
    (folder / "m.tar.gz").write_bytes(gzip.compress(data + bytes(1024)))
    return folder / "m.tar.gz"


def plain(name: str, data: bytes = b"x", kind: bytes = tarfile.REGTYPE, **more: object) -> bytes:
    held = {
        "kind": kind,
        "name": name,
        "link": "a",
        "data": data,
        "size": None,
        "pax": {},
        "format": tarfile.GNU_FORMAT,
        "spoil": None,
    }
    return header({**held, **more})


def sparse_pax() -> bytes:
    """GNU's sparse format 1.0: an ordinary header, and what makes it sparse in PAX records."""
    pax = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "model.onnx",
        "GNU.sparse.realsize": str(2**40),
    }
    return plain(
        "GNUSparseFile.0/model.onnx", b"1\n0\n512\n".ljust(512, b"\0") + b"y" * 512, pax=pax, format=tarfile.PAX_FORMAT
    )


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a sparse file": (lambda: plain("model.onnx", kind=tarfile.GNUTYPE_SPARSE), "a sparse file"),
    "a sparse file by PAX": (sparse_pax, "a sparse file"),
    "a hard link to an earlier symbolic link": (lambda: plain("a", b"", tarfile.SYMTYPE, link="/etc") + plain("b", b"", tarfile.LNKTYPE), "a symbolic link"),
    "a file through an earlier link": (lambda: plain("a", b"", tarfile.SYMTYPE, link="/etc") + plain("a/x"), "a symbolic link"),
    "a path of PAX": (lambda: plain("good", pax={"path": "../../bad"}, format=tarfile.PAX_FORMAT), "leaves its folder"),
    "a size of PAX that is not the header's": (lambda: plain("a", b"x" * 512, pax={"size": "5"}, format=tarfile.PAX_FORMAT) + plain("b"), ""),
    "a negative size of PAX": (lambda: plain("a", pax={"size": "-1"}, format=tarfile.PAX_FORMAT), UNTAR),
    "a huge size of PAX": (lambda: plain("a", pax={"size": str(2**60)}, format=tarfile.PAX_FORMAT), "unpacks to more than"),
    "a size in binary": (lambda: plain("a", size=2**62), "unpacks to more than"),
    "a name of 64 KiB": (lambda: plain("d/" + "n" * 65_000), "too deep or too long"),
    "a name that is not UTF-8": (lambda: plain("a\udcff"), "not UTF-8"),
    "a file below a file": (lambda: plain("a") + plain("a/b"), "twice, or in two spellings"),
    "a folder where a file is": (lambda: plain("a") + plain("a/", b"", tarfile.DIRTYPE), "twice, or in two spellings"),
    "folders in two spellings": (lambda: plain("Dir/a") + plain("dir/b"), "twice, or in two spellings"),
    "names in two normal forms": (lambda: plain("\u00e9") + plain("e\u0301"), "twice, or in two spellings"),
    "a kind of its own": (lambda: plain("a", kind=b"Z"), "something"),
    "a volume header": (lambda: plain("a", b"", b"V"), "something"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused(kind: str, tmp_path: Path) -> None:
    build, words = HOSTILE[kind]
    path = archive(tmp_path, build())
    if kind == "a size of PAX that is not the header's":  # one size counts, in both passes: PAX's
        assert [f.name for f in unpack(path, tmp_path / "into")][:1] == ["a"] and (
            tmp_path / "into" / "a"
        ).stat().st_size == 5
        return
    with pytest.raises(InputError, match=words):
        unpack(path, tmp_path / "into")
    assert not list((tmp_path / "into").rglob("*"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_endings_of_the_gzip(ending: str, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    (tmp_path / "m.tar.gz").write_bytes(ENDINGS[ending](plain("model.onnx", b"z" * 700) + bytes(1024)))
    if ending in ("plain", "two gzip members", "zeros behind", "data behind the end"):
        assert [f.read_bytes() for f in unpack(tmp_path / "m.tar.gz", tmp_path / "into")] == [b"z" * 700]
        return
    with pytest.raises(InputError, match=UNTAR):
        unpack(tmp_path / "m.tar.gz", tmp_path / "into")
    assert not list((tmp_path / "into").rglob("*"))


def test_a_bomb_of_bombs_is_noticed_on_its_way(tmp_path: Path) -> None:
    """Many gzip members of zeros, each within the ratio of nothing: the count goes on over all of them."""
    (tmp_path / "into").mkdir()
    block = gzip.compress(bytes(2**20))
    (tmp_path / "m.tar.gz").write_bytes(gzip.compress(plain("a", b"", size=2**32 - 512)) + block * 200)
    with pytest.raises(Refused, match="unpacks to more than 200 times its size"):
        untar(tmp_path / "m.tar.gz", tmp_path / "into", Caps(ratio_from=2**22))


def test_the_tables_of_old_sparse_files_are_no_way_in(tmp_path: Path) -> None:
    """An old GNU sparse header with a table that goes on: refused by its kind, not believed by its size."""
    info = tarfile.TarInfo("model.onnx")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:482] = b"".join(struct.pack("12s12s", b"%011o" % 0, b"%011o" % (2**33 - 1)) for _ in range(4))
    block[482], block[483:495] = 1, b"%011o\0" % (2**33 - 1)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path = archive(tmp_path, bytes(block) + bytes(512) + b"q" * 512)
    with pytest.raises(InputError, match="a sparse file"):
        unpack(path, tmp_path / "into")
    assert not os.listdir(tmp_path / "into")
