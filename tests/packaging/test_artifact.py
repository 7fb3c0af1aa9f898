"""The artifact: what lies where, which hashes, and the same bytes every time."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from compiling import loaded, one_node, target
from neo_cli.base.errors import InternalError
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.packaging.layout import conclude, lay_out
from neo_cli.packaging.pack import pack
from neo_cli.runtime import archive


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return loaded(one_node("Relu", {"x": ([1, 2],)}, {"y": ([1, 2],)}), tmp_path / "source")


def built(tmp_path: Path, **files: bytes) -> Build:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return Build("onnxruntime", "onnxruntime", {n: tmp_path / n for n in files}, {"file": "a"}, cpu_features=("avx2",))


def test_the_root_holds_the_back_ends_files_and_neos_two(model: Model, tmp_path: Path) -> None:
    folder = lay_out(built(tmp_path, a=b"1", b=b"2"), model, target("ml_c5"), 0, tmp_path / "out")
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*")) == [
        "a", "b", "compiled.meta", "manifest", "meta", "meta/artifact.json",
    ]  # fmt: skip


def test_the_manifest_is_one_line_of_blake2s_hashes(model: Model, tmp_path: Path) -> None:
    folder = lay_out(built(tmp_path, b=b"2", a=b"1"), model, target("ml_c5"), 0, tmp_path / "out")
    text = (folder / "manifest").read_text()
    record = json.loads(text)
    assert text.startswith('{"algorithm": "blake2s", "files": [{"name": "a", "hash": "') and "\n" not in text
    assert [f["name"] for f in record["files"]] == ["a", "b", "compiled.meta", "meta/artifact.json"]
    assert all(f["hash"] == hashlib.blake2s((folder / f["name"]).read_bytes()).hexdigest() for f in record["files"])


def test_compiled_meta_is_as_neo_writes_it(model: Model, tmp_path: Path) -> None:
    folder = lay_out(built(tmp_path, a=b"1"), model, target("ml_c5"), 1700000000, tmp_path / "out")
    assert (folder / "compiled.meta").read_text() == json.dumps(
        {
            "Requirements": {"TargetPlatformOs": "LINUX", "TargetPlatformArch": "X86_64", "TargetDeviceType": "cpu"},
            "Compilation": {"CreatedTime": 1700000000},
            "Model": {
                "Inputs": [{"name": "x", "shape": [1, 2], "dtype": "float32"}],
                "Outputs": [{"dtype": "float32", "shape": [1, 2], "name": "y"}],
            },
        },
        indent=4,
    )


def test_compiled_meta_says_how_the_artifact_was_verified(model: Model, tmp_path: Path) -> None:
    folder = lay_out(built(tmp_path, a=b"1"), model, target("rasp3b"), 0, tmp_path / "out")
    conclude(folder, "emulated")
    meta = json.loads((folder / "compiled.meta").read_text())
    assert meta["Compilation"] == {"CreatedTime": 0, "Verified": "emulated"}
    assert meta["Requirements"]["TargetPlatformArch"] == "ARM_EABIHF"
    archive.verify(folder)


def test_the_record_says_what_the_runtime_must_know(model: Model, tmp_path: Path) -> None:
    folder = lay_out(built(tmp_path, a=b"1"), model, target("ml_c5"), 0, tmp_path / "out")
    record = json.loads((folder / "meta" / "artifact.json").read_text())
    assert record == {
        "format": 1, "engine": "onnxruntime", "backend": "onnxruntime", "settings": {"file": "a"}, "precision": "float32",
        "target": "ml_c5", "os": "linux", "arch": "x86_64", "cpu_features": ["avx2"], "framework": "ONNX",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 2]}], "outputs": [{"name": "y", "dtype": "float32", "shape": [1, 2]}],
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["manifest", "compiled.meta", ".hidden", "meta/x", "../escape", "/escape", "a/../../b"]
)
def test_a_back_end_may_not_take_our_names(name: str, model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    with pytest.raises(InternalError, match="wants a root file called"):
        lay_out(Build("a", "a", {name: tmp_path / "file"}), model, target("ml_c5"), 0, tmp_path / "out")


def test_a_back_end_may_bring_a_folder(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    folder = lay_out(
        Build("a", "a", {"m.mlpackage/Data/w": tmp_path / "file"}), model, target("ml_c5"), 0, tmp_path / "out"
    )
    assert (folder / "m.mlpackage" / "Data" / "w").read_bytes() == b"1"
    assert "m.mlpackage/Data/w" in (folder / "manifest").read_text()


def test_the_bytes_depend_on_the_files_alone(tmp_path: Path) -> None:
    archives = []
    for turn, mask in enumerate((0o077, 0o002)):
        before = os.umask(mask)
        folder = tmp_path / f"folder{turn}"
        (folder / "meta").mkdir(parents=True)
        for name in ("b", "a", "meta/c") if turn else ("meta/c", "a", "b"):
            (folder / name).write_bytes(name.encode() * 1000)
            os.utime(folder / name, (turn * 1e6, turn * 1e6))
        os.umask(before)
        archives.append(tmp_path / f"{turn}" / f"name{turn}.tar.gz")
        digest = pack(folder, archives[-1], 0)
        assert digest == hashlib.blake2b(archives[-1].read_bytes()).hexdigest()
    assert archives[0].read_bytes() == archives[1].read_bytes()
    assert archives[0].read_bytes()[4:8] == bytes(4)  # gzip's own time


def test_members_are_sorted_and_nobodys(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "meta").mkdir(parents=True)
    for name in ("b", "a", "meta/c"):
        (folder / name).write_bytes(b"x")
    pack(folder, tmp_path / "a.tar.gz", 1700000000)
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        found = [(m.name, m.uid, m.gid, m.uname, m.gname, m.mtime, m.mode) for m in tar]
    assert found == [
        ("a", 0, 0, "", "", 1700000000, 0o644),
        ("b", 0, 0, "", "", 1700000000, 0o644),
        ("meta", 0, 0, "", "", 1700000000, 0o755),
        ("meta/c", 0, 0, "", "", 1700000000, 0o644),
    ]


def test_weights_that_hardly_shrink_are_stored(tmp_path: Path) -> None:
    random = os.urandom(3 << 20)
    sizes = {}
    for name, data in {"noise": random, "zeros": bytes(3 << 20)}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(data)
        pack(tmp_path / name, tmp_path / f"{name}.tar.gz", 0)
        sizes[name] = (tmp_path / f"{name}.tar.gz").stat().st_size
        with tarfile.open(tmp_path / f"{name}.tar.gz") as tar:
            member = tar.extractfile("a")
            assert member is not None and member.read() == data
    assert sizes["noise"] > len(random) and sizes["zeros"] < 50_000
