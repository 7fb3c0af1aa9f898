"""bfloat16: exact but for the rounding of the operands, on vdpbf16ps here and on AMX as far as it can be known without it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings

from backends.graphs import as_model, error, feeds
from backends.native.half_cases import (
    ATTENTION,
    BF16,
    CASES,
    attention,
    bound,
    cast,
    modelled,
    nearest,
    reference,
    spread,
    top1,
)
from backends.native.test_kernels import cases, conv
from compiling import compile_here
from models.builders import BUILDERS, Graph
from neo_cli.backends.native import build, compile, compiler, emulate, tuning
from neo_cli.backends.native.cpus import cpu_of
from neo_cli.base.errors import CompileError
from neo_cli.runtime import cpu
from neo_cli.runtime.engines.native import request_tiles
from neo_cli.runtime.errors import ArtifactError
from neo_cli.targets.devices import targets

HALF = {"precision": "bfloat16", "mcpu": "znver4"}
AMX = {"precision": "bfloat16", "mcpu": "sapphirerapids"}
PRODUCT = re.compile(rb"\xc4\xe2[\x42\x4a\x52\x5a\x62\x6a\x72\x7a]\x5c[\xc0-\xff]")  # tdpbf16ps of three registers
here = pytest.mark.skipif(not BF16, reason="this processor does not multiply bfloat16")


@here
@pytest.mark.parametrize("name", CASES)
def test_a_layer_differs_from_float32_by_its_operands_rounding_alone(start, name):
    model, engine = start(CASES[name], threads=2, winograd="off", **HALF)
    feed = feeds(model)
    assert "conv_halves(&halves" in (engine.library.path.parent / "5-compiled.c").read_text()
    found, wanted = engine.run(feed)["y"], reference(CASES[name], feed)
    assert np.abs(found - wanted).max() < 3e-6 * np.abs(wanted).max()
    exact = model.oracle(feed)["y"]
    assert np.abs(found - exact).max() > 0
    if not name.startswith(("one pixel", "dilated")):  # their activation is no sum
        assert (np.abs(found - exact) <= bound(CASES[name], feed)).all()


@here
@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(case=cases())
def test_random_convolutions(start, case):
    graph = conv(**case)
    model, engine = start(graph, threads=2, winograd="off", **HALF)
    feed = feeds(model)
    if "conv_halves(&halves" in (engine.library.path.parent / "5-compiled.c").read_text():
        wanted = reference(graph, feed)
    else:  # depthwise, or too few channels: float32
        wanted = model.oracle(feed)["y"]
    assert np.abs(engine.run(feed)["y"] - wanted).max() < 2e-6 * np.abs(wanted).max() + 1e-6, case


@pytest.mark.parametrize("name", CASES)
def test_amx_kernels_agree_on_a_model_of_the_tile_registers(tmp_path: Path, name):
    model, engine = modelled(CASES[name], tmp_path, threads=2)
    feed = feeds(model)
    found, wanted = engine.run(feed)["y"], reference(CASES[name], feed)
    assert np.abs(found - wanted).max() < 3e-6 * np.abs(wanted).max()
    assert engine.library.amx_model_products() > 0
    engine.close()


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_on_both_instruction_sets(start, tmp_path: Path, name):
    graph = attention(*ATTENTION[name])
    model, engine = modelled(graph, tmp_path, threads=2)
    assert "attend_halves(&c" in (tmp_path / "5-compiled.c").read_text()
    feed = feeds(model)
    found, wanted = engine.run(feed)["y"], model.oracle(feed)["y"]
    engine.close()
    assert spread(found, wanted) < 1e-2 and spread(found, cast(graph, feed)) < 1e-3
    if BF16:
        _, engine = start(graph, threads=2, **HALF)
        assert spread(engine.run(feed)["y"], found) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "bert"])
def test_networks_agree_on_a_model_of_the_tile_registers(tmp_path: Path, name):
    model, engine = modelled(BUILDERS[name](True), tmp_path, threads=2)
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 2e-2
    engine.close()


def test_rounding_is_to_nearest_even_and_keeps_nan(tmp_path: Path):
    """The conversion without vcvtneps2bf16, through a matrix that picks out one input for each output."""
    g = Graph("identity", 1)
    y = g.op("MatMul", g.input("x", [4, 32]), g.constant(np.eye(32, dtype=np.float32)))
    _, engine = modelled(g.finish({"y": (y, [4, 32])}), tmp_path)
    bits = np.arange(4 * 32, dtype=np.uint32) * 0x00012345 + 0x3F800000
    bits[:4] = 0x3F808000, 0x3F818000, 0x3F807FFF, 0x3F808001  # ties down and up, below and above a tie
    values = bits.view(np.float32).reshape(4, 32)
    assert np.array_equal(engine.run({"x": values})["y"], nearest(values))
    values = values.copy()
    values[0, 0] = np.array(0x7F800001, np.uint32).view(np.float32)  # rounded as a number it would be infinite
    assert np.isnan(engine.run({"x": values})["y"][0]).all()
    engine.close()


def test_amx_code_is_compiled_but_not_executed_here(tmp_path: Path):
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    made = compile(model, targets()["LINUX_X86_64"], AMX, tmp_path)
    library = made.files["compiled.so"].read_bytes()
    assert PRODUCT.search(library) and b"amx_tile amx_bf16" in library
    assert made.cpu_features[-3:] == ("avx512_bf16", "amx_tile", "amx_bf16")
    assert made.precision == "bfloat16" and made.emulate is None
    assert "compiled_model.json" not in made.files  # DLR would not ask for the registers
    plain = compile(model, targets()["LINUX_X86_64"], HALF, tmp_path)
    assert not PRODUCT.search(plain.files["compiled.so"].read_bytes())


def test_linux_is_asked_for_the_tile_registers():
    if cpu.missing(["amx_tile"]):
        with pytest.raises(ArtifactError, match="Linux gives this process none"):
            request_tiles()
    else:
        request_tiles()


def test_float32_stays_the_default(tmp_path: Path):
    model = as_model(BUILDERS["mlp"](True), tmp_path)
    for options in ({}, {"precision": "float32"}, {"precision": "auto"}):
        made = compile(model, targets()["LINUX_X86_64"], {"mcpu": "sapphirerapids", **options}, tmp_path)
        assert made.precision == "float32" and "avx512_bf16" not in made.cpu_features
        assert "conv_halves(&halves" not in made.temps["5-compiled.c"].read_text()


def test_other_processors_are_refused_with_those_that_have_it():
    for name, options in (("ml_c5", {}), ("LINUX_X86_64", {"mcpu": "generic"}), ("rasp4b", {}), ("ml_m6g", {})):
        with pytest.raises(CompileError, match="cooperlake, znver4, znver5, sapphirerapids"):
            tuning.levels(targets()[name], {"precision": "bfloat16", **options})


def test_mattr_adds_bfloat16_and_takes_amx_away():
    (found,) = tuning.levels(targets()["ml_c5"], {"precision": "bfloat16", "mattr": ["+avx512bf16"]})
    assert cpu_of(found).name == "avx512_bf16" and "avx512_bf16" in found.features
    (found,) = tuning.levels(targets()["LINUX_X86_64"], {**AMX, "mattr": ["-amx-tile"]})
    assert cpu_of(found).name == "avx512_bf16"
    (found,) = tuning.levels(targets()["LINUX_X86_64"], AMX)
    assert cpu_of(found).tiles


@here
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50", "bert"])
def test_every_tensor_of_a_network_is_near_and_the_bits_do_not_depend_on_threads(start, tmp_path: Path, name):
    graph = BUILDERS[name](True)
    made = compile(as_model(graph, tmp_path), targets()["LINUX_X86_64"], {"check_all": True, **HALF}, tmp_path)
    assert "tensors compared" in made.notes[-1]
    found = []
    for threads in (1, 2, 3):
        model, engine = start(graph, threads=threads, **HALF)
        found.append(engine.run(feeds(model)))
    for other in found[1:]:
        assert all(np.array_equal(array, other[key]) for key, array in found[0].items())
    assert error(found[0], model.oracle(feeds(model))) < 2e-2


def inverted() -> onnx.ModelProto:
    """An inverted residual block, wide enough for bands of rows."""
    g = Graph("inverted", 5)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 96, 96]), 3, 16, 3, 2))
    y = g.op("Relu", g.conv(x, 16, 96, 1))
    y = g.op("Relu", g.conv(y, 96, 96, 3, 1, groups=96))
    return g.finish({"y": (g.op("Add", g.conv(y, 96, 16, 1), x), [1, 16, 48, 48])})


@here
@pytest.mark.slow
def test_bands_of_rows_give_the_same_bits(start):
    found = []
    for bands, threads in (("auto", 1), ("auto", 3), ("off", 2)):
        model, engine = start(inverted(), threads=threads, bands=bands, **HALF)
        found.append(engine.run(feeds(model))["y"])
    assert "fast.Band" in (engine.library.path.parent.parent / "build0" / "3-layout.txt").read_text()
    assert all(np.array_equal(found[0], other) for other in found[1:])


@pytest.mark.slow
def test_bands_of_rows_give_the_same_bits_on_a_model_of_the_tile_registers(tmp_path: Path):
    found = []
    for bands in ("auto", "off"):
        folder = tmp_path / bands
        folder.mkdir()
        model, engine = modelled(inverted(), folder, threads=2, bands=bands)
        found.append(engine.run(feeds(model))["y"])
        engine.close()
    assert "fast.Band" in (tmp_path / "auto" / "3-layout.txt").read_text()
    assert np.array_equal(*found)


@here
@pytest.mark.long
@pytest.mark.parametrize(("name", "limit"), [("resnet50", 0.01), ("mobilenetv2", 0.02), ("bert", 0.01)])
def test_whole_networks_keep_their_answer(start, name, limit):
    """`limit`: of the root mean square of the error, over the output's spread. Only classifiers have a largest value."""
    model, engine = start(BUILDERS[name](False), threads=2, **HALF)
    for seed in range(3):
        feed = feeds(model, seed)
        for key, wanted in model.oracle(feed).items():
            found = engine.run(feed)[key]
            print(f"{name} {key}: error {error({key: found}, {key: wanted}):.1e}, rms {spread(found, wanted):.1e}")
            assert spread(found, wanted) < limit
            assert name == "bert" or top1(found, wanted) == 1


