"""Which values an input may sensibly take, read from what its graph does with it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from neo_cli.model import proto
from neo_cli.model.model import Tensor

Limits = tuple["np.ndarray | float", "np.ndarray | float"]  # lowest and highest, alike or one for each column
_SAME = {"Cast", "Identity"}  # the values and their places stay
_MOVES = {
    "Unsqueeze",
    "Squeeze",
    "Reshape",
    "Flatten",
    "Transpose",
    "Expand",
    "Slice",
    "Concat",
    "Split",
    "Tile",
    "Clip",
}
_INDEXED = {"Gather", "GatherElements", "ScatterElements", "OneHot", "GatherND"}


def allowed(graph: onnx.GraphProto, tensor: Tensor) -> Limits | None:
    """The limits that Gathers, one-hot encodings and trees set to an input's values; None where nothing does."""
    sizes = {t.name: tuple(t.dims) for t in graph.initializer}
    sizes |= {v.name: proto.dims(v) for v in (*graph.value_info, *graph.input)}
    same, reached = {tensor.name}, {tensor.name}
    highest: list[int] = []
    cuts: list[tuple[int | None, float]] = []  # (column, threshold)
    for node in graph.node:
        used = reached & set(node.input)
        if not used:
            continue
        if node.op_type in _INDEXED:
            highest += _last_index(node, used, sizes, graph)
        elif node.op_type.startswith("TreeEnsemble"):
            columns = node.input[0] in same
            cuts += [(column if columns else None, value) for column, value in _thresholds(node)]
        if node.op_type in _SAME and node.input[0] in same:
            same |= set(node.output)
        if node.op_type in _SAME | _MOVES or (node.op_type == "Gather" and node.input[0] in used):
            reached |= set(node.output)
    if highest:
        return 0, min(highest)
    return _around(cuts, tensor) if cuts else None


def _around(cuts: list[tuple[int | None, float]], tensor: Tensor) -> Limits:
    """A tenth more than from the lowest to the highest threshold, column by column where columns are known."""
    everywhere = [value for _, value in cuts]
    low, high = _wider(everywhere)
    width = tensor.shape[-1] if len(tensor.shape) == 2 else 0
    if width < 1 or any(column is None or column >= width for column, _ in cuts):
        return low, high
    lows, highs = np.full(width, -1.0), np.full(width, 1.0)
    by_column: dict[int, list[float]] = {}
    for column, value in cuts:
        by_column.setdefault(int(column or 0), []).append(value)
    for column, values in by_column.items():
        lows[column], highs[column] = _wider(values)
    return lows, highs


def _wider(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or max(abs(high), 1.0) * 0.5
    return low - margin, high + margin


def _last_index(
    node: onnx.NodeProto, used: set[str], sizes: dict[str, tuple[int, ...]], graph: onnx.GraphProto
) -> list[int]:
    """The largest index that `node` can look up, when it is the input that it looks up with."""
    if len(node.input) < 2:
        return []
    if node.op_type == "OneHot":
        depth = proto.constants(graph).get(node.input[1])
        return [int(proto.array(depth).reshape(-1)[0]) - 1] if node.input[0] in used and depth is not None else []
    shape = sizes.get(node.input[0], ())
    if node.input[1] not in used or not shape:
        return []
    limit = min(shape) if node.op_type == "GatherND" else shape[proto.attributes(node).get("axis", 0)]
    return [limit - 1] if limit > 0 else []


def _thresholds(node: onnx.NodeProto) -> list[tuple[int, float]]:
    """(column, threshold) of every inner node of a tree ensemble, in either of ONNX's forms."""
    found = proto.attributes(node)
    values: Any = next((found[k] for k in ("nodes_values", "nodes_values_as_tensor", "nodes_splits") if k in found), [])
    modes = found.get("nodes_modes", [])
    values = proto.array(values).tolist() if isinstance(values, onnx.TensorProto) else values
    modes = [] if isinstance(modes, onnx.TensorProto) else modes  # the newer form keeps leaves elsewhere
    columns = found.get("nodes_featureids", [])
    inner = [mode != b"LEAF" for mode in modes] or [True] * len(values)
    return [(c, float(v)) for c, v, keep in zip(columns, values, inner) if keep and np.isfinite(v)]


def known_words(graph: onnx.GraphProto) -> list[str]:
    """Strings the graph knows, and one it does not."""
    found: list[str] = []
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("keys_strings", "cats_strings", "classlabels_strings", "stopwords"):
                found += [s.decode() for s in attribute.strings]
    return [*found[:1000], "unseen"]
