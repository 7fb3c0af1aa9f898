"""What the tests of bfloat16 share: references, random convolutions, and the AMX kernels on a model of the tile registers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from backends.graphs import as_model
from backends.native.test_kernels import conv
from models.builders import Graph
from neo_cli.backends.native import build, compiler
from neo_cli.backends.native.cpus import AMX
from neo_cli.model.model import Model
from neo_cli.runtime import cpu
from neo_cli.runtime.engines.native import Engine
from neo_cli.targets.devices import targets

BF16 = not cpu.missing(["avx512_bf16"]) and cpu.features() is not None and cpu.machine()[1] == "x86_64"
MODEL = Path(__file__).with_name("amx_model.h")
UNIT = 2.0**-8  # the largest relative error of rounding to bfloat16


def nearest(array: np.ndarray) -> np.ndarray:
    """Float32 rounded to bfloat16."""
    return array.astype(ml_dtypes.bfloat16).astype(np.float32)


def rounded(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its matrices and kernels rounded to bfloat16; biases stay."""
    found = onnx.ModelProto()
    found.CopyFrom(graph)
    for tensor in found.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.ndim > 1 and array.dtype == np.float32:
            tensor.CopyFrom(numpy_helper.from_array(nearest(array), tensor.name))
    return found


def reference(graph: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The only output of a layer whose operands are rounded to bfloat16 and whose sums are float32 (ONNX Runtime)."""
    session = ort.InferenceSession(rounded(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {name: nearest(array) for name, array in feed.items()})[0]
    return found


def cast(graph: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    """The only output when the operands of every product are rounded to bfloat16 on their way (ONNX Runtime's Cast)."""
    found, nodes = onnx.ModelProto(), []
    found.CopyFrom(graph)
    for node in list(found.graph.node):
        if node.op_type == "MatMul":
            for i, name in enumerate(node.input):
                half, back = f"{node.name}.{i}.half", f"{node.name}.{i}.back"
                nodes.append(helper.make_node("Cast", [name], [half], to=TensorProto.BFLOAT16))
                nodes.append(helper.make_node("Cast", [half], [back], to=TensorProto.FLOAT))
                node.input[i] = back
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del found.graph.node[:]
    found.graph.node.extend(copies)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    made: np.ndarray = ort.InferenceSession(found.SerializeToString(), options).run(None, feed)[0]
    return made


def bound(graph: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    """How far rounding both operands may move a layer's output: two units of each product's size, summed up."""
    found = onnx.ModelProto()
    found.CopyFrom(graph)
    for tensor in found.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(np.abs(numpy_helper.to_array(tensor)), tensor.name))
    session = ort.InferenceSession(found.SerializeToString(), providers=["CPUExecutionProvider"])
    made: np.ndarray = session.run(None, {name: np.abs(array) for name, array in feed.items()})[0]
    return made * (2.1 * UNIT) + 1e-6


def product(rows: int, ic: int, oc: int) -> onnx.ModelProto:
    """Rows times a matrix, with a bias."""
    g = Graph("product", 3)
    return g.finish({"y": (g.dense(g.input("x", [rows, ic]), ic, oc), [rows, oc])})


def attention(length: int, batch: int, width: int) -> onnx.ModelProto:
    """Two heads of `width` channels."""
    g, whole = Graph("attention", 4), 2 * width
    x = g.input("x", [batch, length, whole])

    def split(order: list[int]) -> str:
        return g.op("Transpose", g.op("Reshape", g.dense(x, whole, whole), g.ints(batch, length, 2, width)), perm=order)

    q, k, v = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
    scores = g.op("Mul", g.op("MatMul", q, k), g.constant(np.float32(width**-0.5), "scale"))
    mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
    return g.finish({"y": (g.op("Reshape", mixed, g.ints(batch, length, whole)), [batch, length, whole])})


ATTENTION = {"whole": (32, 1, 64), "odd keys": (45, 2, 32), "half a block": (19, 1, 48), "one key": (1, 2, 16)}

# Remainders in every dimension, both kinds of groups, strides, dilations, summands, and each shape of AMX's tiles.
CASES = {
    "remainders": conv(19, 21, (9, 17), 3, 1, 1, 1, "ar"),
    "one pixel": conv(40, 33, (1, 1), 1, 1, 1, 1, "s"),
    "wide rows": conv(33, 50, (3, 45), 1, 1, 1, 1, "a", batch=2),
    "stride two": conv(24, 40, (13, 11), 1, 2, 1, 1, "r"),
    "kernel and stride two": conv(37, 16, (14, 15), 5, 2, 1, 1, ""),
    "two narrow rows": conv(64, 64, (7, 7), 3, 1, 1, 1, "a"),
    "dilated": conv(16, 48, (12, 35), 3, 1, 2, 1, "s"),
    "groups of blocks": conv(64, 96, (6, 29), 3, 1, 1, 2, "r"),
    "groups in blocks": conv(24, 36, (5, 20), 3, 1, 1, 3, ""),
    "panels": conv(400, 40, (5, 10), 3, 1, 1, 1, "ar"),
    "windows": conv(3, 40, (23, 31), 5, 2, 1, 1, "r", batch=2),
    "narrow windows": conv(4, 20, (9, 13), 7, 1, 1, 1, ""),
    "one row": product(1, 77, 30),
    "many rows": product(49, 130, 19),
}


def modelled(graph: onnx.ModelProto, folder: Path, threads: int = 1, **options: object) -> tuple[Model, Engine]:
    """The graph compiled for AMX, with the tile instructions replaced by a model of the registers, for this machine."""
    model = as_model(graph, folder)
    host = replace(targets()["LINUX_X86_64"], cpu="x86_64_v2", features=())
    program = compiler.lower(model, AMX, host, options, compiler.Stages(folder))
    assert "conv_halves(&halves" in program.text
    text = MODEL.read_text(encoding="utf-8") + program.text
    library = build.library(text, host, replace(AMX, flags=()), folder)
    offset = program.weights.write(folder / compiler.PARAMS)
    settings = {"library": library.name, "weights": compiler.PARAMS, "weights_offset": offset}
    tensors = {"inputs": [t.record() for t in model.inputs], "outputs": [t.record() for t in model.outputs]}
    engine = Engine(folder, {"settings": settings, **tensors}, threads)
    engine._scratch[:] = 0xFF
    return model, engine


def top1(found: np.ndarray, wanted: np.ndarray) -> float:
    """The share of rows whose largest value stands at the same place."""
    return float(
        np.mean(found.reshape(-1, found.shape[-1]).argmax(-1) == wanted.reshape(-1, found.shape[-1]).argmax(-1))
    )


def spread(found: np.ndarray, wanted: np.ndarray) -> float:
    """The root of the mean squared error over the reference's standard deviation."""
    return float(math.sqrt(np.mean((found - wanted) ** 2)) / wanted.std())
