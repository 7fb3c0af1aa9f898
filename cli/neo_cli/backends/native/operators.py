"""OPERATORS: what each operator becomes in C. A rule gets a node and a Context and returns the statements of one function.

A rule for a plain operator sees row-major buffers of static shape and writes:

    @operator("Relu")
    def relu(node: Node, ctx: Context) -> str:
        return f"SPLIT({node.outputs[0].size}); for (idx i = begin; i < end; i++) y0[i] = x0[i] > 0 ? x0[i] : 0;"

What the statements may use:
  x0, x1, ...   const T *restrict: the inputs (constants too: those that are named in the text go into the weights)
  y0, y1, ...   T *restrict: the outputs; T is C_TYPES[dtype] (bool is uint8_t, 0 or 1). Outputs never overlap inputs
  idx           the signed index type (ptrdiff_t)
  tid, nt       this thread and how many there are: EVERY thread runs the statements
  SPLIT(n)      declares `const idx begin, end`: this thread's share of n equal pieces (once a block)
  BARRIER       waits for all threads; between two nodes there is always one
  PHASE;        on a line of its own: cuts the statements into steps, between which all threads wait; each piece sees
                x, y, k and s, but no other declarations. Where it can replace BARRIER, a late thread holds nobody up
  ctx.scratch(count, dtype)                 a pointer expression: memory for this node, shared by the threads
  ctx.scratch(count, dtype, private=True)   the same, a part for each thread
  ctx.constant(array)                       a pointer expression to an array made at compile time, 64-byte aligned
  ctx.include("plain_math.h")               kernels/plain_math.h is put before the functions, once
  ctx.declare(text)                         C at file level, put before the functions, once

`@operator("CumSum", serial=True)`: only thread 0 runs the statements. No libc, no malloc, no writable globals: memset,
memcpy and sqrt(f) builtins are there, other mathematics comes from the headers in kernels/.
A rule raises `ctx.refuse(node, "why")` for a form of its operator that it does not do. `node.inputs[i].const` is the
array of a constant input (axes, shapes); rules should demand it where the output's shape depends on it.
Rules whose name has a dot ("fast.Conv") belong to the compiler itself and may see blocked layouts.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from neo_cli.backends.native.ir import C_TYPES, Node
from neo_cli.base.errors import OperatorNotImplemented

if TYPE_CHECKING:
    from neo_cli.backends.native.cpus import Cpu

Rule = Callable[[Node, "Context"], str]


@dataclass(frozen=True)
class Operator:
    """A registered rule; `serial` code runs on thread 0 alone."""

    rule: Rule
    serial: bool = False


OPERATORS: dict[tuple[str, str], Operator] = {}


def operator(*names: str, domain: str = "", serial: bool = False) -> Callable[[Rule], Rule]:
    """Register the decorated rule for the operators `names` of `domain`; a second rule for one raises."""

    def register(rule: Rule) -> Rule:
        for name in names:
            if (domain, name) in OPERATORS:
                raise ValueError(f"the operator {domain}.{name} has two rules")
            OPERATORS[domain, name] = Operator(rule, serial)
        return rule

    return register


@functools.cache
def load() -> dict[tuple[str, str], Operator]:
    """The table with every module of ops/ and fast/ read in."""
    for package in ("ops", "fast"):
        room = importlib.import_module(f"neo_cli.backends.native.{package}")
        for module in pkgutil.iter_modules(room.__path__):
            importlib.import_module(f"{room.__name__}.{module.name}")
    return OPERATORS


def find(node: Node) -> Operator:
    """The rule for a node; OperatorNotImplemented names the operator and the node."""
    found = load().get((node.domain, node.op))
    if found is None:
        name = f"{node.domain}.{node.op}" if node.domain else node.op
        raise OperatorNotImplemented(f"The back end native has no operator {name} (node '{node.name}').")
    return found


@dataclass(frozen=True)
class Scratch:
    """A node's own memory: its C name, bytes (of one thread's part when `private`)."""

    name: str
    ctype: str
    bytes: int
    private: bool


@dataclass(frozen=True)
class Part:
    """A node inside a node: its function stands before that of the whole, which calls it by `name`."""

    name: str
    node: Node
    context: Context
    body: str


@dataclass
class Context:
    """What a rule may ask for besides its node; one for each node, `shared` fields for the whole library."""

    cpu: Cpu
    headers: dict[str, None] = field(default_factory=dict)  # ordered set
    declarations: dict[str, None] = field(default_factory=dict)
    macros: dict[str, None] = field(default_factory=dict)
    scratches: list[Scratch] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    step: int = 0
    inside: bool = False  # a part: the whole zeroes the borders
    prefix: str = "s"  # of the names of scratches

    def scratch(self, count: int, dtype: str = "float32", private: bool = False) -> str:
        name = f"{self.prefix}{len(self.scratches)}"
        size = 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
        self.scratches.append(Scratch(name, C_TYPES[dtype], max(1, count) * size, private))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array)
        return name

    def include(self, header: str) -> None:
        self.headers[header] = None

    def declare(self, text: str) -> None:
        self.declarations[text] = None

    def define(self, macro: str) -> None:
        """`#define macro` before all headers: a kernel file leaves out what nobody asks for."""
        self.macros[macro] = None

    def part(self, node: Node) -> str:
        """Lower a node as a part of this one; the name of its function."""
        context = Context(self.cpu, step=self.step, inside=True, prefix=f"s{len(self.parts)}_")
        name = f"n{self.step}_{len(self.parts)}_" + "".join(c if c.isalnum() else "_" for c in node.op)
        self.parts.append(Part(name, node, context, find(node).rule(node, context)))
        self.scratches += context.scratches  # planned with the whole's
        return name

    def refuse(self, node: Node, why: str) -> OperatorNotImplemented:
        return OperatorNotImplemented(f"The back end native does not do {node.op} so: {why} (node '{node.name}').")
