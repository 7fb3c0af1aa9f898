"""The van: artifacts opened, verified, refused with a sentence, and run."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from compiling import compile_here, one_node
from models.builders import BUILDERS
from neo_cli.runtime import ArtifactError, RunError, archive, cpu, load, parts
from neo_cli.runtime import model as runtime_model

ROOT = Path(__file__).resolve().parents[2]
FORCED = '{"backend": "onnxruntime"}'


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_here(BUILDERS["mlp"](True), tmp_path_factory.mktemp("job"), options=FORCED).artifact


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Path:
    archive.unpack(packed, tmp_path / "model")
    return tmp_path / "model"


X = np.linspace(-1, 1, 32, dtype=np.float32)[None]


def rehash(folder: Path) -> None:
    """Make the manifest true again after a change."""
    record = json.loads((folder / "manifest").read_text())
    for entry in record["files"]:
        entry["hash"] = archive.hash_of(folder / entry["name"])
    (folder / "manifest").write_text(json.dumps(record))


def test_an_archive_and_its_folder_run_alike(packed: Path, folder: Path) -> None:
    with load(packed) as one, load(str(folder), threads=1) as two:
        assert one.inputs == [{"name": "x", "dtype": "float32", "shape": [1, 32]}]
        assert [t["name"] for t in one.outputs] == ["probabilities"]
        found = one.run({"x": X})["probabilities"]
        np.testing.assert_allclose(found, two.run({"x": X})["probabilities"], rtol=1e-5)
        assert found.shape == (1, 10) and abs(found.sum() - 1) < 1e-5


def test_the_unpacked_copy_goes_with_the_model(packed: Path) -> None:
    model = load(packed)
    place = model.folder
    assert place.is_dir()
    del model
    assert not place.exists()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "needs the input 'x'; its inputs are x float32[1,32]."),
        ({"x": X, "y": X}, "has no input 'y'; its inputs are x float32[1,32]."),
        ({"x": X.astype(np.float64)}, "is float64[1,32]; the model wants float32[1,32]"),
        ({"x": X[:, :3]}, "is float32[1,3]; the model wants float32[1,32]"),
        ({"x": X[0]}, "is float32[32]; the model wants float32[1,32]"),
    ],
)
def test_inputs_that_do_not_fit_get_a_sentence(inputs: dict[str, np.ndarray], words: str, packed: Path) -> None:
    with load(packed) as model, pytest.raises(RunError) as caught:
        model.run(inputs)
    assert words in str(caught.value)


def test_a_changed_missing_or_added_file_is_told(folder: Path) -> None:
    (folder / "extra").write_bytes(b"")
    with pytest.raises(ArtifactError, match="'extra' is not in the manifest"):
        load(folder)
    (folder / "extra").unlink()
    data = bytearray((folder / "compiled.onnx").read_bytes())
    data[-1] ^= 1
    (folder / "compiled.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"'compiled\.onnx' is damaged"):
        load(folder)
    (folder / "compiled.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"'compiled\.onnx' of the manifest is missing"):
        load(folder)
    (folder / "manifest").unlink()
    with pytest.raises(ArtifactError, match="has no manifest"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "has format 2; this runtime reads format 1"),
        ({"engine": "abacus"}, "needs the engine 'abacus'"),
        ({"cpu_features": ["sse2", "warp_drive"]}, "needs the CPU features warp_drive, which this CPU"),
    ],
)
def test_what_this_machine_cannot_run_is_refused(change: dict, words: str, folder: Path) -> None:
    record = json.loads((folder / "meta" / "artifact.json").read_text())
    (folder / "meta" / "artifact.json").write_text(json.dumps(record | change))
    rehash(folder)
    with pytest.raises(ArtifactError, match=words):
        load(folder)


def test_code_for_another_machine_is_refused_unless_it_is_portable() -> None:
    cpu.demand((), "linux", "mips", portable=True)
    with pytest.raises(ArtifactError, match="was compiled for linux on mips; this machine is"):
        cpu.demand((), "linux", "mips", portable=False)


def test_an_engine_that_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts.ENGINES, "onnxruntime", "not_installed_anywhere:Engine")
    with pytest.raises(ArtifactError, match="runs on onnxruntime, which is not installed here"):
        load(folder)


@pytest.mark.parametrize("name", ["../escape", "/escape", "a/../../escape"])
def test_archives_never_write_elsewhere(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(ArtifactError, match="holds a path that leaves its folder"):
        load(path)
    assert not (tmp_path / "escape").exists()


def test_links_and_bad_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "link.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo("a")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(ArtifactError, match="holds a symbolic link"):
        load(path)
    for content in (b"", b"no gzip", b"\x1f\x8b\x08"):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"not a readable tar\.gz|has no manifest"):
            load(path)
    with pytest.raises(ArtifactError, match="There is no compiled model at"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(("text", "threads", "count"), [("3", None, 3), ("3", 1, 1), ("", None, cpu.cores())])
def test_threads_come_from_the_call_then_the_environment(
    text: str, threads: int | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO_THREADS", text)
    assert runtime_model.thread_count(threads) == count


def test_a_small_model_runs_on_one_thread_unless_told(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEO_THREADS", raising=False)
    with load(packed) as small, load(packed, threads=2) as told:
        assert (small.threads, told.threads) == (1, 2)
    monkeypatch.setenv("NEO_THREADS", "2")
    with load(packed) as set_:
        assert set_.threads == 2


def test_a_thread_count_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEO_THREADS", "many")
    with pytest.raises(ArtifactError, match="NEO_THREADS is 'many'"):
        runtime_model.thread_count(None)
    with pytest.raises(ArtifactError, match="0 threads"):
        runtime_model.thread_count(0)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_van_drives_away_alone(backend: str, tmp_path: Path) -> None:
    """A copy of the runtime folder runs an artifact with numpy and the engine only."""
    made = compile_here(BUILDERS["mlp"](True), tmp_path / "job", options=json.dumps({"backend": backend}))
    away = tmp_path / "away"
    shutil.copytree(
        ROOT / "cli" / "neo_cli" / "runtime", away / "neo_cli" / "runtime", ignore=shutil.ignore_patterns("__pycache__")
    )
    np.save(tmp_path / "x.npy", X)
    script = (
        "import sys, json\n"
        "from neo_cli.runtime.__main__ import main\n"
        "code = main(sys.argv[1:])\n"
        "house = [m for m in sys.modules if m.startswith('neo_cli.') and not m.startswith('neo_cli.runtime')]\n"
        "print(json.dumps([house, [m for m in ('onnx', 'click', 'onnxruntime', 'openvino') if m in sys.modules]]), file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    words = [
        "run",
        "--model",
        str(made.artifact),
        "--input",
        f"x={tmp_path / 'x.npy'}",
        "--output-dir",
        str(tmp_path / "out"),
    ]
    run = subprocess.run(
        [sys.executable, "-P", "-c", script, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(away)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stderr.strip().splitlines()[-1]) == [[], [backend]]
    with load(made.artifact) as model:
        np.testing.assert_allclose(
            np.load(tmp_path / "out" / "probabilities.npy"), model.run({"x": X})["probabilities"], rtol=1e-5
        )


def test_a_dimension_left_free_takes_any_size(tmp_path: Path) -> None:
    graph = one_node("Relu", {"x": (["n", 2],)}, {"y": (["n", 2],)})
    made = compile_here(graph, tmp_path, config='{"x":[-1,2]}', options=FORCED)
    with load(made.artifact) as model:
        assert model.inputs[0]["shape"] == [-1, 2]
        for count in (1, 5):
            assert model.run({"x": -np.ones((count, 2), np.float32)})["y"].tolist() == [[0, 0]] * count
        with pytest.raises(RunError, match=r"wants float32\[\?,2\]"):
            model.run({"x": np.ones((1, 3), np.float32)})


def test_an_engine_that_cannot_read_its_file_says_so(folder: Path) -> None:
    (folder / "compiled.onnx").write_bytes(b"\x08\x08")
    rehash(folder)
    with pytest.raises(RuntimeError, match="ONNX Runtime cannot load the model"):
        load(folder)
