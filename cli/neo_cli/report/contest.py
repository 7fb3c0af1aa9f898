"""Which candidate is packed: each loaded and checked, those that pass timed in turn, the fastest taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from neo_cli.base.errors import AccuracyError, CompileError, JobError, OperatorNotImplemented
from neo_cli.model.build import Build
from neo_cli.model.model import Log, Model
from neo_cli.report.check import Case, check, typical, worst
from neo_cli.runtime import ArtifactError, cpu, load
from neo_cli.runtime.timing import Timing, interleave

CLOSE = 1.05  # times within this factor of the best are equal; the target's order of back ends decides between them
SECONDS = 2.0  # of timing in all, where single runs are short enough
LONGEST = 20.0  # seconds that timing may take where they are not


@dataclass
class Entry:
    """One candidate and what came of it."""

    backend: str
    outcome: str  # packed | passed | refused | inaccurate | failed
    seconds: float = 0.0
    why: str | None = None
    build: Build | None = None
    folder: Path | None = None
    accuracy: dict[str, Any] | None = None
    timing: Timing | None = None
    error: JobError | None = None
    loaded: Any = field(default=None, repr=False)
    verified: str = "compiled only"  # ran | emulated | compiled only

    def record(self) -> dict[str, Any]:
        """Its lines in the report."""
        build = self.build
        made: dict[str, Any] = {"precision": build.precision, "notes": list(build.notes)} if build else {}
        part = build.accelerator if build else None
        if part:
            made["accelerator"] = {"backend": part.backend, "verified": part.verified, "notes": list(part.notes)}
        timing = asdict(self.timing) if self.timing else None
        told = {
            "backend": self.backend,
            "outcome": self.outcome,
            "compile_seconds": round(self.seconds, 3),
            "why": self.why,
        }
        return {
            k: v
            for k, v in {**told, **made, "accuracy": self.accuracy, "seconds_a_run": timing}.items()
            if v is not None
        }


@dataclass(frozen=True)
class Decision:
    """The candidate to pack, what became of all, and how it was verified: ran, emulated, or compiled only."""

    chosen: Entry
    entries: list[Entry]
    verified: str


def hold(
    attempts: Iterable[Any],
    prepare: Callable[[Build], Path],
    model: Model,
    cases: list[Case],
    gate: float | None,
    runnable: bool,
    log: Log,
) -> Decision:
    """Take `attempts` (of backends.candidates) to a decision.

    Where the target runs here, all are checked and timed; elsewhere the first that builds, and passes under its
    emulator when it has one, is taken. Raises the errors of the attempts in one when none is left.
    """
    entries: list[Entry] = []
    for attempt in attempts:
        entry = Entry(attempt.backend, "refused", attempt.seconds, build=attempt.build, error=attempt.error)
        entries.append(entry)
        if attempt.build is None:
            entry.why = attempt.error.message
            continue
        entry.folder = prepare(attempt.build)
        _try(entry, model, cases, gate, runnable, log)
        if entry.outcome == "passed" and not runnable:
            break
    passed = [e for e in entries if e.outcome == "passed"]
    if not passed:
        raise _failure(entries)
    timed = [e for e in passed if e.loaded is not None]
    if len(timed) > 1:
        _time(timed, cases, log)
    chosen = _best(passed)
    chosen.outcome = "packed"
    for entry in passed:
        if entry.loaded is not None:
            entry.loaded.close()
            entry.loaded = None
    return Decision(chosen, entries, chosen.verified)


def _try(entry: Entry, model: Model, cases: list[Case], gate: float | None, runnable: bool, log: Log) -> None:
    """Load and check one candidate; its outcome says what came of it."""
    build = entry.build
    assert build is not None and entry.folder is not None
    try:
        if runnable and not cpu.missing(build.cpu_features):  # mcpu may ask for more than this CPU has
            entry.loaded = load(entry.folder)
            entry.accuracy = check(entry.loaded.run, model, cases, build.precision, gate)
            entry.verified, how = "ran", "ran here"
        elif build.emulate is not None:
            entry.accuracy = check(build.emulate, model, [typical(cases)], build.precision, gate)
            entry.verified, how = "emulated", f"ran under {build.emulator}"
        else:
            how = "not run: this machine cannot"
        entry.outcome = "passed"
        told = f", {worst(entry.accuracy)}" if entry.accuracy else ""
        log(f"check {entry.backend}: {how}{told}")
        return
    except AccuracyError as error:
        entry.outcome, entry.error = "inaccurate", error
    except JobError as error:
        entry.outcome, entry.error = "failed", error
    except (ArtifactError, RuntimeError, ValueError, KeyError, OSError) as error:
        text = " ".join(str(error).split())[:300]
        entry.outcome, entry.error = (
            "failed",
            CompileError(f"The code of the back end {entry.backend} does not run: {text}"),
        )
    entry.why = entry.error.message
    if entry.loaded is not None:
        entry.loaded.close()
        entry.loaded = None
    log(f"check {entry.backend}: {entry.why}")


def _time(passed: list[Entry], cases: list[Case], log: Log) -> None:
    feed = typical(cases).inputs
    once = 0.0
    for entry in passed:
        start = time.perf_counter()
        entry.loaded.run(feed)
        once += time.perf_counter() - start
    rounds = int(max(1, min(5, LONGEST / max(2 * once, 1e-6))))
    timings = interleave({e.backend: _call(e.loaded, feed) for e in passed}, SECONDS, rounds)
    for entry in passed:
        entry.timing = timings[entry.backend]
        log(f"time {entry.backend}: median {entry.timing.median * 1e3:.3f} ms, best {entry.timing.min * 1e3:.3f} ms")


def _call(loaded: Any, feed: dict[str, np.ndarray]) -> Callable[[], object]:
    return lambda: loaded.run(feed)


def _best(passed: list[Entry]) -> Entry:
    """The first in order among those close to the fastest, each by its quietest round: other work here hits no one more."""
    limit = min((e.timing.steady for e in passed if e.timing), default=0.0) * CLOSE
    return next((e for e in passed if e.timing is None or e.timing.steady <= limit), passed[0])


def _failure(entries: list[Entry]) -> JobError:
    """One error for all candidates: the single one's own, else the kind of the first that got furthest."""
    errors = [e.error for e in entries if e.error is not None]
    if not errors:
        return CompileError("No back end makes code for this target.")
    if len(errors) == 1:
        return errors[0]
    kinds = (AccuracyError, CompileError, JobError)
    off = [e for e in errors if isinstance(e, AccuracyError)]
    if not off and all(isinstance(e, OperatorNotImplemented) for e in errors):
        return OperatorNotImplemented(" ".join(e.message for e in errors))
    first = next(e for kind in kinds for e in errors if isinstance(e, kind))
    rest = [e.message for e in errors if e is not first]
    return type(first)(" ".join([first.message, *rest]))
