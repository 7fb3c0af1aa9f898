"""The contest: who is packed, who is refused, in which words, and what is remembered."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from compiling import loaded, one_node
from neo_cli.base.errors import AccuracyError, CompileError, InputError, JobError, OperatorNotImplemented
from neo_cli.model.build import Build
from neo_cli.model.model import Model
from neo_cli.report import choices, contest
from neo_cli.report.check import Case, cases, check, typical
from neo_cli.runtime.timing import Timing


@dataclass
class Attempt:
    backend: str
    build: Build | None = None
    error: JobError | None = None
    seconds: float = 0.1


class Loaded:
    """A loaded artifact that returns its input times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor, self.closed = factor, False

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"y": np.maximum(inputs["x"], 0) * np.float32(self.factor)}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return loaded(one_node("Relu", {"x": ([1, 8],)}, {"y": ([1, 8],)}), tmp_path)


def hold(
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    factors: dict[str, float | JobError],
    medians: dict[str, float] | None = None,
    **named,
):
    """A contest between builds that multiply by these factors, at these speeds."""
    attempts = [
        Attempt(n, None, f) if isinstance(f, JobError) else Attempt(n, Build(n, n, {})) for n, f in factors.items()
    ]
    monkeypatch.setattr(contest, "load", lambda folder: Loaded(factors[folder.name]))
    monkeypatch.setattr(
        contest, "interleave", lambda calls, *_: {n: Timing(9.0, 9.0, 9.0, 9, medians[n]) for n in calls}
    )
    found = cases(model, [].append)
    return contest.hold(
        attempts, lambda build: Path(build.backend), model, found, None, named.get("runnable", True), [].append
    )


@pytest.mark.parametrize(
    ("medians", "winner"),
    [
        ({"a": 1.0, "b": 0.5}, "b"),
        ({"a": 0.5, "b": 1.0}, "a"),
        ({"a": 1.04, "b": 1.0}, "a"),
        ({"a": 1.06, "b": 1.0}, "b"),
    ],
)
def test_the_fastest_wins_and_the_order_decides_within_five_percent(
    medians: dict, winner: str, model: Model, monkeypatch
) -> None:
    decision = hold(model, monkeypatch, {"a": 1.0, "b": 1.0}, medians)
    assert (decision.chosen.backend, decision.verified) == (winner, "ran")
    assert sorted(e.outcome for e in decision.entries) == ["packed", "passed"]
    assert all(e.record()["seconds_a_run"]["steady"] == medians[e.backend] for e in decision.entries)


def test_the_fastest_does_not_win_when_it_is_wrong(model: Model, monkeypatch) -> None:
    decision = hold(model, monkeypatch, {"wrong": 1.01, "right": 1.0}, {"right": 1.0})
    assert decision.chosen.backend == "right"
    assert decision.entries[0].outcome == "inaccurate" and "max|Δ|/max|ref| is 0.01" in (decision.entries[0].why or "")


def test_one_refusal_is_told_as_it_is(model: Model, monkeypatch) -> None:
    with pytest.raises(OperatorNotImplemented, match=r"^no Foo$"):
        hold(model, monkeypatch, {"a": OperatorNotImplemented("no Foo")})


def test_being_off_is_told_before_being_refused(model: Model, monkeypatch) -> None:
    with pytest.raises(AccuracyError) as caught:
        hold(model, monkeypatch, {"a": CompileError("not here"), "b": 2.0})
    assert (
        caught.value.message.startswith("The compiled model is off: output 'y'") and "not here" in caught.value.message
    )


def test_elsewhere_the_first_that_builds_is_taken(model: Model, monkeypatch) -> None:
    decision = hold(model, monkeypatch, {"a": CompileError("no"), "b": 1.0, "c": 1.0}, runnable=False)
    assert (decision.chosen.backend, decision.verified, len(decision.entries)) == ("b", "compiled only", 2)


def test_an_emulator_verifies_and_refuses(model: Model) -> None:
    good = Build("a", "a", {}, emulate=Loaded(1.0).run, emulator="qemu")
    bad = Build("a", "a", {}, emulate=Loaded(1.5).run, emulator="qemu")
    found, log = cases(model, [].append), []
    decision = contest.hold([Attempt("a", good)], lambda _: Path("a"), model, found, None, False, log.append)
    assert decision.verified == "emulated" and "ran under qemu" in log[0]
    with pytest.raises(AccuracyError):
        contest.hold([Attempt("a", bad)], lambda _: Path("a"), model, found, None, False, log.append)


def test_a_users_gate_widens_and_is_recorded(model: Model) -> None:
    found = cases(model, [].append)
    with pytest.raises(AccuracyError):
        check(Loaded(1.01).run, model, found, "float32", None)
    report = check(Loaded(1.01).run, model, found, "float32", 0.05)
    assert report["gate"]["error"] == 0.05 and report["gate"]["overridden"] is True


def test_a_source_that_returns_nan_on_a_feed_is_checked_on_others(tmp_path: Path) -> None:
    log: list[str] = []
    root = loaded(one_node("Sqrt", {"x": ([1, 8],)}, {"y": ([1, 8],)}), tmp_path)
    assert [c.label for c in cases(root, log.append)] == ["uniform"]
    assert log == ["check: on normal inputs the source returns NaN for 'y'"]


def test_a_source_that_never_answers_asks_for_samples(tmp_path: Path) -> None:
    never = loaded(one_node("Add", {"x": ([1],)}, {"y": ([1],)}, {"n": np.array([np.nan], np.float32)}), tmp_path)
    with pytest.raises(InputError, match=r"returns NaN for 'y'; put real inputs into the archive as samples\.npz"):
        cases(never, [].append)


def test_the_typical_case_is_real_input_if_there_is_any() -> None:
    made = [Case(label, {}, {}) for label in ("sample 0", "uniform", "normal")]
    assert typical(made).label == "sample 0" and typical(made[1:]).label == "normal"


def test_choices_are_kept_and_unreadable_ones_are_none(tmp_path: Path) -> None:
    name = choices.key("digest", "ml_c5", {"a": 1}, 2, {"numpy": "2"})
    assert name != choices.key("digest", "ml_c5", {"a": 1}, 1, {"numpy": "2"})
    assert choices.recall(tmp_path, name) is None
    assert choices.remember(tmp_path / "new", name, {"backend": "openvino"}) is None
    assert choices.recall(tmp_path / "new", name) == {"backend": "openvino"}
    (tmp_path / "new" / f"{name}.json").write_text("{")
    assert choices.recall(tmp_path / "new", name) is None
    (tmp_path / "file").write_text("")
    assert choices.remember(tmp_path / "file", name, {})


def test_code_for_more_than_this_cpu_has_is_not_run_here(model: Model) -> None:
    found, log = cases(model, [].append), []
    made = Build("a", "a", {}, cpu_features=("warp_drive",))
    decision = contest.hold([Attempt("a", made)], lambda _: Path("a"), model, found, None, True, log.append)
    assert (decision.verified, decision.chosen.outcome) == ("compiled only", "packed")
    assert log == ["check a: not run: this machine cannot"]
    emulated = Build("a", "a", {}, cpu_features=("warp_drive",), emulate=model.oracle, emulator="the source")
    decision = contest.hold([Attempt("a", emulated)], lambda _: Path("a"), model, found, None, True, log.append)
    assert decision.verified == "emulated"
