"""com.microsoft operators agree with ONNX Runtime; those of transformers end in the fused kernels."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from backends.graphs import as_model
from backends.native.contributed_families import CONTRIBUTED
from backends.native.random_graphs import Maker, Sample
from backends.native.test_ops_property import faults
from neo_cli.backends.native import fusion, importer
from neo_cli.backends.native.cpus import AVX2
from neo_cli.backends.native.ops.expansions import EXPANSIONS, MICROSOFT
from neo_cli.base.errors import CompileError, OperatorNotImplemented


def drawn(family: str, seed: int, count: int) -> list[Sample]:
    """Samples that ONNX Runtime accepts; the forms that it refuses are few."""
    maker = Maker(seed)
    found = [s for _ in range(count) if (s := CONTRIBUTED[family](maker)) is not None]
    assert len(found) >= count // 2, f"ONNX Runtime refuses most of {family}"
    return found


def test_a_few_of_each_family_agree():
    assert faults([s for k, family in enumerate(CONTRIBUTED) for s in drawn(family, k, 3)]) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", CONTRIBUTED)
def test_random_models_agree(family):
    @settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 2**32 - 1))
    def check(seed: int) -> None:
        assert faults(drawn(family, seed, 6)) == []

    check()


def test_every_expansion_has_been_compared():
    """No operator is in the table that the families do not draw."""
    seen = {node.op_type for family in CONTRIBUTED for s in drawn(family, 1, 60) for node in s.model.graph.node}
    assert {name for domain, name in EXPANSIONS if domain == MICROSOFT} - seen <= {"TransposeMatMul", "Range"}


def encoder(batch: int = 2, length: int = 9, heads: int = 2, opset: int = 13) -> onnx.ModelProto:
    """A layer of BERT as ONNX Runtime's optimiser writes it, its weights made of a cosine."""
    width, constants = 32 * heads, []

    def weight(*shape: int, around: float = 0.0) -> str:
        name = f"w{len(constants)}"
        values = around + 0.1 * np.cos(np.arange(np.prod(shape)) * (1.7 + len(constants))).reshape(shape)
        constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def node(op: str, *inputs: str, out: str, **attributes: object) -> onnx.NodeProto:
        domain = "" if op == "MatMul" else "com.microsoft"
        return helper.make_node(op, list(inputs), [out], name=out, domain=domain, **attributes)

    def norm(x: str, skip: str, out: str) -> onnx.NodeProto:
        return node("SkipLayerNormalization", x, skip, weight(width, around=1.0), weight(width), weight(width), out=out)

    nodes = [
        node("Attention", "x", weight(width, 3 * width), weight(3 * width), "mask", out="a", num_heads=heads),
        node("MatMul", "a", weight(width, width), out="b"),
        norm("b", "x", "c"),
        node("MatMul", "c", weight(width, 4 * width), out="d"),
        node("BiasGelu", "d", weight(4 * width), out="e"),
        node("MatMul", "e", weight(4 * width, width), out="f"),
        norm("f", "c", "y"),
    ]
    values = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, length, width])]
    values.append(helper.make_tensor_value_info("mask", onnx.TensorProto.INT32, [batch, length]))
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, length, width])
    sets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    graph = helper.make_graph(nodes, "layer", values, [result], constants)
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def test_an_optimised_layer_of_bert_is_computed_by_the_fused_kernels(tmp_path, start):
    model = as_model(encoder(), tmp_path)
    ops = [node.op for node in fusion.fuse(importer.load(model), AVX2).nodes]
    assert ops.count("fast.Attention") == 1
    assert ops.count("fast.LayerNorm") == 2
    assert ops.count("fast.Conv") == 4  # the products with what is added to them, GELU included
    assert not {"MatMul", "Softmax", "Transpose", "Gelu"} & set(ops)
    model, engine = start(encoder(), threads=2)
    rng = np.random.default_rng(3)
    feeds = {"x": rng.normal(size=(2, 9, 64)).astype(np.float32), "mask": (np.arange(18).reshape(2, 9) % 5 < 4).astype(np.int32)}  # fmt: skip
    np.testing.assert_allclose(engine.run(feeds)["y"], model.oracle(feeds)["y"], rtol=1e-4, atol=1e-5)


def test_forms_that_onnx_runtime_lacks_too_are_refused_by_name(tmp_path):
    graph = encoder()
    graph.graph.node[0].attribute.append(helper.make_attribute("do_rotary", 1))
    with pytest.raises(OperatorNotImplemented, match="does not do Attention so: do_rotary is set"):
        importer.load(as_model(graph, tmp_path))
    old = encoder(opset=10)
    assert len(importer.load(as_model(old, tmp_path)).nodes) > 7
    old.graph.input[1].type.tensor_type.shape.dim.pop()  # lengths instead of a mask: these need Slice
    with pytest.raises(OperatorNotImplemented, match="Attention so: in a model of opset 10"):
        importer.load(as_model(old, tmp_path))


def test_a_model_that_says_another_shape_than_its_nodes_make_is_refused(tmp_path):
    """A caller makes room for what the model says: no library may write more."""
    model = as_model(encoder(), tmp_path)
    unknown = dataclasses.replace(model, outputs=(dataclasses.replace(model.outputs[0], shape=(-1, -1, -1)),))
    with pytest.raises(CompileError, match=r"says that the output 'y' is \[1, 1, 1\]; its nodes make \[2, 9, 64\]"):
        importer.load(unknown)
