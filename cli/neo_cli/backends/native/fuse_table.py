"""Elementwise steps from one 8-bit tensor to another as a table of 256 bytes, whatever lies between them.

SiLU of quantised networks is such a chain (sigmoid, product with its own input), and so is every part of a QLinearConcat
that has a scale of its own. ONNX Runtime computes the table, so that its numbers are ONNX Runtime's.
"""

from __future__ import annotations

import numpy as np
from onnx import helper, numpy_helper

from neo_cli.backends.native.fuse_quantised import EIGHT, Scaled, number_of, scaled
from neo_cli.backends.native.ir import Node, Value
from neo_cli.backends.native.rewrite import Rewriter

TABLE = "fast.QTable"
MICROSOFT = "com.microsoft"
DEPTH = 12  # nodes of a chain at most
# Operators whose every element depends on the same element of their inputs alone.
ELEMENTWISE = {
    *((MICROSOFT, op) for op in ("QLinearSigmoid", "QLinearLeakyRelu", "QLinearMul", "QLinearAdd")),
    *(("", op) for op in (
        "DequantizeLinear", "QuantizeLinear", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Relu", "LeakyRelu", "Elu",
        "Erf", "Clip", "Mul", "Add", "Sub", "Div", "Gelu", "Mish", "Softplus", "Exp", "Abs", "Neg", "Sqrt",
    )),
}  # fmt: skip
ZEROS = {"QLinearSigmoid": 4, "QLinearLeakyRelu": 4, "QLinearMul": 7, "QLinearAdd": 7, "QuantizeLinear": 2}


def tables(r: Rewriter) -> None:
    """Every such chain, the longest first."""
    r.graph.prune()
    r.refresh()
    for end in reversed(list(r.graph.nodes)):
        if end.op not in ZEROS or end.outputs[0].dtype not in EIGHT or not any(n is end for n in r.graph.nodes):
            continue
        zero = number_of(end, ZEROS[end.op], 0)
        root, chain = _chain(r, end)
        if root is None or zero is None:
            continue
        table = _evaluated(root, chain)
        if table is not None:
            origin = tuple(name for node in chain for name in node.origin)
            made = Node(
                TABLE,
                end.name,
                [root],
                end.outputs,
                {"table": table, "zero": int(zero), "of": root.dtype, "to": end.outputs[0].dtype},
                origin=origin,
            )
            r.replace([end], made)
    r.graph.prune()
    r.refresh()


def _chain(r: Rewriter, end: Node) -> tuple[Value | None, list[Node]]:
    """The one 8-bit tensor that `end` is a function of, and the nodes from there on; (None, []) when there is none."""
    chain: list[Node] = []
    roots: dict[Value, None] = {}
    wanted, shape = [end], end.outputs[0].shape
    while wanted:
        node = wanted.pop()
        if any(node is other for other in chain):
            continue
        chain.append(node)
        for value in node.inputs:
            if value is None or (value.const is not None and value.size == 1):
                continue
            maker = r.makers.get(value)
            if value.const is not None or value.shape != shape or len(chain) > DEPTH:
                return None, []
            if maker is not None and (maker.domain, maker.op) in ELEMENTWISE and not _entry(r, maker):
                wanted.append(maker)
            else:
                roots[value] = None
    root = next(iter(roots)) if len(roots) == 1 else None
    order = {id(node): k for k, node in enumerate(r.graph.nodes)}
    return (root if root is not None and root.dtype in EIGHT else None), sorted(chain, key=lambda n: order[id(n)])


def _entry(r: Rewriter, node: Node) -> bool:
    """A QuantizeLinear of a tensor that no such operator makes: what it makes may be a root."""
    maker = r.makers.get(node.inputs[0]) if node.inputs[0] is not None else None
    return node.op == "QuantizeLinear" and (maker is None or (maker.domain, maker.op) not in ELEMENTWISE)


def _evaluated(root: Value, chain: list[Node]) -> np.ndarray | None:
    """The results for 0 to 255 as bytes; None when ONNX Runtime has no such operator."""
    import onnxruntime as ort

    kinds = {name: helper.np_dtype_to_tensor_dtype(np.dtype(name)) for name in (*EIGHT, "float32")}
    values = {v.name: v for node in chain for v in node.inputs if v is not None and v.const is not None}
    nodes = [
        helper.make_node(
            n.op, [v.name if v is not None else "" for v in n.inputs], [v.name for v in n.outputs], n.name, domain=n.domain,
            **n.attrs,
        )
        for n in chain
    ]  # fmt: skip
    y = chain[-1].outputs[0]
    graph = helper.make_graph(
        nodes,
        "table",
        [helper.make_tensor_value_info(root.name, kinds[root.dtype], [256])],
        [helper.make_tensor_value_info(y.name, kinds[y.dtype], [256])],
        [numpy_helper.from_array(np.asarray(v.const), name) for name, v in values.items()],
    )
    version = max([n.version for n in chain if not n.domain], default=17)
    opsets = [helper.make_opsetid("", version), helper.make_opsetid(MICROSOFT, 1)]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8 if version < 19 else 10)
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {root.name: np.arange(256, dtype=np.uint8).view(root.dtype)})
    except Exception:  # the plain rules compute it then
        return None
    return np.asarray(found).view(np.uint8)


def concatenations(r: Rewriter) -> None:
    """QLinearConcat as a Concat of parts that have one scale; a part of another scale goes through a table."""
    for node in [n for n in r.graph.nodes if n.op == "QLinearConcat" and n.domain == MICROSOFT]:
        own, zero = number_of(node, 0), number_of(node, 1, 0)
        found = [scaled(node, k, k + 1, k + 2) for k in range(2, len(node.inputs), 3)]
        if own is None or zero is None or any(p is None or p.value.const is not None for p in found):
            continue
        parts: list[Value | None] = []
        before: list[Node] = []
        for part in (p for p in found if p is not None):
            x = part.value
            if (part.scale, part.zero) != (own, zero):
                y = Value(f"{x.name}.{node.name}", x.dtype, x.shape)
                attrs = {"table": _rescaled(part, own, zero), "zero": int(zero), "of": x.dtype, "to": x.dtype}
                before.append(Node(TABLE, y.name, [x], [y], attrs, origin=node.origin))
                x = y
            parts.append(x)
        attrs = {"axis": node.attrs["axis"], "zero": int(zero)}
        made = Node("Concat", node.name, parts, node.outputs, attrs, "", 13, node.origin)
        r.replace([node], made)
        place = next(i for i, n in enumerate(r.graph.nodes) if n is made)
        r.graph.nodes[place:place] = before
        r.refresh()


def _rescaled(part: Scaled, scale: float, zero: float) -> np.ndarray:
    """What the numbers of one scale are in another, as ops/quantised_nets.py computes it."""
    levels = np.arange(256, dtype=np.uint8).view(part.value.dtype).astype(np.float32)
    info = np.iinfo(part.value.dtype)
    value = (levels - np.float32(part.zero)) * np.float32(part.scale) / np.float32(scale)
    return np.clip(np.rint(value) + np.float32(zero), info.min, info.max).astype(part.value.dtype).view(np.uint8)
