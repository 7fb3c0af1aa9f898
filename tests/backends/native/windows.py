"""Random convolutions, plain and transposed, in one to three dimensions: many of odd sizes in one graph, one build."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest

from backends.graphs import error, feeds
from backends.native.test_networks import runs
from models.builders import Graph
from neo_cli.runtime.engines.native import Engine

WIDTHS = ["LINUX_X86_64", pytest.param("ml_m4", marks=pytest.mark.long), "ml_c5"]  # 4, 8 and 16 lanes
ENDS = ("", "r", "t", "n", "nr", "a", "ar", "ta")  # relu, tanh, batch norm, sum with another input: in that order


def agree(
    start: Callable[..., Any],
    target: str,
    net: onnx.ModelProto,
    tolerance: float,
    told: Mapping[str, object] | None = None,
) -> Engine:
    """Each output of `net`, built for two threads of `target`, is ONNX Runtime's; `told` is said of one that is not."""
    if not runs(target):
        pytest.skip(f"this machine does not run {target}'s code")
    model, engine = start(net, threads=2, target=target)
    found, wanted = engine.run(feeds(model)), model.oracle(feeds(model))
    for name in wanted:
        assert error({name: found[name]}, {name: wanted[name]}) < tolerance, (told or {}).get(name, name)
    assert isinstance(engine, Engine)
    return engine


@dataclass
class Case:
    """One convolution and what follows it; `pads` are before and behind each axis."""

    transposed: bool
    channels: tuple[int, int]
    batch: int
    groups: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    ends: str = ""
    attrs: dict[str, list[int]] = field(default_factory=dict)

    @property
    def out(self) -> tuple[int, ...]:
        rank, found = len(self.size), []
        for i in range(rank):
            step, gap = self.attrs["strides"][i], self.attrs["dilations"][i]
            pads, reach = self.attrs["pads"][i] + self.attrs["pads"][i + rank], (self.kernel[i] - 1) * gap + 1
            if self.transposed:
                extra = self.attrs["output_padding"][i]
                found.append((self.size[i] - 1) * step + extra + reach - pads)
            else:
                found.append((self.size[i] + pads - reach) // step + 1)
        return tuple(found)


def draw(random: np.random.Generator, rank: int, transposed: bool, largest: int = 12) -> Case:
    """A case whose output has pixels."""
    while True:
        groups = int(random.choice([1, 1, 1, 2, 3, 0]))
        cin, cout = (int(n) for n in random.integers(1, 37, 2))
        if groups:
            cin, cout = cin * groups, cout * groups
        else:  # depthwise
            groups = cout = cin
        kernel = tuple(int(k) for k in random.choice([1, 2, 3, 4, 5] if rank < 3 else [1, 2, 3], rank))
        steps = [int(s) for s in random.choice([1, 2, 3] if transposed else [1, 1, 2], rank)]
        attrs = {
            "strides": steps,
            "dilations": [int(d) for d in random.choice([1, 1, 1, 2], rank)],
            "pads": [int(p) for p in random.integers(0, 3, 2 * rank)],
        }
        if transposed:
            attrs["output_padding"] = [int(random.integers(0, s)) for s in steps]
        size = tuple(int(n) for n in random.integers(1, largest, rank))
        case = Case(
            transposed,
            (cin, cout),
            int(random.choice([1, 1, 2])),
            groups,
            size,
            kernel,
            str(random.choice(ENDS)),
            attrs,
        )
        if all(0 < n <= 40 for n in case.out):
            return case


def graph(cases: list[Case], after: bool = True) -> onnx.ModelProto:
    """The cases side by side; `after` puts a convolution behind each, so that its output needs a border."""
    g, outputs = Graph("windows", 11), {}
    for index, case in enumerate(cases):
        cin, cout = case.channels
        x = g.input(f"x{index}", [case.batch, cin, *case.size])
        y = _convolution(g, x, case)
        shape = [case.batch, cout, *case.out]
        if "n" in case.ends:
            y = g.norm(y, cout)
        if "r" in case.ends:
            y = g.op("Relu", y)
        if "t" in case.ends:
            y = g.op("Tanh", y)
        if "a" in case.ends:
            y = g.op("Add", y, g.input(f"z{index}", shape))
        if after:
            three = [3] * len(case.size)
            w = g.constant(g.weights(5, cout, *three, scale=math.sqrt(1 / cout / 3 ** len(three))))
            y, shape[1] = g.op("Conv", y, w, kernel_shape=three, pads=[1] * 2 * len(three)), 5
        outputs[f"y{index}"] = (y, shape)
    return g.finish(outputs)


def _convolution(g: Graph, x: str, case: Case) -> str:
    cin, cout = case.channels
    first, second = (cin, cout // case.groups) if case.transposed else (cout, cin // case.groups)
    taps = math.prod(case.kernel) * cin // case.groups
    w = g.constant(g.weights(first, second, *case.kernel, scale=math.sqrt(2 / taps)))
    b = [g.constant(g.weights(cout, scale=0.3), "b")] if g.random.random() < 0.7 else []
    op = "ConvTranspose" if case.transposed else "Conv"
    return g.op(op, x, w, *b, kernel_shape=list(case.kernel), group=case.groups, **case.attrs)
