"""MXNet's symbol.json as nodes with typed attributes."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_SYMBOL = 64 * 2**20  # the largest gluon network has 2 MB
MAX_NODES = 200_000


class FormatError(ValueError):
    """A file that MXNet itself would not load; the text says why."""


# Names that older MXNet versions gave to the operators of today.
ALIASES = {
    "_Plus": "elemwise_add", "_plus": "elemwise_add", "_add": "elemwise_add", "_grad_add": "elemwise_add", "_Minus": "elemwise_sub",
    "_minus": "elemwise_sub", "_sub": "elemwise_sub", "_Mul": "elemwise_mul", "_mul": "elemwise_mul", "_Div": "elemwise_div",
    "_div": "elemwise_div", "_PlusScalar": "_plus_scalar", "_MinusScalar": "_minus_scalar", "_RMinusScalar": "_rminus_scalar",
    "_MulScalar": "_mul_scalar", "_DivScalar": "_div_scalar", "_RDivScalar": "_rdiv_scalar", "_PowerScalar": "_power_scalar",
    "_MaximumScalar": "_maximum_scalar", "_MinimumScalar": "_minimum_scalar", "broadcast_plus": "broadcast_add",
    "broadcast_minus": "broadcast_sub", "ElementWiseSum": "add_n", "_sum": "sum", "SwapAxis": "swapaxes", "Flatten": "flatten",
    "Concat": "concat", "pad": "Pad", "split": "SliceChannel", "Cast": "cast", "crop": "slice", "stop_gradient": "BlockGrad",
    "Reshape": "reshape", "BatchNorm_v1": "BatchNorm", "CuDNNBatchNorm": "BatchNorm", "_contrib_SyncBatchNorm": "BatchNorm",
    "Pooling_v1": "Pooling", "Convolution_v1": "Convolution", "Softmax": "SoftmaxOutput", "identity": "_copy", "make_loss": "MakeLoss",
    "max_axis": "max", "min_axis": "min", "sum_axis": "sum", "broadcast_axes": "broadcast_axis", "_power": "broadcast_power",
    "_maximum": "broadcast_maximum", "_minimum": "broadcast_minimum", "_Maximum": "broadcast_maximum", "_Minimum": "broadcast_minimum",
}  # fmt: skip
LABELLED = ("SoftmaxOutput", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput", "SVMOutput")


@dataclass(frozen=True)
class Node:
    """One operator (or "null", a variable) with its inputs as (node, output) pairs."""

    op: str
    name: str
    inputs: tuple[tuple[int, int], ...]
    values: dict[str, str]

    def has(self, key: str) -> bool:
        return self.values.get(key, "None") not in ("None", "")

    def text(self, key: str, default: str = "") -> str:
        return self.values.get(key, default)

    def flag(self, key: str, default: bool = False) -> bool:
        return self.values.get(key, str(default)).lower() in ("true", "1")

    def number(self, key: str, default: float = 0.0) -> float:
        try:
            return float(self.values[key]) if self.has(key) else default
        except ValueError:
            raise FormatError(f"{self.op} '{self.name}': {key}={self.values[key]} is not a number.") from None

    def whole(self, key: str, default: int = 0) -> int:
        value = self.number(key, default)
        if value != value or abs(value) > 2**31:
            raise FormatError(f"{self.op} '{self.name}': {key}={self.values[key]} is not an integer.")
        return int(value)

    def wholes(self, key: str, default: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """A tuple of integers (or None); a bare integer is a tuple of one."""
        if not self.has(key):
            return default
        text = self.values[key][:10_000].replace("L", "")  # Python 2 wrote (2L, 2L)
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            value = "?"
        items = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not all(v is None or (isinstance(v, int) and abs(v) <= 2**31) for v in items):
            raise FormatError(f"{self.op} '{self.name}': {key}={self.values[key][:60]} is not a tuple of integers.")
        return items


@dataclass(frozen=True)
class Symbol:
    """A graph: nodes in an order in which every input comes first, and the outputs."""

    nodes: tuple[Node, ...]
    heads: tuple[tuple[int, int], ...]
    version: str

    def variables(self) -> list[Node]:
        return [n for n in self.nodes if n.op == "null"]

    def labels(self) -> set[str]:
        """Variables that only a loss layer reads, as the label: they play no part in inference."""
        read: dict[str, set[bool]] = {}
        for node in self.nodes:
            for position, (index, _) in enumerate(node.inputs):
                if self.nodes[index].op == "null":
                    read.setdefault(self.nodes[index].name, set()).add(node.op in LABELLED and position == 1)
        return {name for name, uses in read.items() if uses == {True}}

    def used(self) -> list[bool]:
        """Which nodes the outputs depend on."""
        used = [False] * len(self.nodes)
        for index, _ in self.heads:
            used[index] = True
        for index in range(len(self.nodes) - 1, -1, -1):
            if used[index]:
                for position, (source, _) in enumerate(self.nodes[index].inputs):
                    if not (self.nodes[index].op in LABELLED and position == 1):
                        used[source] = True
        return used

    def names(self) -> list[str]:
        """The outputs' names as MXNet lists them, made unique."""
        found: list[str] = []
        for index, output in self.heads:
            node = self.nodes[index]
            several = sum(1 for i, _ in self.heads if i == index) > 1
            name = node.name if node.op == "null" else f"{node.name}_output" + (str(output) if several else "")
            while name in found:
                name += "_"
            found.append(name)
        return found


