"""A whole job in one process: what it leaves, what it refuses, and that a wrong model never completes."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from compiling import archive, compile_here, loaded, one_node, request
from models.builders import BUILDERS
from neo_cli.backends import BACKENDS, candidates
from neo_cli.backends import onnxruntime as ort_backend
from neo_cli.base.errors import (
    AccuracyError,
    CompileError,
    InputError,
    InternalError,
    JobError,
    TargetUnavailable,
)
from neo_cli.model.build import Build
from neo_cli.pipeline import compile_job
from neo_cli.runtime import load
from neo_cli.targets import devices

FORCED = '{"backend": "onnxruntime"}'
MLP = BUILDERS["mlp"](True)


def test_a_job_leaves_an_artifact_a_report_and_its_facts(tmp_path: Path) -> None:
    log: list[str] = []
    made = compile_here(MLP, tmp_path, target="ml_c5", options=FORCED, log=log)
    assert (made.artifact.name, made.report.name) == ("net-ml_c5.tar.gz", "net-ml_c5.report.json")
    assert sorted(p.name for p in made.artifact.parent.iterdir()) == [made.report.name, made.artifact.name]
    assert made.digest == hashlib.blake2b(made.artifact.read_bytes()).hexdigest()
    assert (made.target, made.derived, made.verified) == ("ml_c5", '{"x":[1,32]}', "ran")
    assert [line for line in log if line.startswith("stage: ")] == [
        "stage: load", "stage: optimize", "stage: check: answers of the source", "stage: compile", "stage: pack", "stage: done",
    ]  # fmt: skip
    report = json.loads(made.report.read_text())
    assert (report["chosen"], report["verified"], report["digest"]) == ("onnxruntime", "ran", made.digest)
    packed = report["candidates"][0]
    assert packed["outcome"] == "packed"
    assert packed["accuracy"]["gate"] == {"error": 1e-3, "cosine": None, "agreement": 0.99, "overridden": False}
    figures = packed["accuracy"]["outputs"]["probabilities"]
    assert {"uniform", "normal"} <= set(figures)
    assert figures["normal"]["error"] < 1e-4 and figures["normal"]["cosine"] > 0.9999 and figures["normal"]["top1"] == 1
    assert set(report["stage_seconds"]) == {"load", "optimize", "check: answers of the source", "compile", "pack"}
    assert report["host"]["cores"] == len(os.sched_getaffinity(0)) and report["versions"]["onnx"] == onnx.__version__


def corrupting(model, target, options, work) -> Build:  # type: ignore[no-untyped-def]
    """ONNX Runtime's build with one weight of the last layer changed."""
    made = ort_backend.compile(model, target, options, work)
    path = made.files["compiled.onnx"]
    graph = onnx.load(path)
    tensor = max(graph.graph.initializer, key=lambda t: len(t.dims))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[5] += 3.0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path.write_bytes(graph.SerializeToString())
    return replace(made, files={"compiled.onnx": path})


def test_one_corrupted_weight_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, "onnxruntime", f"{__name__}:corrupting")
    monkeypatch.setattr("neo_cli.backends.candidates.resolve", lambda _: corrupting)
    with pytest.raises(AccuracyError) as caught:
        compile_here(MLP, tmp_path, options=FORCED)
    assert caught.value.reason.startswith(
        "ClientError: AccuracyError: The compiled model is off: output 'probabilities' on "
    )
    assert "max|Δ|/max|ref| is " in caught.value.reason and "the gate is 0.001" in caught.value.reason
    assert not (tmp_path / "work" / "output").exists()


def test_the_same_job_makes_the_same_bytes(tmp_path: Path) -> None:
    one, two = (compile_here(BUILDERS["yolo"](True), tmp_path / n, options=FORCED) for n in "ab")
    assert one.artifact.read_bytes() == two.artifact.read_bytes()
    other = compile_here(MLP, tmp_path / "c", options=FORCED, environ={"SOURCE_DATE_EPOCH": "1700000000"})
    with load(other.artifact) as model:
        assert json.loads((model.folder / "compiled.meta").read_text())["Compilation"] == {
            "CreatedTime": 1700000000,
            "Verified": "ran",
        }


@pytest.mark.slow
def test_candidates_compete_and_the_choice_is_remembered(tmp_path: Path) -> None:
    made = compile_here(MLP, tmp_path, target="ml_c5")
    report = json.loads(made.report.read_text())
    timed = {c["backend"]: c["seconds_a_run"]["steady"] for c in report["candidates"] if "seconds_a_run" in c}
    assert {"onnxruntime", "openvino"} <= set(timed)
    assert timed[report["chosen"]] <= 1.05 * min(timed.values())
    log: list[str] = []
    (tmp_path / "work").rename(tmp_path / "before")
    again = compile_here(MLP, tmp_path, target="ml_c5", log=log)
    assert again.artifact.read_bytes() == (tmp_path / "before" / "output" / "net-ml_c5.tar.gz").read_bytes()
    assert f"back end {report['chosen']} won for this model on this CPU before; the others are not tried again" in log
    report = json.loads(again.report.read_text())
    assert len(report["candidates"]) == 1
    assert {c["backend"] for c in report["remembered"]["candidates"]} >= {"onnxruntime", "openvino"}


