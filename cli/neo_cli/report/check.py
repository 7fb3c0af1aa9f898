"""The check every compiled model passes before its job may complete: the source's answers, and a comparison with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neo_cli.base.errors import AccuracyError, InputError
from neo_cli.model import feeds, proto
from neo_cli.model.model import Arrays, Log, Model
from neo_cli.report.accuracy import Figures, Gate, compare, gate_for

Run = Callable[[Arrays], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One feed and what the source answers to it."""

    label: str
    inputs: dict[str, np.ndarray]
    answers: dict[str, np.ndarray]


def cases(model: Model, log: Log) -> list[Case]:
    """Seeded feeds and the archive's samples with the source's answers; the source's memory is given back after."""
    found, unusable = [], []
    for label, inputs in [*feeds.seeded(model), *feeds.samples(model)]:
        try:
            answers = {n: np.asarray(a) for n, a in model.oracle(inputs).items()}
        except InputError as error:
            unusable.append(f"on {label} inputs {error.message}")
            continue
        broken = [n for n, a in answers.items() if a.dtype.kind == "f" and np.isnan(a).any()]
        if broken:
            unusable.append(f"on {label} inputs the source returns NaN for '{broken[0]}'")
            continue
        found.append(Case(label, inputs, answers))
    release = getattr(model.oracle, "release", None)
    if release:
        release()
    for line in unusable:
        log(f"check: {line}")
    if not found:
        raise InputError(
            f"The source cannot be checked: {unusable[0]}; put real inputs into the archive as samples.npz (an array for each input's name)."
        )
    return found


def check(run: Run, model: Model, cases: list[Case], precision: str, override: float | None) -> dict[str, Any]:
    """The report of every output on every case; AccuracyError says by how much the worst is beyond the gate."""
    gate = gate_for(proto.precision_of(model.graph), precision, override)
    outputs: dict[str, dict[str, Any]] = {}
    faults = []
    for case in cases:
        measured = compare(case.answers, run(case.inputs), model.outputs)
        for name, figures in measured.items():
            outputs.setdefault(name, {})[case.label] = figures.record()
            fault = figures.beyond(gate)
            if fault:
                faults.append((_badness(figures, gate), f"output '{name}' on {case.label} inputs: {fault}"))
    if faults:
        worst = max(faults, key=lambda f: f[0])[1]
        raise AccuracyError(
            f"The compiled model is off: {worst} ({len(faults)} of {len(cases) * len(model.outputs)} comparisons miss it)."
        )
    return {"gate": {**gate.record(), "overridden": override is not None}, "outputs": outputs}


def _badness(figures: Figures, gate: Gate) -> float:
    return float("inf") if figures.fault else (figures.error or 0) / (gate.error or 1)


def worst(report: Mapping[str, Any]) -> str:
    """The largest error of a check's report, for the log."""
    errors = [f["error"] for output in report["outputs"].values() for f in output.values() if "error" in f]
    agreements = [f["agreement"] for output in report["outputs"].values() for f in output.values() if "agreement" in f]
    told = [f"largest error {max(errors):.2g}"] if errors else []
    return ", ".join(told + ([f"agreement {min(agreements):.2%}"] if agreements else []))
