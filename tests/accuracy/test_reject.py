"""The threshold below which an answer is none: it holds, and is None where nothing can be shown."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.accuracy.reject import choose_threshold, fit_reject
from edgecnn.accuracy.tally import Tally


def answers(count: int, seed: int, steps: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and whether each answer is right, which it is as often as it says."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(4, 1, count)
    if steps:
        confidence = np.round(confidence * steps) / steps
    return confidence, rng.random(count) < confidence


@pytest.mark.parametrize("steps", [0, 50])
def test_the_error_that_was_asked_for_is_exceeded_in_one_of_twenty_choices_at_most(steps):
    error, exceeded, found = 0.1, 0, 0
    truth_confidence, truth_right = answers(200_000, 10_000, steps)
    for seed in range(100):
        threshold = choose_threshold(*answers(500, seed, steps), error)
        if threshold is not None:
            found += 1
            exceeded += bool((~truth_right[truth_confidence >= threshold]).mean() > error)
    assert found >= 75
    assert exceeded <= 10  # of 100 at 5 %: 5, and more than 10 in one test of a hundred


def test_a_threshold_takes_the_answers_of_its_own_confidence_and_more_of_a_better_network():
    confidence, right = answers(2000, 1)
    wholes = Tally(0, 2000), Tally(0, 2000, effective=500.0)
    found = fit_reject((confidence, right), answers(2000, 2), 0.15, wholes)
    assert found is not None
    assert found.threshold == choose_threshold(confidence, right, 0.15)
    copied = fit_reject((confidence, right), answers(2000, 2), 0.15, wholes[::-1])
    assert copied.threshold == choose_threshold(confidence, right, 0.15, share=0.25)
    assert copied.threshold > found.threshold
    assert found.accepted.total == pytest.approx(found.coverage * 2000, abs=0.1)
    assert found.accepted.accuracy > 0.83
    assert found.accepted.worth == pytest.approx(found.coverage * 500, abs=0.1)
    better = choose_threshold(confidence, right | (np.arange(2000) % 2 == 0), 0.15)
    assert better < found.threshold
    assert "are accepted, of these right" in found.text()


def test_copies_show_no_threshold_that_each_once_does_not_show():
    confidence, right = answers(500, 3)
    once = choose_threshold(confidence, right, 0.1)
    copies = np.repeat(confidence, 4), np.repeat(right, 4)
    assert choose_threshold(*copies, 0.1) < once
    assert choose_threshold(*copies, 0.1, share=0.25) == once


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [
        (np.zeros(0), np.zeros(0, bool)),
        (np.ones(50), np.ones(50, bool)),  # too few to show 5 %
        (np.linspace(0, 1, 500), np.zeros(500, bool)),
        (np.linspace(0, 1, 500), np.arange(500) % 5 > 0),  # as wrong where it is sure
    ],
)
def test_where_nothing_can_be_shown_there_is_no_threshold(confidence, correct):
    assert choose_threshold(confidence, correct, 0.05) is None
