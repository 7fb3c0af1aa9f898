"""Figures and gates: what passes, what fails, and by how much it says so."""

import numpy as np
import pytest

from neo_cli.model.model import Tensor
from neo_cli.report.accuracy import GATES, compare, figures, gate_for

RANDOM = np.random.default_rng(0)
REF = RANDOM.standard_normal((4, 100)).astype(np.float32)


def off(share: float) -> np.ndarray:
    """REF with one value moved by this share of the largest."""
    found = REF.copy()
    found[0, 0] += share * np.abs(REF).max()
    return found


@pytest.mark.parametrize(
    ("precision", "good", "bad"), [("float32", 0.9e-3, 1.2e-3), ("bfloat16", 0.04, 0.06), ("float16", 0.04, 0.06)]
)
def test_the_error_gate_of_each_precision(precision: str, good: float, bad: float) -> None:
    gate = GATES[precision]
    assert figures(REF, off(good)).beyond(gate) is None
    assert "max|Δ|/max|ref| is" in (figures(REF, off(bad)).beyond(gate) or "")


def test_int8_is_judged_by_its_cosine() -> None:
    noisy = REF + RANDOM.standard_normal(REF.shape) * 0.1
    worse = REF + RANDOM.standard_normal(REF.shape) * 0.3
    assert figures(REF, noisy).beyond(GATES["int8"]) is None
    assert "cosine" in (figures(REF, worse).beyond(GATES["int8"]) or "")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (np.where(np.arange(400).reshape(4, 100) == 7, np.nan, REF), "1 of 400 values are NaN"),
        (np.where(np.arange(400).reshape(4, 100) == 7, np.inf, REF), "1 of 400 values are infinite"),
        (REF[:2], "its shape is [2, 100], the source returns [4, 100]"),
        (REF.astype(np.int32), "it is int32, the source returns float32"),
    ],
)
def test_what_can_never_pass(found: np.ndarray, words: str) -> None:
    assert words in (figures(REF, found).beyond(gate_for("int8", "int8", 1.0)) or "")


def test_infinities_of_the_source_must_be_matched() -> None:
    reference = np.array([[1.0, -np.inf, 2.0]])
    assert figures(reference, reference).beyond(GATES["float32"]) is None
    assert "infinite values differ" in (figures(reference, np.array([[1.0, -1e9, 2.0]])).beyond(GATES["float32"]) or "")


def test_discrete_outputs_are_compared_by_agreement() -> None:
    labels = RANDOM.integers(0, 9, 1000)
    some, many = labels.copy(), labels.copy()
    some[:5] += 1
    many[:50] += 1
    assert figures(labels, some).agreement == 0.995
    assert figures(labels, some).beyond(GATES["float32"]) is None
    assert "95.00% of the values agree" in (figures(labels, many).beyond(GATES["float32"]) or "")
    words = np.array(["a", "b"], object)
    assert figures(words, np.array(["a", "b"], object)).agreement == 1
    assert figures(words, np.array(["a", "c"], object)).beyond(GATES["float32"])


def test_discrete_values_that_the_source_itself_flips_do_not_count() -> None:
    labels, again = np.array([1, 2, 3]), np.array([1, 2, 4])
    assert figures(labels, np.array([1, 2, 4]), again=again).agreement == 1
    assert figures(labels, np.array([1, 5, 4]), again=again).agreement == 0.5


def test_rows_behind_a_suppression_may_come_in_another_order() -> None:
    rows = RANDOM.random((200, 4)).astype(np.float32)
    assert figures(rows, rows[::-1], free=True).agreement == 1
    assert figures(rows, rows[::-1]).beyond(GATES["float32"])
    assert figures(rows, rows[:199], free=True).beyond(GATES["float32"]) is None
    assert figures(rows, RANDOM.random((200, 4)).astype(np.float32), free=True).beyond(GATES["float32"])


def test_an_output_lost_in_the_sources_rounding_is_not_judged_by_the_gate() -> None:
    tiny, again = np.full((1, 4), 1e-7), np.full((1, 4), 2e-7)
    measured = figures(tiny, np.full((1, 4), 3e-7), again=again)
    assert not measured.judged(GATES["float32"])
    assert measured.beyond(GATES["float32"]) is None
    assert figures(tiny, np.full((1, 4), 3e-6), again=again).beyond(GATES["float32"])


def test_a_cosine_that_the_source_itself_does_not_keep_is_not_judged() -> None:
    """A quantised network whose activations flip at the last bit of its input; what is no such flip still fails."""
    again = REF + RANDOM.standard_normal(REF.shape) * 0.3
    found = REF + RANDOM.standard_normal(REF.shape) * 0.3
    measured, steady = figures(REF, found, again=again), figures(REF, found, again=REF + 1e-7)
    assert not measured.judged(GATES["int8"]) and measured.beyond(GATES["int8"]) is None
    assert steady.judged(GATES["int8"]) and "cosine" in (steady.beyond(GATES["int8"]) or "")
    assert "cosine" in (figures(REF, REF * -9, again=again).beyond(GATES["int8"]) or "")


def test_the_gate_is_that_of_the_lower_precision_or_the_users() -> None:
    assert gate_for("float32", "bfloat16", None) == GATES["bfloat16"]
    assert gate_for("int8", "float32", None) == GATES["int8"]
    assert gate_for("int8", "float32", 0.25).error == 0.25


def test_every_output_gets_its_figures() -> None:
    outputs = (Tensor("a", "float32", (4, 100)), Tensor("b", "int64", (2,)))
    answers = {"a": REF, "b": np.array([1, 2])}
    found = compare(answers, {"a": REF, "b": np.array([1, 2])}, outputs)
    assert (found["a"].error, found["a"].cosine, found["a"].top1, found["b"].agreement) == (0, 1, 1, 1)
