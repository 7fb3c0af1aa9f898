"""`python -m neo_cli.runtime`: arrays from files to files, rows, expectations, latencies, one line for each fault."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from compiling import compile_here
from models.builders import BUILDERS
from neo_cli.runtime.__main__ import main
from neo_cli.runtime.timing import interleave

X = np.linspace(-1, 1, 32, dtype=np.float32)[None]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("job")
    (folder / "net.onnx").write_bytes(BUILDERS["mlp"](True).SerializeToString())
    return str(compile_here(BUILDERS["mlp"](True), folder, options='{"backend": "onnxruntime"}').artifact)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.savez("all.npz", x=X)
    np.savez("other.npz", anything=X)
    np.save("rows.npy", np.repeat(X, 6, 0))
    np.save("object.npy", np.array([{"code": 1}], object), allow_pickle=True)
    Path("text.npy").write_text("hello")
    return tmp_path


@pytest.mark.parametrize("word", ["x=x.npy", "x.npy", "all.npz", "x=all.npz", "x=other.npz"])
def test_every_spelling_of_an_input(word: str, packed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", packed, "--input", word, "--output-dir", "out/deep"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["Outputs"][0] | {"Name": "probabilities", "Shape": [1, 10], "File": "out/deep/probabilities.npy"}
        == told["Outputs"][0]
    )
    assert abs(np.load("out/deep/probabilities.npy").sum() - 1) < 1e-5


def test_rows_run_one_after_the_other(packed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--model", packed, "--input", "x=rows.npy", "--output-dir", "out"]) == 0
    assert json.loads(capsys.readouterr().out)["Rows"] == 6
    assert np.load("out/probabilities.npy").shape == (6, 10)


def test_outputs_are_compared_with_what_was_expected(
    packed: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--model", packed, "--input", "rows.npy", "--output-dir", "out"]
    assert main(words) == 0
    right = np.load("out/probabilities.npy")
    labels = right.argmax(1)
    labels[0] += 1
    np.save("labels.npy", labels)
    np.save("values.npy", right + np.float32(0.25))
    capsys.readouterr()
    assert main([*words, "--expect", "probabilities=labels.npy"]) == 0
    assert json.loads(capsys.readouterr().out)["Outputs"][0]["Accuracy"] == pytest.approx(5 / 6)
    assert main([*words, "--expect", "values.npy"]) == 0
    assert json.loads(capsys.readouterr().out)["Outputs"][0]["MaxError"] == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run"], 252, "the following arguments are required"),
        (["fly"], 252, "invalid choice"),
        (["run", "--model", "nope", "--output-dir", "o"], 255, "There is no compiled model at nope."),
        (["run", "--model", "@", "--output-dir", "o"], 252, "needs the input 'x'"),
        (["run", "--model", "@", "--output-dir", "o", "--input", "y=x.npy"], 252, "has no input 'y'"),
        (
            ["run", "--model", "@", "--output-dir", "o", "--input", "x=missing.npy"],
            252,
            "There is no file missing.npy.",
        ),
        (["run", "--model", "@", "--output-dir", "o", "--input", "x=object.npy"], 252, "is not an array file"),
        (["run", "--model", "@", "--output-dir", "o", "--input", "x=text.npy"], 252, "is not an array file"),
        (
            ["run", "--model", "@", "--output-dir", "o", "--input", "x=x.npy", "--input", "all.npz"],
            252,
            "is given twice",
        ),
        (["run", "--model", "@", "--output-dir", "o", "--input", "x=x.npy", "--threads", "0"], 255, "0 threads"),
        (["benchmark", "--model", "@", "--beside", "x.npy"], 255, "ONNX Runtime cannot load x.npy"),
    ],
)
def test_a_fault_is_one_line(
    words: list[str], code: int, told: str, packed: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main([packed if w == "@" else w for w in words])
    except SystemExit as stop:
        found = stop.code
    out, err = capsys.readouterr()
    assert (found, out) == (code, "")
    assert err.startswith("\nneo-cli: [ERROR]: ") and told in err and err.count("\n") == 2
    assert not Path("o").exists()


def test_benchmark_measures_beside_onnx_runtime(packed: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(Path(packed).parents[2] / "net.onnx")
    assert (
        main(["benchmark", "--model", packed, "--beside", source, "--seconds", "0.2", "--threads", "1", "--json"]) == 0
    )
    own, other = json.loads(capsys.readouterr().out)["Benchmark"]
    assert own["Model"] == "LINUX_X86_64 (onnxruntime, float32)" and other["Model"] == "ONNX Runtime"
    for row in (own, other):
        assert 0 < row["MinMs"] <= row["MedianMs"] <= row["P90Ms"] and row["Threads"] == 1 and row["Runs"] > 1
    assert main(["benchmark", "--model", packed, "--seconds", "0.1"]) == 0
    assert "median" in capsys.readouterr().out


def test_timings_take_turns() -> None:
    order: list[str] = []
    found = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, seconds=0.004, rounds=2)
    assert set(found) == {"a", "b"} and all(t.runs == order.count(n) - 2 for n, t in found.items())
    changes = sum(1 for one, two in itertools.pairwise(order) if one != two)
    assert changes == 3
