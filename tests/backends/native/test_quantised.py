"""Quantised operators and networks give ONNX Runtime's very numbers, on every way to multiply 8-bit numbers.

The oracle multiplies exactly only where it has instructions for that (VNNI, dot products): elsewhere its own sums saturate,
and these tests are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from backends.graphs import as_model, error, feeds
from models.builders import BUILDERS
from models.quantised import quantised
from neo_cli.backends.native import build as builder
from neo_cli.backends.native import compile, compiler, emulate, tuning
from neo_cli.backends.native.cpus import Int8, cpu_of
from neo_cli.runtime import cpu
from neo_cli.targets.devices import targets

KINDS = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "int32": TensorProto.INT32, "float32": TensorProto.FLOAT}
EXACT = {"avx512_vnni", "avx_vnni", "asimddp"} & (cpu.features() or frozenset())
pytestmark = pytest.mark.skipif(not EXACT, reason="ONNX Runtime saturates sums on this processor")
# mcpu of x86-64 targets whose code runs here when the CPU has the features
HERE = {"cascadelake": "vnni", "skylake_avx512": "madd", "haswell": "madd", "x86_64_v2": "madd"}


@dataclass
class Many:
    """Nodes side by side in one model, each with an input and constants of its own."""

    seed: int

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.nodes: list[onnx.NodeProto] = []
        self.values: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.feed: dict[str, np.ndarray] = {}

    def integers(self, dtype: str, *shape: int) -> np.ndarray:
        info = np.iinfo(dtype)
        return self.random.integers(info.min, info.max + 1, shape).astype(dtype)

    def input(self, array: np.ndarray) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, KINDS[array.dtype.name], array.shape))
        self.feed[name] = array
        return name

    def constant(self, array: np.ndarray) -> str:
        self.values.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.values)}"))
        return self.values[-1].name

    def scale(self, *shape: int, near: float = 0.01) -> str:
        return self.constant(np.float32(near) * self.random.uniform(0.5, 2, shape).astype(np.float32))

    def zero(self, dtype: str, *shape: int) -> str:
        return self.constant(np.asarray(self.random.integers(100, 140, shape) - (128 if dtype == "int8" else 0), dtype))

    def node(self, op: str, inputs: list[str], dtype: str, domain: str = "", **attributes: Any) -> str:
        made = f"{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [made], name=made, domain=domain, **attributes))
        self.outputs.append(helper.make_tensor_value_info(made, KINDS[dtype], None))
        return made

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "many", self.inputs, self.outputs, self.values)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def convolution(m: Many, integer: bool = False) -> None:
    """A convolution of random odd sizes: remainders in every dimension, groups, strides, dilations, uneven pads."""
    pick = m.random.integers
    groups = int(m.random.choice([1, 1, 1, 2, 3, 0]))
    cin, cout = int(pick(1, 40)), int(pick(1, 40))
    if groups:
        cin, cout = cin * groups, cout * groups
    else:  # depthwise
        groups = cout = cin
    kernel = [int(m.random.choice([1, 1, 3, 3, 5])), int(m.random.choice([1, 1, 3, 3, 5]))]
    shape = (int(m.random.choice([1, 1, 2])), cin, int(pick(5, 13)), int(pick(5, 34)))
    x_type, w_type = str(m.random.choice(["uint8", "int8"])), "int8"
    x_type, w_type = ("uint8", "uint8") if integer or pick(4) == 0 else (x_type, w_type)
    weights = m.integers(w_type, cout, cin // groups, *kernel)
    window: dict[str, Any] = {
        "kernel_shape": kernel, "strides": [int(pick(1, 3)), int(pick(1, 3))], "group": groups,
        "dilations": [int(m.random.choice([1, 1, 2])) if k < 5 else 1 for k in kernel],
        "pads": [int(pick(0, 3)) if k > 1 else 0 for k in (*kernel, *kernel)],
    }  # fmt: skip
    x, w, per = m.input(m.integers(x_type, *shape)), m.constant(weights), (cout,) if pick(2) and not integer else ()
    zero_w = m.constant(np.full(per, 128 if w_type == "uint8" else 0, w_type))
    if integer:
        m.node("ConvInteger", [x, w, m.zero(x_type), zero_w], "int32", **window)
        return
    spread = 0.01 * 0.01 * 75 * (weights[0].size ** 0.5)
    inputs = [x, m.scale(), m.zero(x_type), w, m.scale(*per), zero_w, m.scale(near=spread), m.zero(x_type)]
    bias = [m.constant(pick(-3000, 3000, cout).astype(np.int32))] if pick(3) else []
    m.node("QLinearConv", inputs + bias, x_type, **window)


def product(m: Many) -> None:
    """QLinearMatMul, QGemm and MatMulInteger of odd sizes."""
    pick = m.random.integers
    rows, depth, columns = (int(v) for v in pick(1, 70, 3))
    kind, dtype = (
        str(m.random.choice(["QLinearMatMul", "QGemm", "MatMulInteger"])),
        str(m.random.choice(["uint8", "int8"])),
    )
    lead = [int(pick(1, 4))] if kind == "QLinearMatMul" and pick(2) else []
    x, w = m.input(m.integers(dtype, *lead, rows, depth)), m.constant(m.integers("int8", depth, columns))
    spread, zero_w = 0.01 * 0.01 * 110 * depth**0.5, m.constant(np.zeros((), np.int8))
    if kind == "MatMulInteger":
        point = m.input(np.asarray(m.integers(dtype, 1)[0])) if pick(2) else m.zero(dtype)  # known when it runs, or now
        m.node(kind, [x, w, point, zero_w], "int32")
        return
    own = [m.scale(near=spread), m.zero(dtype)]
    inputs = [x, m.scale(), m.zero(dtype), w, m.scale(), zero_w]
    if kind == "QLinearMatMul":
        m.node(kind, inputs + own, dtype)
        return
    bias = m.constant(pick(-3000, 3000, columns).astype(np.int32))
    whole = pick(2) or dtype == "int8"
    m.node(kind, [*inputs, bias, *(own if whole else [])], dtype if whole else "float32", domain="com.microsoft")


def many(seed: int) -> Many:
    m = Many(seed)
    for _ in range(18):
        convolution(m)
    for _ in range(2):
        convolution(m, integer=True)
    for _ in range(6):
        product(m)
    return m


def same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert len(np.unique(array)) > 5 or array.size < 20, name  # no saturated constant
        if array.dtype == np.float32:
            np.testing.assert_allclose(found[name], array, rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("mcpu", HERE)
def test_random_sizes_on_this_machine(start, mcpu):
    m, target = many(list(HERE).index(mcpu)), tuning.levels(targets()["LINUX_X86_64"], {"mcpu": mcpu})[0]
    if not cpu.runs(target.os, target.arch, target.features):
        pytest.skip(f"this machine does not run {mcpu}'s code")
    assert cpu_of(target).int8.kind == HERE[mcpu]
    model, engine = start(m.model(), threads=2, mcpu=mcpu)
    same(engine.run(m.feed), model.oracle(m.feed))
    text = (engine.library.path.parent / "3-layout.txt").read_text()
    assert text.count("fast.QConv") == len(m.nodes)  # no plain rule took part


@pytest.mark.slow
def test_products_of_four_in_registers_of_eight(tmp_path: Path):
    """What AVX-VNNI multiplies with, in the encoding of AVX-512: no machine with the former was at hand."""
    m, target = many(7), tuning.levels(targets()["LINUX_X86_64"], {"mcpu": "cascadelake"})[0]
    if not cpu.runs(target.os, target.arch, target.features):
        pytest.skip("this machine does not run the code")
    record = replace(cpu_of(target), int8=Int8("vnni", 8, 6, 1))
    model = as_model(m.model(), tmp_path)
    program = compiler.lower(model, record, target, {}, compiler.Stages(tmp_path))
    program.weights.write(tmp_path / compiler.PARAMS)
    binary = builder.program(emulate.source(program), target, record, tmp_path)
    same(emulate.emulate([], binary, program, tmp_path / compiler.PARAMS, m.feed), model.oracle(m.feed))


@pytest.mark.slow
@pytest.mark.emulation
@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("ml_m6g", "dot"),
        ("LINUX_ARM64", "wide"),
        ("LINUX_ARM_EABIHF", "wide"),
        ("LINUX_ARM_EABI", "wide"),
        ("ANDROID_X86", "madd"),
    ],
)
def test_random_sizes_under_emulation(tmp_path: Path, target, kind):
    m = many(sum(target.encode()))
    assert cpu_of(targets()[target]).int8.kind == kind
    model = as_model(m.model(), tmp_path)
    build = compile(model, targets()[target], {}, tmp_path)
    if build.emulate is None:
        pytest.skip("qemu-user is not installed here")
    same(build.emulate(m.feed), model.oracle(m.feed))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
@pytest.mark.parametrize("name", ["mobilenetv2", "resnet50"])
def test_a_network_stays_in_whole_numbers(start, name, form):
    """From the first convolution to the last product nothing is float or row-major; the outputs are ONNX Runtime's, to the bit."""
    graph = quantised(BUILDERS[name](True), form)
    results = []
    for threads in (1, 3):
        model, engine = start(graph, threads=threads)
        feed = feeds(model)
        results.append(engine.run(feed))
        same(results[-1], model.oracle(feed))
    text = (engine.library.path.parent / "3-layout.txt").read_text()
    steps = [line.split(" = ")[-1].split("(")[0] for line in text.splitlines()[1:-1]]
    inner = steps[next(i for i, step in enumerate(steps) if step == "fast.QConv") : -2]
    assert len(inner) > 15 and all(step.startswith("fast.Q") for step in inner), inner