def test_every_stage_is_saved_where_asked(tmp_path: Path) -> None:
    compile_here(MLP, tmp_path, options=FORCED, environ={"NEO_SAVE_TEMPS": str(tmp_path / "temps")})
    assert sorted(p.name for p in (tmp_path / "temps").iterdir()) == ["1-load.onnx", "2-slim.onnx", "3-shapes.onnx"]
    onnx.checker.check_model(onnx.load(tmp_path / "temps" / "3-shapes.onnx"))


def test_samples_of_the_archive_are_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.ones((4, 32), np.float32))
    made = compile_here(MLP, tmp_path / "job", options=FORCED, extra={"samples.npz": (tmp_path / "s.npz").read_bytes()})
    report = json.loads(made.report.read_text())
    assert {f"sample {i}" for i in range(4)} <= set(report["candidates"][0]["accuracy"]["outputs"]["probabilities"])


@pytest.mark.parametrize(
    ("asked", "kind", "words"),
    [
        (
            {"config": '{"y":[1,32]}'},
            InputError,
            "ClientError: InputConfiguration: DataInputConfig names the input 'y'",
        ),
        ({"config": "{'x':[1,33]}"}, InputError, "the model fixes it to 32"),
        (
            {"options": '{"backend": "coreml"}'},
            CompileError,
            "The back end 'coreml' makes no code for LINUX_X86_64; back ends for it: ",
        ),
        (
            {"options": '{"backend": "openvino", "gate": 2}'},
            InputError,
            "'gate': expected a number above 0 and at most 1",
        ),
        (
            {"target": "ml_inf1"},
            TargetUnavailable,
            "ClientError: TargetUnavailable: ml_inf1 needs AWS's neuron-cc compiler",
        ),
        ({"target": "ml_eia2"}, TargetUnavailable, "ClientError: TargetUnavailable: "),
    ],
)
def test_requests_that_cannot_be_served_say_why(
    asked: dict[str, str], kind: type[JobError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind) as caught:
        compile_here(MLP, tmp_path, **asked)
    assert words in caught.value.reason
    assert not (tmp_path / "work" / "output").exists()


def test_models_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    cases = {
        "No .onnx file found for ONNX model.": {"net.txt": b"x"},
        "Exactly one .onnx file is allowed": {"a.onnx": b"x", "b.onnx": b"x"},
        "is a Git LFS pointer": {"a.onnx": b"version https://git-lfs.github.com/spec/v1\n"},
        "is no complete protobuf": {"a.onnx": MLP.SerializeToString()[:-100]},
    }
    for number, (words, files) in enumerate(cases.items()):
        packed = archive(tmp_path / f"{number}.tar.gz", files)
        with pytest.raises(InputError) as caught:
            compile_job(request(), packed, tmp_path / f"work{number}", [].append)
        assert caught.value.reason.startswith("ClientError: InputConfiguration: ") and words in caught.value.reason


def test_a_shape_that_the_graph_cannot_take_is_the_users_fault(tmp_path: Path) -> None:
    graph = one_node("MatMul", {"x": (["n", "k"],)}, {"y": (["n", 3],)}, {"w": np.ones((4, 3), np.float32)})
    with pytest.raises(InputError, match=r"The model does not run with inputs of the shapes x \[1, 5\]"):
        compile_here(graph, tmp_path, config='{"x":[1,5]}', options=FORCED)


def test_a_target_that_cannot_run_here_is_compiled_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = replace(devices.targets()["LINUX_X86_64"], features=("sse2", "warp_drive"))
    monkeypatch.setattr("neo_cli.pipeline.target_of", lambda _: wide)
    made = compile_here(MLP, tmp_path, options=FORCED)
    assert made.verified == "compiled only"
    assert json.loads(made.report.read_text())["candidates"][0].get("accuracy") is None


def test_a_quantised_model_is_judged_as_int8(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = {"s": np.array(0.02, np.float32), "z": np.array(0, np.int8)}
    g = one_node("QuantizeLinear", {"x": ([1, 64],)}, {"q": ([1, 64],)}, names)
    weights = {
        "w": random.integers(-127, 127, (64, 32)).astype(np.int8),
        "ws": np.array(0.01, np.float32),
        "wz": np.array(0, np.int8),
    }
    g.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in weights.items())
    g.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]))
    g.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["v"]))
    g.graph.node.append(onnx.helper.make_node("MatMul", ["d", "v"], ["y"]))
    del g.graph.output[:]
    g.graph.output.append(onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 32]))
    made = compile_here(g, tmp_path, options=FORCED)
    assert json.loads(made.report.read_text())["candidates"][0]["accuracy"]["gate"]["cosine"] == 0.99


