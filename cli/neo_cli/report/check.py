"""The check every compiled model passes before its job may complete: the source's answers, and a comparison with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neo_cli.base.errors import AccuracyError, InputError
from neo_cli.model import feeds, proto
from neo_cli.model.model import Arrays, Log, Model
from neo_cli.report.accuracy import Figures, Gate, compare, gate_for

PROBABILITY = 1e-3  # the least value by which an output between 0 and 1 is measured
SAMPLE_SECONDS = 20.0  # that the source may spend on the archive's samples

Run = Callable[[Arrays], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One feed and what the source answers to it."""

    label: str
    inputs: dict[str, np.ndarray]
    answers: dict[str, np.ndarray]
    again: dict[str, np.ndarray] | None = None  # the source's answers to inputs changed in their last bits


def cases(model: Model, log: Log) -> list[Case]:
    """Seeded feeds and the archive's samples with the source's answers; the source's memory is given back after.

    The first two seeded feeds always count; the others are drawn only while some output is lost in the source's own
    rounding, such as a sigmoid that is zero everywhere.
    """
    found: list[Case] = []
    unusable: list[str] = []
    gate = gate_for(proto.precision_of(model.graph), "float32", None)
    start = time.monotonic()
    for label, inputs in feeds.samples(model):
        if found and time.monotonic() - start > SAMPLE_SECONDS:
            log(
                f"check: {len(found)} samples are enough; the source takes {(time.monotonic() - start) / len(found):.1f} s for each"
            )
            break
        found += _case(model, label, inputs, unusable)
    for position, (label, inputs) in enumerate(feeds.seeded(model)):
        if position >= feeds.ALWAYS and not _unjudged(found, model, gate):
            break
        found += _case(model, label, inputs, unusable)
    release = getattr(model.oracle, "release", None)
    if release:
        release()
    for line in unusable:
        log(f"check: {line}")
    if not found and not any("NaN" in line for line in unusable):
        shapes = ", ".join(f"{t.name} {list(t.shape)}" for t in model.inputs)
        raise InputError(f"The model does not run with inputs of the shapes {shapes}: {unusable[0]}.")
    if not found:
        raise InputError(
            f"The source cannot be checked: {unusable[0]}; put real inputs into the archive as samples.npz "
            "(an array under each input's name)."
        )
    for name in _unjudged(found, model, gate):
        log(
            f"check: '{name}' is lost in the source's own rounding on every feed; real inputs in samples.npz would judge it"
        )
    return found


def typical(cases: list[Case]) -> Case:
    """The case to time, and to run where a run is dear: real input if there is any, else normal at batch 1."""
    ranked = sorted(cases, key=lambda c: (not c.label.startswith("sample"), c.label != "normal"))
    return ranked[0]


def _case(model: Model, label: str, inputs: dict[str, np.ndarray], unusable: list[str]) -> list[Case]:
    try:
        answers = {n: np.asarray(a) for n, a in model.oracle(inputs).items()}
    except InputError as error:
        unusable.append(f"on {label} inputs {error.message}")
        return []
    broken = [n for n, a in answers.items() if a.dtype.kind == "f" and np.isnan(a).any()]
    if broken:
        unusable.append(f"on {label} inputs the source returns NaN for '{broken[0]}'")
        return []
    # A quantised source rounds in every layer what was added in some order; a step of its input for each stands for that.
    moved = feeds.nudged(inputs, 1 + proto.roundings(model.graph))
    again = {n: np.asarray(a) for n, a in model.oracle(moved).items()} if moved else None
    return [Case(label, inputs, answers, again)]


def _unjudged(found: list[Case], model: Model, gate: Gate) -> list[str]:
    """Outputs that no case can judge."""
    measured = [compare(c.answers, c.answers, model.outputs, c.again) for c in found]
    return [t.name for t in model.outputs if not any(m[t.name].judged(gate) for m in measured)]


def check(run: Run, model: Model, cases: list[Case], precision: str, override: float | None) -> dict[str, Any]:
    """The report of every output on every case; AccuracyError says by how much the worst is beyond the gate."""
    gate = gate_for(proto.precision_of(model.graph), precision, override)
    floors = dict.fromkeys(proto.probabilities(model.graph), PROBABILITY)
    outputs: dict[str, dict[str, Any]] = {}
    faults = []
    for case in cases:
        measured = compare(case.answers, run(case.inputs), model.outputs, case.again, floors)
        for name, figures in measured.items():
            outputs.setdefault(name, {})[case.label] = {**figures.record(), "judged": figures.judged(gate)}
            fault = figures.beyond(gate)
            if fault:
                faults.append((_badness(figures, gate), f"output '{name}' on {case.label} inputs: {fault}"))
    if faults:
        worst = max(faults, key=lambda f: f[0])[1]
        count = f"{len(faults)} of {len(cases) * len(model.outputs)} comparisons miss it"
        raise AccuracyError(f"The compiled model is off: {worst} ({count}).")
    return {"gate": {**gate.record(), "overridden": override is not None}, "outputs": outputs}


def _badness(figures: Figures, gate: Gate) -> float:
    return float("inf") if figures.fault else (figures.error or 0) / (gate.error or 1)


def worst(report: Mapping[str, Any]) -> str:
    """The largest error of a check's report, for the log."""
    errors = [
        f["error"] for output in report["outputs"].values() for f in output.values() if "error" in f and f["judged"]
    ]
    agreements = [f["agreement"] for output in report["outputs"].values() for f in output.values() if "agreement" in f]
    told = [f"largest error {max(errors):.2g}"] if errors else []
    return ", ".join(told + ([f"agreement {min(agreements):.2%}"] if agreements else []))