@pytest.mark.slow
@pytest.mark.parametrize("mcpu", ["icelake_server", "haswell"])
def test_activations_are_tables_and_parts_are_made_in_place(start, mcpu):
    """SiLU, concatenations of different scales and resizing, with and without the instruction for tables."""
    features = {*tuning.X86[mcpu], *(["avx512vbmi"] if mcpu == "icelake_server" else [])}
    if not cpu.runs("linux", "x86_64", features):
        pytest.skip(f"this machine does not run {mcpu}'s code")
    model, engine = start(quantised(BUILDERS["yolo"](True)), threads=2, mcpu=mcpu)
    feed = feeds(model)
    same(engine.run(feed), model.oracle(feed))
    text = (engine.library.path.parent / "3-layout.txt").read_text()
    assert text.count("= fast.QTable") > 60 and text.count("= fast.Concat") > 10
    assert text.count("= fast.Reorder") < 10 and "ops.Chain" not in text


@pytest.mark.slow
@pytest.mark.emulation
@pytest.mark.parametrize("target", ["ml_m6g", "ANDROID_X86"])
def test_a_network_on_other_processors(tmp_path: Path, target):
    model = as_model(quantised(BUILDERS["mobilenetv2"](True)), tmp_path)
    build = compile(model, targets()[target], {}, tmp_path)
    if build.emulate is None:
        pytest.skip("qemu-user is not installed here")
    feed = feeds(model)
    same(build.emulate(feed), model.oracle(feed))


