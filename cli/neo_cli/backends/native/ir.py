"""The compiler's own graph: values of known type and shape, nodes in the order in which they run.

Everything is static: a Value's shape is numbers, a constant's array is there to be read. Stages (importer, fusion,
layout) rewrite the graph in place; `text` is the form NEO_SAVE_TEMPS keeps of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

C_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "uint16_t",  # bits: not every target has the type
    "bfloat16": "uint16_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "uint64": "uint64_t",
    "bool": "uint8_t",  # 0 or 1
    **dict.fromkeys(("int4", "int2"), "int8_t"),  # one byte an element
    **dict.fromkeys(("uint4", "uint2", "float4_e2m1fn"), "uint8_t"),
    **dict.fromkeys(("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"), "uint8_t"),
    "float8_e8m0fnu": "uint8_t",  # powers of two
}


@dataclass(frozen=True)
class Layout:
    """How a value lies in memory. Row-major when `block` is 0.

    Blocked: the channels (axis 1 of images [N, C, spatial...]; the last axis when `last`) are cut into blocks of `block`,
    the channels of one pixel and block lie together: [N][C/block][rows + border][columns + border][block], padded with
    zero channels. `border` is zeros around the image (top, left, bottom, right), so that kernels need no edge cases.
    Volumes [N, C, depth, H, W] are [N][C/block][slices][rows][columns][block]; `slices` is how many of zeros lie before
    and behind.
    """

    block: int = 0
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    last: bool = False
    slices: tuple[int, int] = (0, 0)
    fill: int = 0  # what the border holds: among the whole numbers of a quantised tensor, the one that stands for zero

    @property
    def bordered(self) -> bool:
        return any(self.border) or any(self.slices)

    def __str__(self) -> str:
        edge = f"+{self.border}" if any(self.border) else ""
        edge += f"+{self.slices}" if any(self.slices) else ""
        edge += f"={self.fill}" if self.fill else ""
        return f"{'last' if self.last else 'c'}{self.block}{edge}" if self.block else f"row{edge}"


ROW = Layout()


@dataclass(frozen=True, eq=False)
class Levels:
    """The whole numbers that a constant was dequantised from: (array - zero) * scale, which may vary along `axis`."""

    array: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    axis: int


@dataclass(eq=False)
class Value:
    """A tensor: what a node reads or makes. `const` is its array when known at compile time.

    `shape` is the ONNX shape whatever the layout; `bytes` is what its buffer takes in its layout. `home` and `offset`
    place the value inside another one's buffer (a slice of a concatenation): it then has no buffer of its own.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    const: np.ndarray | None = None
    layout: Layout = ROW
    home: Value | None = None
    offset: int = 0  # bytes from the start of `home`
    levels: Levels | None = None

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def ctype(self) -> str:
        return C_TYPES[self.dtype]

    @property
    def array(self) -> np.ndarray:
        """The numbers of a constant, where a rule before has seen to it that this is one."""
        assert self.const is not None, f"{self.name} is no constant"
        return self.const

    @property
    def itemsize(self) -> int:
        return 2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize

    @property
    def volume(self) -> bool:
        """[N, C, depth..., H, W]: kernels see one sample at a time, its slices as images."""
        return len(self.shape) > 4 and not self.layout.last

    @property
    def samples(self) -> int:
        """How many times kernels are called: once for all images, once for each volume."""
        return self.shape[0] if self.volume else 1

    @property
    def image(self) -> tuple[int, int, int, int]:
        """(images, C, H, W) as kernels see it; 1-D images have H 1, the slices of a volume are images; matrices are N 1, H 1."""
        shape = self.shape
        if self.layout.last:
            return 1, shape[-1] if shape else 1, 1, self.size // max(1, shape[-1] if shape else 1)
        if len(shape) < 2:
            raise ValueError(f"{self.name} {shape} is no image")
        if len(shape) == 2:
            return shape[0], shape[1], 1, 1
        if self.volume:
            return math.prod(shape[2:-2]), shape[1], shape[-2], shape[-1]
        return shape[0], shape[1], math.prod(shape[2:-1]), shape[-1]

    @property
    def pitch(self) -> tuple[int, int, int]:
        """Elements from one image, block (channel when row-major) and row to the next, in the value's layout."""
        n, c, h, w = self.image
        top, left, bottom, right = self.layout.border
        block = max(1, self.layout.block)
        row = (w + left + right) * block
        plane = (h + top + bottom) * row
        if self.volume:
            return plane, (n + sum(self.layout.slices)) * plane, row
        return -(-c // block) * plane, plane, row

    @property
    def sample(self) -> int:
        """Elements from one call's images to the next one's."""
        n, c, _, _ = self.image
        whole, plane, _ = self.pitch
        return -(-c // max(1, self.layout.block)) * plane if self.volume else n * whole

    @property
    def first(self) -> int:
        """The element where the pixel (0, 0) of the first block lies."""
        top, left, _, _ = self.layout.border
        whole, _, row = self.pitch
        return self.layout.slices[0] * whole + top * row + left * max(1, self.layout.block)

    @property
    def bytes(self) -> int:
        if not self.layout.block and not self.layout.bordered:
            return self.size * self.itemsize
        return self.samples * self.sample * self.itemsize

    def __str__(self) -> str:
        sort = f"{self.dtype}[{'x'.join(map(str, self.shape))}]"
        return f"{self.name}:{sort}" + (":const" if self.const is not None else f":{self.layout}")


@dataclass(eq=False)
class Node:
    """One operation. `op` is ONNX's name, or one of ours with a dot ("fast.Conv"); an omitted input is None.

    `version` is the opset version of the node's domain; `origin` names the ONNX nodes that went into it.
    """

    op: str
    name: str
    inputs: list[Value | None]
    outputs: list[Value]
    attrs: dict[str, Any] = field(default_factory=dict)
    domain: str = ""
    version: int = 0
    origin: tuple[str, ...] = ()

    def __str__(self) -> str:
        made = ", ".join(str(v) for v in self.outputs)
        used = ", ".join("-" if v is None else str(v) for v in self.inputs)
        parts = self.attrs.get("parts", ())  # a band's nodes: a line each
        shown = {k: _brief(v) for k, v in self.attrs.items() if k != "parts"}
        told = " ".join(f"{k}={v}" for k, v in shown.items())
        line = f"{made} = {self.domain + '.' if self.domain else ''}{self.op}({used}) {told}  # {self.name}".rstrip()
        return "\n".join([line, *(f"    {part}" for part in parts)])


@dataclass(eq=False)
class Graph:
    """Nodes in running order; `inputs` and `outputs` are the model's, in its order."""

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]

    def values(self) -> Iterator[Value]:
        """Every value once, in the order in which it comes to be."""
        seen: set[int] = set()
        for group in [self.inputs, *(list(filter(None, n.inputs)) + n.outputs for n in self.nodes), self.outputs]:
            for value in group:
                if id(value) not in seen:
                    seen.add(id(value))
                    yield value

    def producers(self) -> dict[Value, Node]:
        return {value: node for node in self.nodes for value in node.outputs}

    def users(self) -> dict[Value, list[Node]]:
        """The nodes that read each value, or a view of it; a node that reads it twice stands there once."""
        found: dict[Value, list[Node]] = {}
        for node in self.nodes:
            read: dict[Value, None] = {}
            for value in node.inputs:
                while value is not None:
                    read[value], value = None, value.home
            for value in read:
                found.setdefault(value, []).append(node)
        return found

    def prune(self) -> None:
        """Drop the nodes whose results nobody reads."""
        wanted = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if any(v in wanted for v in node.outputs):
                kept.append(node)
                for value in node.inputs:
                    while value is not None:  # a view needs what it looks at
                        wanted.add(value)
                        value = value.home
        self.nodes = kept[::-1]

    def text(self) -> str:
        head = f"graph {self.name}({', '.join(map(str, self.inputs))})"
        return "\n".join([head, *(f"  {n}" for n in self.nodes), f"  return {', '.join(map(str, self.outputs))}", ""])


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{list(value.shape)}"
    if isinstance(value, Graph):
        return f"graph({len(value.nodes)} nodes)"
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
