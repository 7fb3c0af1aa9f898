"""A convnet, a transformer block and a tree model, as small as they can be with every kind of layer they are known for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from models.builders import Graph

WIDTH, LENGTH, HEADS = 16, 8, 2


def convnet() -> onnx.ModelProto:
    """Convolutions (plain, strided, depthwise), batch norm, ReLU, pooling, a dense layer, softmax."""
    g = Graph("convnet", 1)
    x = g.op("Relu", g.norm(g.conv(g.input("image", [1, 3, 16, 16]), 3, 8, 3, bias=False), 8))
    x = g.op("Relu", g.conv(x, 8, 8, 3, stride=2, groups=8))
    x = g.op("Add", x, g.op("Relu", g.conv(x, 8, 8, 1)))
    x = g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = g.op("Flatten", g.op("GlobalAveragePool", x))
    w, b = g.constant(g.weights(10, 8, scale=0.5)), g.constant(g.weights(10, scale=0.1), "b")
    return g.finish({"classes": (g.op("Softmax", g.op("Gemm", x, w, b, transB=1), axis=1), [1, 10])})


def transformer() -> onnx.ModelProto:
    """One encoder block: multi-head attention, layer norm, a feed-forward part with GELU's error function."""
    g = Graph("transformer", 2)
    x = g.input("tokens", [1, LENGTH, WIDTH])

    def norm(y: str) -> str:
        scale, bias = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
        return g.op("LayerNormalization", y, g.constant(scale, "scale"), g.constant(bias, "b"), axis=-1)

    def heads(y: str, order: list[int]) -> str:
        parts = g.op("Reshape", g.dense(y, WIDTH, WIDTH), g.ints(1, LENGTH, HEADS, WIDTH // HEADS))
        return g.op("Transpose", parts, perm=order)

    scale = g.constant(np.float32(math.sqrt(WIDTH / HEADS)), "scale")
    scores = g.op("Div", g.op("MatMul", heads(x, [0, 2, 1, 3]), heads(x, [0, 2, 3, 1])), scale)
    mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), heads(x, [0, 2, 1, 3]))
    joined = g.op("Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), g.ints(1, LENGTH, WIDTH))
    x = norm(g.op("Add", x, g.dense(joined, WIDTH, WIDTH)))
    inner = g.dense(x, WIDTH, 2 * WIDTH)
    erf = g.op("Erf", g.op("Mul", inner, g.constant(np.float32(math.sqrt(0.5)), "root")))
    half = g.op("Mul", inner, g.constant(np.float32(0.5), "half"))
    gelu = g.op("Mul", half, g.op("Add", erf, g.constant(np.float32(1), "one")))
    x = norm(g.op("Add", x, g.dense(gelu, 2 * WIDTH, WIDTH)))
    return g.finish({"encoded": (x, [1, LENGTH, WIDTH])})


def trees() -> onnx.ModelProto:
    """A gradient-boosted ensemble of eight trees of depth three on six columns; missing values go left."""
    random, rows, leaves = np.random.default_rng(3), [], []
    for tree in range(8):
        for node in range(7):
            rows.append((tree, node, "BRANCH_LT", int(random.integers(6)), float(random.normal()), 2 * node + 1))
        for node in range(7, 15):
            rows.append((tree, node, "LEAF", 0, 0.0, 0))
            leaves.append((tree, node, float(random.normal())))
    node = helper.make_node(
        "TreeEnsembleRegressor", ["columns"], ["score"], domain="ai.onnx.ml", n_targets=1, aggregate_function="SUM",
        nodes_treeids=[r[0] for r in rows], nodes_nodeids=[r[1] for r in rows], nodes_modes=[r[2] for r in rows],
        nodes_featureids=[r[3] for r in rows], nodes_values=[r[4] for r in rows],
        nodes_truenodeids=[r[5] for r in rows], nodes_falsenodeids=[r[5] + (r[2] != "LEAF") for r in rows],
        nodes_missing_value_tracks_true=[int(r[2] != "LEAF") for r in rows],
        target_treeids=[leaf[0] for leaf in leaves], target_nodeids=[leaf[1] for leaf in leaves],
        target_ids=[0] * len(leaves), target_weights=[leaf[2] for leaf in leaves], base_values=[0.5],
    )  # fmt: skip
    columns = helper.make_tensor_value_info("columns", TensorProto.FLOAT, [4, 6])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, [4, 1])
    graph = helper.make_graph([node], "trees", [columns], [score])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="neo-cli tests", ir_version=8)
    onnx.checker.check_model(model)
    return model


SMALL: dict[str, Callable[[], onnx.ModelProto]] = {"convnet": convnet, "transformer": transformer, "trees": trees}
