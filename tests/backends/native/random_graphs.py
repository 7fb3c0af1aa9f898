"""Random one-operator models of odd sizes and rare attributes, and what ONNX Runtime says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

SIZES = (1, 2, 3, 7, 17)
OPSETS = (11, 13, 17, 21)


@dataclass
class Sample:
    """A model, its inputs and the expected outputs; `exact` where integers decide."""

    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    outputs: list[np.ndarray]
    exact: bool = False
    levels: int = 0  # by how much a quantised number may be off

    def __str__(self) -> str:
        node = self.model.graph.node[0]
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return f"{node.op_type} {[(v.dtype.name, v.shape) for v in self.inputs.values()]} {attrs}"


class Maker:
    """Draws from one generator; `sample` finishes a model with the types that ONNX Runtime reports."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def shape(self, rank: int) -> tuple[int, ...]:
        return tuple(int(self.pick(*SIZES)) for _ in range(rank))

    def array(self, shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
        if dtype == "bool":
            return self.rng.random(shape) > 0.5
        if dtype.startswith(("int", "uint")):
            low = -9 if dtype.startswith("int") else 0
            return self.rng.integers(low, 10, shape).astype(dtype)
        return (self.rng.normal(size=shape) * 2).astype(dtype)

    def sample(
        self, op: str, inputs: list[np.ndarray | None], constants: dict[int, np.ndarray] | None = None, *, count: int = 1,
        opset: int = 17, exact: bool = False, levels: int = 0, domain: str = "",
        named: dict[str, Any] | None = None, **attrs: Any,
    ) -> Sample | None:  # fmt: skip
        """`named`: attributes whose names are taken here; None where ONNX Runtime refuses the model."""
        constants = constants or {}
        total = max([len(inputs), *(k + 1 for k in constants)])
        names, feeds, initializers = [], {}, []
        for k in range(total):
            name = f"x{k}"
            if k in constants:
                initializers.append(numpy_helper.from_array(constants[k], name))
            elif k < len(inputs) and inputs[k] is not None:
                feeds[name] = inputs[k]
            else:
                name = ""
            names.append(name)
        outputs = [f"y{k}" for k in range(count)]
        node = helper.make_node(op, names, outputs, name=op, domain=domain, **attrs)
        node.attribute.extend(helper.make_attribute(k, v) for k, v in (named or {}).items())
        values = [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in feeds.items()
        ]
        empty = [onnx.ValueInfoProto(name=n) for n in outputs]
        sets = [helper.make_opsetid(d, v) for d, v in (("", opset), ("com.microsoft", 1), ("ai.onnx.ml", 3))]
        model = helper.make_model(
            helper.make_graph([node], "random", values, empty, initializers), opset_imports=sets, ir_version=8
        )
        options = ort.SessionOptions()
        options.log_severity_level = 4
        try:
            found = ort.InferenceSession(model.SerializeToString(), options).run(None, feeds)
        except Exception:  # what ONNX Runtime refuses is no test
            return None
        if any(a.size == 0 for a in found):
            return None
        for value, array in zip(model.graph.output, found):
            value.CopyFrom(
                helper.make_tensor_value_info(value.name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            )
        return Sample(model, feeds, found, exact, levels)


def elementwise(m: Maker) -> Sample | None:
    full = m.shape(m.pick(1, 2, 3, 4))
    part = tuple(n if m.rng.random() > 0.4 else 1 for n in full)[m.pick(0, 1) :]
    a, b = (full, part) if m.rng.random() > 0.5 else (part, full)
    op = m.pick(
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Max",
        "Min",
        "Less",
        "Greater",
        "Equal",
        "Mod",
        "PRelu",
        "Where",
        "And",
        "Sum",
    )
    dtype = "bool" if op == "And" else m.pick("float32", "float64", "int32", "int64")
    x, y = m.array(a, dtype), m.array(b, dtype)
    if op == "PRelu":
        return m.sample(op, [m.array(full), m.array(part)])
    if op == "Where":
        return m.sample(op, [m.array(part, "bool"), m.array(full, dtype), m.array(b, dtype)])
    if op in ("Div", "Mod") and dtype.startswith("int"):
        y[y == 0] = 3
    if op == "Div" and dtype.startswith("int"):
        x, y = np.abs(x), np.abs(y)
    if op == "Pow":
        x, y = (np.abs(x), y) if dtype.startswith("float") else (x, np.abs(y) % 4)
    extra = {"fmod": 1} if op == "Mod" and dtype.startswith("float") else {}
    return m.sample(op, [x, y], opset=m.pick(13, 17, 21), **extra)


UNARY = (
    "Abs", "Neg", "Exp", "Log", "Sqrt", "Sin", "Cos", "Tanh", "Sigmoid", "Erf", "Floor", "Ceil", "Round", "Relu", "LeakyRelu", "Elu",
    "Selu", "Celu", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "Mish", "ThresholdedRelu", "Sign", "Reciprocal", "Atan", "Tan",
    "Asinh", "Sinh", "Cosh", "IsNaN", "Identity", "Not", "Gelu",
)  # fmt: skip


def unary(m: Maker) -> Sample | None:
    op = m.pick(*UNARY)
    x = m.array(m.shape(m.pick(1, 2, 3)), "bool" if op == "Not" else "float32")
    if op in ("Log", "Sqrt"):
        x = np.abs(x) + np.float32(0.01)
    return m.sample(op, [x], opset=21)


def cast(m: Maker) -> Sample | None:
    kinds = ("float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool", "float16")
    source, target = m.pick(*kinds), m.pick(*kinds)
    x = np.abs(m.array(m.shape(2))).astype(source) if target.startswith("u") else m.array(m.shape(2)).astype(source)
    return m.sample("Cast", [x], to=helper.np_dtype_to_tensor_dtype(np.dtype(target)))


def reduction(m: Maker) -> Sample | None:
    rank = m.pick(1, 2, 3, 4)
    x = m.array(m.shape(rank), m.pick("float32", "float32", "float64", "int32"))
    axes = sorted({int(m.rng.integers(-rank, rank)) % rank for _ in range(m.pick(1, 2, 3))})
    axes = [a - rank if m.rng.random() > 0.5 else a for a in axes]
    op = m.pick("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")
    if op in (
        "Prod",
        "LogSumExp",
    ):  # ONNX Runtime computes these of integers in floating numbers and cuts what comes out
        x = x.astype(np.float32)
    if op == "Prod" and x.dtype.kind == "f":  # near one, so that no order of many factors leaves the type's range
        x = (1 + x * 0.03).astype(x.dtype)
    opset = m.pick(13, 18)
    named = op == "Sum" or opset == 18
    extra: dict[str, Any] = {} if named else {"axes": axes}
    return m.sample(
        f"Reduce{op}", [x], {1: np.array(axes, np.int64)} if named else {}, opset=opset, keepdims=m.pick(0, 1), **extra
    )


def movement(m: Maker) -> Sample | None:
    rank = m.pick(2, 3, 4)
    x = m.array(m.shape(rank), m.pick("float32", "int64", "uint8"))
    op = m.pick(
        "Transpose",
        "Slice",
        "Concat",
        "Pad",
        "Gather",
        "Tile",
        "Expand",
        "Split",
        "GatherElements",
        "CumSum",
        "TopK",
        "ArgMax",
    )
    axis = int(m.rng.integers(-rank, rank))
    if op == "Transpose":
        return m.sample(op, [x], perm=[int(v) for v in m.rng.permutation(rank)])
    if op == "Slice":
        low = [int(v) for v in m.rng.integers(-20, 20, rank)]
        high = [int(v) for v in m.rng.integers(-20, 20, rank)]
        steps = [int(m.pick(-3, -2, -1, 1, 2, 3)) for _ in range(rank)]
        lists = {1: low, 2: high, 3: list(range(rank)), 4: steps}
        return m.sample(op, [x], {k: np.array(v, np.int64) for k, v in lists.items()})
    if op == "Concat":
        return m.sample(op, [x, x, x[..., ::-1].copy()], axis=axis)
    if op == "Pad":
        mode = m.pick("constant", "reflect", "edge")
        pads = m.rng.integers(0 if mode != "constant" else -1, 3, 2 * rank)
        return m.sample(op, [x.astype(np.float32)], {1: pads.astype(np.int64), 2: np.array(0.5, np.float32)}, mode=mode)
    if op == "Gather":
        size = x.shape[axis]
        return m.sample(op, [x, m.rng.integers(-size, size, m.shape(2)).astype(np.int64)], axis=axis)
    if op == "GatherElements":
        return m.sample(op, [x, m.rng.integers(-x.shape[axis], x.shape[axis], x.shape).astype(np.int64)], axis=axis)
    if op == "Tile":
        return m.sample(op, [x], {1: m.rng.integers(1, 4, rank).astype(np.int64)})
    if op == "Expand":
        return m.sample(op, [x[:1]], {1: np.array([3, *x.shape], np.int64)})
    if op == "CumSum":
        return m.sample(
            op, [x.astype(np.float32)], {1: np.array(axis, np.int64)}, exclusive=m.pick(0, 1), reverse=m.pick(0, 1)
        )
    if op == "TopK":
        k = int(m.rng.integers(1, x.shape[axis] + 1))
        return m.sample(
            op, [x.astype(np.float32)], {1: np.array([k], np.int64)}, count=2, axis=axis, largest=m.pick(0, 1)
        )
    if op == "ArgMax":
        return m.sample(op, [x.astype(np.float32)], axis=axis, keepdims=m.pick(0, 1), select_last_index=m.pick(0, 1))
    return m.sample(op, [x], {1: np.array([1, x.shape[axis] - 1], np.int64)}, count=2, axis=axis)


def spatial(m: Maker, rank: int) -> dict[str, Any]:
    def some(low: int, high: int, count: int) -> list[int]:
        return [int(v) for v in m.rng.integers(low, high, count)]

    if m.rng.random() < 0.3:
        return {"strides": some(1, 3, rank), "auto_pad": m.pick("SAME_UPPER", "SAME_LOWER", "VALID")}
    return {"strides": some(1, 3, rank), "dilations": some(1, 3, rank), "pads": some(0, 3, 2 * rank)}


def convolution(m: Maker) -> Sample | None:
    rank, group = m.pick(1, 2, 2, 3), m.pick(1, 1, 2, 3)
    kernel = tuple(int(m.pick(1, 2, 3)) for _ in range(rank))
    inner, outer = int(m.pick(1, 2, 3)), int(m.pick(1, 2, 5))
    x = m.array((m.pick(1, 2), group * inner, *(int(m.pick(5, 7, 17)) for _ in range(rank))))
    if m.rng.random() < 0.3:
        attrs = spatial(m, rank)
        attrs.pop("auto_pad", None)
        w = m.array((group * inner, outer, *kernel))
        return m.sample("ConvTranspose", [x, w, m.array((group * outer,))], group=group, **attrs)
    w = m.array((group * outer, inner, *kernel))
    return m.sample("Conv", [x, w, m.array((group * outer,))], group=group, **spatial(m, rank))


def pooling(m: Maker) -> Sample | None:
    rank = m.pick(1, 2, 2, 3)
    x = m.array((m.pick(1, 2), 3, *(int(m.pick(5, 7, 17)) for _ in range(rank))))
    kernel = [int(m.pick(2, 3)) for _ in range(rank)]
    attrs = spatial(m, rank)
    attrs["pads"] = [min(p, 1) for p in attrs["pads"]] if "pads" in attrs else [0] * (2 * rank)
    attrs["ceil_mode"] = m.pick(0, 1)
    if "auto_pad" in attrs:
        attrs.pop("pads")
        attrs["ceil_mode"] = 0
    op = m.pick("MaxPool", "AveragePool", "LpPool")
    if op == "AveragePool":
        attrs["count_include_pad"] = m.pick(0, 1)
    if op == "LpPool":
        attrs.pop("dilations", None)
    if op == "MaxPool":
        return m.sample(op, [x], count=m.pick(1, 2), opset=19, kernel_shape=kernel, **attrs)
    return m.sample(op, [x], opset=19, kernel_shape=kernel, **attrs)


def resize(m: Maker) -> Sample | None:
    x = m.array((1, 2, int(m.pick(3, 7)), int(m.pick(5, 8))))
    mode = m.pick("nearest", "linear", "cubic")
    how = m.pick("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": how}
    if mode == "nearest":
        attrs["nearest_mode"] = m.pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if m.rng.random() < 0.5:
        sizes = np.array([1, 2, *(int(v) for v in m.rng.integers(2, 20, 2))], np.int64)
        return m.sample("Resize", [x], {3: sizes}, **attrs)
    return m.sample("Resize", [x], {2: np.array([1, 1, m.pick(2, 3), m.pick(2, 0.5)], np.float32)}, **attrs)


def normal(m: Maker) -> Sample | None:
    x = m.array((2, int(m.pick(2, 4, 6)), int(m.pick(3, 17)), 5))
    c = x.shape[1]
    op = m.pick(
        "Softmax",
        "LogSoftmax",
        "LayerNormalization",
        "InstanceNormalization",
        "BatchNormalization",
        "LRN",
        "LpNormalization",
        "Softmax",
    )
    if op in ("Softmax", "LogSoftmax"):
        return m.sample(op, [x], axis=int(m.rng.integers(-4, 4)), opset=m.pick(11, 13))
    if op == "LayerNormalization":
        axis = m.pick(-1, -2, 2)
        return m.sample(op, [x, m.array(x.shape[axis:]), m.array(x.shape[axis:])], axis=axis)
    if op == "InstanceNormalization":
        return m.sample(op, [x, m.array((c,)), m.array((c,))])
    if op == "BatchNormalization":
        return m.sample(op, [x, m.array((c,)), m.array((c,)), m.array((c,)), np.abs(m.array((c,)))])
    return (
        m.sample(op, [x], size=m.pick(1, 3, 5))
        if op == "LRN"
        else m.sample(op, [x], axis=m.pick(1, -1), p=m.pick(1, 2))
    )


def product(m: Maker) -> Sample | None:
    rows, depth, columns = m.shape(3)
    if m.rng.random() < 0.3:
        turned_a, turned_b = m.pick(0, 1), m.pick(0, 1)
        a, b = (
            m.array((depth, rows) if turned_a else (rows, depth)),
            m.array((columns, depth) if turned_b else (depth, columns)),
        )
        bias = m.array(m.pick((columns,), (rows, 1), (1, columns), (rows, columns)))
        return m.sample(
            "Gemm", [a, b, bias], transA=turned_a, transB=turned_b, alpha=m.pick(1.0, 0.5), beta=m.pick(1.0, 2.0)
        )
    if m.rng.random() < 0.3:
        equation = m.pick("bij,bjk->bik", "bhid,bhjd->bhij", "ij->ji", "bii->bi", "bij->b", "i,j->ij")
        sizes = {c: int(m.pick(*SIZES)) for c in "bhijkd"}
        return m.sample(
            "Einsum",
            [m.array(tuple(sizes[c] for c in p)) for p in equation.split("->")[0].split(",")],
            equation=equation,
        )
    lead = m.shape(m.pick(0, 1, 2))
    return m.sample("MatMul", [m.array((*lead, rows, depth)), m.array((*m.pick(lead, ()), depth, columns))])