def read_symbol(path: Path) -> Symbol:
    if path.stat().st_size > MAX_SYMBOL:
        raise FormatError(f"{path.name} is larger than {MAX_SYMBOL // 2**20} MiB.")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is not JSON: {str(error)[:200]}") from None
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list) or not isinstance(data.get("heads"), list):
        raise FormatError(f"{path.name} has no 'nodes' and 'heads'; it is no MXNet symbol.")
    if len(data["nodes"]) > MAX_NODES:
        raise FormatError(f"{path.name} has more than {MAX_NODES} nodes.")
    nodes = tuple(_node(path.name, index, item) for index, item in enumerate(data["nodes"]))
    heads = tuple(_edge(path.name, "heads", item, len(nodes)) for item in data["heads"])
    if not heads:
        raise FormatError(f"{path.name} has no outputs.")
    return Symbol(nodes, heads, _version(data))


def _node(file: str, index: int, item: Any) -> Node:
    if not isinstance(item, dict) or not isinstance(item.get("op"), str) or not isinstance(item.get("name"), str):
        raise FormatError(f"{file}: node {index} has no 'op' and 'name'.")
    values: dict[str, str] = {}
    for key in ("param", "attr", "attrs"):  # MXNet before 0.9, before 1.0, and since
        part = item.get(key) or {}
        if not isinstance(part, dict):
            raise FormatError(f"{file}: the attributes of node '{item['name']}' are no dictionary.")
        values.update({k: str(v) for k, v in part.items()})
    inputs = item.get("inputs") or []
    if not isinstance(inputs, list):
        raise FormatError(f"{file}: the inputs of node '{item['name']}' are no list.")
    edges = tuple(_edge(file, f"node '{item['name']}'", edge, index) for edge in inputs)
    op = str(item["op"])
    return Node(ALIASES.get(op, op), str(item["name"]), edges, values)


def _edge(file: str, where: str, item: Any, limit: int) -> tuple[int, int]:
    whole = isinstance(item, list) and len(item) >= 2 and all(isinstance(v, int) for v in item[:2])
    if not whole or not 0 <= item[0] < limit or not 0 <= item[1] < 1000:
        raise FormatError(f"{file}: {where} refers to {str(item)[:40]}, which is no earlier node.")
    return item[0], item[1]


def _version(data: dict[str, Any]) -> str:
    attrs = data.get("attrs")
    pair = attrs.get("mxnet_version") if isinstance(attrs, dict) else None
    number = pair[1] if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int) else 0
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else "unknown"


def reshaped(node: Node, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that MXNet's Reshape gives: 0 keeps, -1 infers, -2 keeps the rest, -3 joins two, -4 splits one."""
    codes = list(node.wholes("shape") or node.wholes("target_shape"))
    reverse = node.flag("reverse")
    source = list(shape[::-1] if reverse else shape)
    codes = codes[::-1] if reverse else codes
    made: list[int] = []
    at = position = 0
    while position < len(codes):
        code = codes[position]
        position += 1
        if code == -4:
            if reverse:
                raise FormatError(f"Reshape '{node.name}': code -4 with reverse is not supported.")
            first, second = codes[position : position + 2]
            position += 2
            size = source[at]
            first = size // second if first == -1 else first
            made += [first, size // first if second == -1 else second]
        elif code == -3:
            made.append(source[at] * source[at + 1])
            at += 1
        elif code == -2:
            made += source[at:]
            at = len(source) - 1
        else:
            made.append(source[at] if code == 0 else code)
        at += 1
    total = 1
    for size in shape:
        total *= size
    if -1 in made:
        rest = 1
        for size in made:
            rest *= size if size != -1 else 1
        made[made.index(-1)] = total // max(rest, 1)
    return tuple(made[::-1] if reverse else made)