def gpu_part(model, target, options, work) -> Build:  # type: ignore[no-untyped-def]
    """A stand-in for code of a GPU: the same model under another file name, run by an "emulator"."""
    made = ort_backend.compile(model, target, options, work)
    return Build(
        "onnxruntime", "onnxruntime", {"accelerated.onnx": made.files["compiled.onnx"]}, {"file": "accelerated.onnx"},
        emulate=model.oracle, emulator="the source",
    )  # fmt: skip


def test_a_gpu_part_lies_beside_the_cpu_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = replace(devices.targets()["LINUX_X86_64"], accelerate=("missing", "made"))
    monkeypatch.setattr("neo_cli.pipeline.target_of", lambda _: gpu)
    monkeypatch.setattr(
        "neo_cli.backends.candidates.ACCELERATORS",
        {"missing": "neo_cli.backends.none:x", "made": f"{__name__}:gpu_part"},
    )
    real = candidates.resolve
    monkeypatch.setattr(candidates, "resolve", lambda place: gpu_part if place.endswith("gpu_part") else real(place))
    log: list[str] = []
    made = compile_here(MLP, tmp_path, options=FORCED, log=log)
    assert any(line.startswith("accelerator missing: The back end missing is not installed here") for line in log)
    x = np.ones((1, 32), np.float32)
    with load(made.artifact, device="cpu") as cpu_part, load(made.artifact, device="gpu") as other:
        assert (cpu_part.folder / "accelerated.onnx").is_file() and (cpu_part.folder / "compiled.onnx").is_file()
        np.testing.assert_allclose(
            cpu_part.run({"x": x})["probabilities"], other.run({"x": x})["probabilities"], rtol=1e-5
        )
    assert json.loads(made.report.read_text())["accelerator"]["verified"] == "emulated"


def trees(thresholds: list[float]) -> onnx.ModelProto:
    """One stump for each threshold on column 0, summed; the batch is free."""
    count = len(thresholds)
    rows = [(tree, node) for tree in range(count) for node in range(3)]
    graph = one_node(
        "TreeEnsembleRegressor", {"x": (["n", 2],)}, {"y": (["n", 1],)}, domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[t for t, _ in rows], nodes_nodeids=[n for _, n in rows], nodes_featureids=[0] * len(rows),
        nodes_modes=["BRANCH_LT" if n == 0 else "LEAF" for _, n in rows],
        nodes_values=[thresholds[t] if n == 0 else 0.0 for t, n in rows],
        nodes_truenodeids=[1 if n == 0 else 0 for _, n in rows], nodes_falsenodeids=[2 if n == 0 else 0 for _, n in rows],
        target_treeids=[t for t, n in rows if n], target_nodeids=[n for _, n in rows if n],
        target_ids=[0] * (2 * count), target_weights=[float(n) for _, n in rows if n],
    )  # fmt: skip
    graph.opset_import[1].version = 3
    return graph


def test_trees_are_checked_around_their_thresholds_at_any_batch(tmp_path: Path) -> None:
    made = compile_here(trees([100.0, 101.0, 102.0, 103.0]), tmp_path, config='{"x":[-1,2]}', options=FORCED)
    with load(made.artifact) as model:
        x = np.array([[99, 0], [101.5, 0], [104, 0]], np.float32)
        assert model.run({"x": x})["y"].ravel().tolist() == [4, 6, 8]
    from neo_cli.model import feeds

    drawn = np.concatenate(
        [f["x"][:, 0] for _, f in feeds.seeded(loaded(trees([100.0, 103.0]), tmp_path / "m", '{"x":[-1,2]}'))]
    )
    assert 99 < drawn.min() < drawn.max() < 104


def elsewhere(model, target, options, work) -> Build:  # type: ignore[no-untyped-def]
    """A build whose library is a 32-bit ARM one, whatever was asked for."""
    made = ort_backend.compile(model, target, options, work)
    (work / "compiled.so").write_bytes(b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x03\x00\x28\x00" + bytes(60))
    return replace(made, files={**made.files, "compiled.so": work / "compiled.so"})


def test_a_library_of_another_processor_fails_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neo_cli.backends.candidates.resolve", lambda _: elsewhere)
    with pytest.raises(InternalError, match=r"compiled\.so was not built for ml_c5: ELF class 1"):
        compile_here(MLP, tmp_path, target="ml_c5", options=FORCED)
