"""What was chosen for each convolution and product, counted for the job's report."""

from __future__ import annotations

from collections import Counter

from neo_cli.backends.native.fast.conv import depthwise_fits
from neo_cli.backends.native.ir import Graph, Node

PLAIN = (
    "Conv",
    "ConvTranspose",
    "MatMul",
    "Gemm",
    "ConvInteger",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
)


def told(graph: Graph) -> str:
    """ "70 convolutions and products: 40 direct, 17 depthwise, 13 Winograd F(4x4)"; empty when there are none."""
    nodes = [part for node in graph.nodes for part in node.attrs.get("parts", [node])]
    counts = Counter(kind for kind in map(_kind, nodes) if kind)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return f"{counts.total()} convolutions and products: {kinds}" if counts else ""


def _kind(node: Node) -> str:
    if node.op == "fast.Winograd":
        return f"Winograd F({node.attrs['m']}x{node.attrs['m']})"
    if node.op == "fast.QConv":
        return "of 8-bit integers"
    if node.op == "fast.Conv":
        x, weights = node.inputs[0], node.inputs[1]
        assert x is not None and weights is not None and weights.const is not None
        if node.attrs.get("halves"):
            return "direct in bfloat16"
        return "depthwise" if depthwise_fits(weights.const, node.attrs["group"], x) else "direct"
    return "row by row" if node.op in PLAIN else ""
