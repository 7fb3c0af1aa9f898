"""The one Model that every front end returns and every back end reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx

Arrays = Mapping[str, "np.ndarray"]
Log = Callable[[str], None]


def quiet(_: str) -> None:
    """A Log that says nothing."""


@dataclass(frozen=True)
class Tensor:
    """A named input or output: numpy dtype name ("float32", "str") and shape; -1 is a free dimension."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def record(self) -> dict[str, Any]:
        """The form in which it stands in compiled.meta and meta/artifact.json."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


@dataclass(frozen=True)
class Source:
    """What a front end reads: the unpacked archive, and what the request said about it."""

    framework: str
    root: Path
    version: str | None = None  # FrameworkVersion, accepted and shown, never a reason to refuse
    options: Mapping[str, Any] = field(default_factory=dict)  # normalised CompilerOptions
    trusted: bool = False  # code-carrying formats may be loaded (sandboxed, or --trust-model)
    path: Path | None = None  # the model file or folder chosen by the front end
    inputs: tuple[Tensor, ...] = ()  # as pinned by the front end
    handle: Any = None  # the framework's live object (a torch module, a concrete function), for back ends that take it
    log: Log = quiet


@dataclass(frozen=True)
class Model:
    """An ONNX graph of static shapes (a free batch for trees), its named inputs and outputs, and the source.

    `graph` keeps tree ensembles as ai.onnx.ml nodes; lowering them is a pass.
    `oracle` runs the *source* with its own framework (ONNX Runtime for ONNX) on `{name: array}` and returns
    `{name: array}`; every compiled model is compared with it.
    `derived` is the DataInputConfig text when the request left it out.
    """

    graph: onnx.ModelProto
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    source: Source
    oracle: Callable[[Arrays], dict[str, np.ndarray]]
    derived: str | None = None
    samples: Path | None = None  # a samples.npz of the archive, used by the check

    def with_graph(self, graph: onnx.ModelProto) -> Model:
        return replace(self, graph=graph)
