"""How far a compiled model's outputs are from its source's, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neo_cli.model.model import Arrays, Tensor

ROWS = 4000  # rows of data-dependent outputs that are matched one by one


@dataclass(frozen=True)
class Gate:
    """What is near enough: the largest max|Δ|/max|ref|, the least cosine, the least share of equal discrete values."""

    error: float | None
    cosine: float | None
    agreement: float

    def record(self) -> dict[str, Any]:
        return asdict(self)


GATES = {
    "float32": Gate(error=1e-3, cosine=None, agreement=0.99),
    "bfloat16": Gate(error=5e-2, cosine=0.999, agreement=0.98),
    "float16": Gate(error=5e-2, cosine=0.999, agreement=0.98),
    "int8": Gate(error=None, cosine=0.99, agreement=0.95),
}
ORDER = ("float32", "float16", "bfloat16", "int8")  # from the strictest gate to the widest


def gate_for(source: str, build: str, override: float | None) -> Gate:
    """The gate of the lower of both precisions; CompilerOptions' `gate` bounds the error instead of it."""
    if override is not None:
        return Gate(error=override, cosine=None, agreement=min(0.99, 1 - override))
    return GATES[max(source, build, key=ORDER.index)]


@dataclass(frozen=True)
class Figures:
    """One output on one feed. `error` is max|Δ|/max|ref|; discrete outputs have `agreement` only."""

    error: float | None = None
    max_abs: float | None = None
    relative_to_std: float | None = None
    cosine: float | None = None
    top1: float | None = None
    agreement: float | None = None
    noise: float | None = None  # how far one-ulp changes of the inputs move the source itself, over max|ref|
    own: float | None = None  # the cosine between the source's answers to both
    fault: str | None = None  # why no figure can be given

    def record(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    def judged(self, gate: Gate) -> bool:
        """Is the output well above the source's own rounding, so that the gate can judge it?"""
        near = self.noise is None or gate.error is None or self.noise <= gate.error / 4
        return near and (self.own is None or gate.cosine is None or 1 - self.own <= (1 - gate.cosine) / 4)

    def beyond(self, gate: Gate) -> str | None:
        """By how much the gate is missed; None when it is kept.

        Where the source's own rounding is as large as the gate (a sigmoid that is zero everywhere), eight times that
        rounding is allowed on top; the check asks elsewhere that some feed judges every output.
        """
        if self.fault:
            return self.fault
        if self.error is not None and gate.error is not None:
            allowed = gate.error if self.judged(gate) else gate.error + 8 * (self.noise or 0)
            if not self.error <= allowed:
                return f"max|Δ|/max|ref| is {self.error:.3g}, the gate is {allowed:.3g}"
        flips = not self.judged(gate) and (self.error or 0) <= 8 * (self.noise or 0)
        if self.cosine is not None and gate.cosine is not None and not (self.cosine >= gate.cosine or flips):
            return f"the cosine is {self.cosine:.6f}, the gate is {gate.cosine:g}"
        if self.agreement is not None and not self.agreement >= gate.agreement:
            return f"{self.agreement:.2%} of the values agree, the gate is {gate.agreement:.0%}"
        return None


def compare(
    reference: Arrays, found: Mapping[str, np.ndarray], outputs: tuple[Tensor, ...], again: Arrays | None = None,
    floors: Mapping[str, float] | None = None,
) -> dict[str, Figures]:  # fmt: skip
    """The figures of every output; `again` holds the source's answers to inputs changed in their last bit, `floors`
    the least value an output is measured by: a probability of 1e-9 need not be right to three digits of its own."""
    return {
        t.name: figures(
            reference[t.name], np.asarray(found[t.name]), -1 in t.shape, again[t.name] if again else None,
            (floors or {}).get(t.name, 0.0),
        )
        for t in outputs
    }  # fmt: skip


def figures(
    reference: np.ndarray, found: np.ndarray, free: bool = False, again: np.ndarray | None = None, floor: float = 0.0
) -> Figures:
    """Compare one output; `free` says that its number of rows may depend on the data, as behind a NonMaxSuppression."""
    if found.dtype.kind != reference.dtype.kind and {found.dtype.kind, reference.dtype.kind} - set("OUS"):
        return Figures(fault=f"it is {found.dtype.name}, the source returns {reference.dtype.name}")
    if again is not None and again.shape != reference.shape:
        again = None
    if reference.shape != found.shape:
        if free and reference.ndim == found.ndim and reference.shape[1:] == found.shape[1:]:
            return Figures(agreement=_matched(reference, found))
        return Figures(fault=f"its shape is {list(found.shape)}, the source returns {list(reference.shape)}")
    if reference.dtype.kind in "OUSbiu":
        steady = np.ones(reference.shape, bool) if again is None else np.asarray(reference == again)
        same = float(np.mean((reference == found)[steady])) if steady.any() else 1.0
        return Figures(agreement=max(same, _matched(reference, found)) if free and same < 1 else same)
    measured = _floats(reference.astype(np.float64), found.astype(np.float64), again, floor)
    if free and (measured.fault or (measured.error or 0) > 1e-3):
        matched = _matched(reference, found)
        return Figures(agreement=matched) if matched > 0.9 else measured
    return measured


def _floats(reference: np.ndarray, found: np.ndarray, again: np.ndarray | None, floor: float) -> Figures:
    """Figures of a float output. Infinities must stand at the same places; the rest is measured without them."""
    if np.isnan(reference).any():
        return Figures(fault="the source itself returns NaN")
    if np.isnan(found).any():
        return Figures(fault=f"{int(np.isnan(found).sum())} of {found.size} values are NaN")
    finite = np.isfinite(reference)
    if not np.array_equal(reference[~finite], found[~finite]):
        return Figures(fault="infinite values differ from the source's")
    a, b = reference[finite], found[finite]
    if not a.size:
        return Figures(error=0.0, max_abs=0.0)
    if not np.isfinite(b).all():
        return Figures(fault=f"{int((~np.isfinite(b)).sum())} of {found.size} values are infinite")
    difference, largest, spread = float(np.abs(a - b).max()), max(float(np.abs(a).max()), floor), float(a.std())
    c = None if again is None else np.where(np.isfinite(again[finite]), again[finite], a).astype(np.float64)
    return Figures(
        error=difference / (largest or 1.0),
        max_abs=difference,
        relative_to_std=difference / spread if spread else None,
        cosine=_cosine(a, b),
        top1=_top1(reference, found),
        noise=None if c is None else float(np.abs(a - c).max()) / (largest or 1.0),
        own=None if c is None else _cosine(a, c),
    )


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return min(1.0, float(a @ b) / norms) if norms else float(not (a.any() or b.any()))


def _top1(reference: np.ndarray, found: np.ndarray) -> float | None:
    """The share of rows whose largest value stands at the same place."""
    if reference.ndim < 2 or reference.shape[-1] < 2 or not reference.size:
        return None
    return float(np.mean(reference.argmax(-1) == found.argmax(-1)))


def _matched(reference: np.ndarray, found: np.ndarray) -> float:
    """The share of rows with a partner on the other side, whatever their order: 2·matches / (rows + rows)."""
    if reference.dtype.kind in "OUS":
        reference, found = reference.astype(str), found.astype(str)
    left = reference.reshape(len(reference), -1)[:ROWS] if reference.ndim else reference.reshape(1, 1)
    right = found.reshape(len(found), -1)[:ROWS] if found.ndim else found.reshape(1, 1)
    if not len(left) and not len(right):
        return 1.0
    free = np.ones(len(right), bool)
    matches = 0
    for row in left:
        if left.dtype.kind in "fc":
            near = np.all(np.isclose(right, row, rtol=1e-3, atol=1e-4), axis=1) & free
        else:
            near = np.all(right == row, axis=1) & free
        if near.any():
            free[int(near.argmax())] = False
            matches += 1
    return 2 * matches / (len(left) + len(right))