@here
@pytest.mark.slow
def test_undefined_behaviour_would_trap(tmp_path: Path):
    (target,) = tuning.levels(targets()["LINUX_X86_64"], HALF)
    model = as_model(BUILDERS["resnet50"](True), tmp_path)
    program = compiler.lower(model, cpu_of(target), target, {}, compiler.Stages(tmp_path))
    program.weights.write(tmp_path / "compiled.params")
    traps = ("-fsanitize=undefined", "-fsanitize-trap=all", "-fno-sanitize=function")
    binary = build.program(emulate.source(program), target, cpu_of(target), tmp_path, traps)
    feed = feeds(model)
    found = emulate.emulate([], binary, program, tmp_path / "compiled.params", feed)
    assert error(found, model.oracle(feed)) < 2e-2


def job(folder: Path, options: dict) -> dict:
    """The report of one job for the native back end."""
    asked = json.dumps({"backend": "native", **options})
    result = compile_here(BUILDERS["mlp"](True), folder, options=asked)
    return json.loads(result.report.read_text())


@here
def test_a_job_is_judged_by_bfloat16s_gate_and_says_so(tmp_path: Path):
    report = job(tmp_path, HALF)
    (entry,) = report["candidates"]
    assert report["verified"] == "ran" and entry["precision"] == "bfloat16"
    assert entry["accuracy"]["gate"]["cosine"] == 0.999
    assert any("in bfloat16" in note for note in entry["notes"])
    assert job(tmp_path / "plain", {})["candidates"][0]["accuracy"]["gate"]["error"] == 1e-3


@pytest.mark.skipif(not cpu.missing(["amx_tile"]), reason="this processor has AMX and runs it")
def test_a_job_for_amx_says_that_it_was_compiled_only(tmp_path: Path):
    report = job(tmp_path, AMX)
    assert report["verified"] == "compiled only" and report["candidates"][0]["precision"] == "bfloat16"