@pytest.mark.slow
def test_signed_activations_differ_by_single_steps(start):
    """ONNX Runtime leaves the sums of signed QDQ models, and some convolutions, in float, where a tie may fall otherwise."""
    model, engine = start(quantised(BUILDERS["resnet50"](True), signed=True))
    feed = feeds(model)
    assert error(engine.run(feed), model.oracle(feed)) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_every_tensor_is_onnx_runtimes(tmp_path: Path, signed):
    """Signed numbers too, which x86-64 keeps as unsigned ones in blocks."""
    model = as_model(quantised(BUILDERS["resnet50"](True), signed=signed), tmp_path)
    build = compile(model, targets()["LINUX_X86_64"], {"check_all": True}, tmp_path)
    assert build.notes[-1].startswith("23 tensors compared") and "largest error 0.0e+00" in build.notes[-1]


@pytest.mark.slow
def test_a_fat_artifact_has_a_level_for_products_of_four(tmp_path: Path):
    model = as_model(quantised(BUILDERS["mlp"](True)), tmp_path)
    build = compile(model, targets()["LINUX_X86_64"], {"mcpu": "generic"}, tmp_path)
    last = build.settings["variants"][-1]
    assert last["library"].startswith("cascadelake/") and "avx512_vnni" in last["features"]
    plain = compile(as_model(BUILDERS["mlp"](True), tmp_path), targets()["LINUX_X86_64"], {"mcpu": "generic"}, tmp_path)
    assert all("avx512_vnni" not in level["features"] for level in plain.settings["variants"])


def test_each_reader_of_a_tensor_has_its_own_zero_in_the_border(start):
    m = Many(3)
    x, w = m.input(m.integers("uint8", 1, 3, 9, 17)), m.constant(m.integers("int8", 20, 3, 3, 3))
    for zero in (77, 120):
        point, none = m.constant(np.asarray(zero, np.uint8)), m.constant(np.zeros((), np.int8))
        inputs = [x, m.scale(), point, w, m.scale(), none, m.scale(near=0.05), m.zero("uint8")]
        m.node("QLinearConv", inputs, "uint8", pads=[1] * 4)
    model, engine = start(m.model())
    same(engine.run(m.feed), model.oracle(m.feed))
