"""The ledger adds up, whatever the images say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.accuracy.tally import Tally, gap_points
from edgecnn.audit.ledger.ledger import Lab, residual
from edgecnn.audit.ledger.step import Step


@st.composite
def measured_labs(draw) -> Lab:
    """Steps paired on the whole lab test, and on the part of it that was found."""
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    answers = [rng.random(count) < rate for rate in rng.random(3)]
    part = slice(draw(st.integers(0, count - 1)), count)
    steps = [
        Step.paired("quantization", answers[0], answers[1], "paired on"),
        Step.paired("device path", answers[1][part], answers[2][part], "paired on"),
    ][: draw(st.integers(0, 2))]
    reached = [answers[0], answers[1], answers[2][part]][len(steps)]
    return Lab(Tally.of(answers[0]), Tally.of(answers[1]), Tally.of(reached), tuple(steps))


@settings(deadline=None, max_examples=200)
@given(
    measured_labs(), st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
)
def test_steps_and_residual_add_up_to_the_gap_and_lie_in_their_intervals(lab, counts):
    live = Tally(*counts)
    left = residual(lab, live)
    gap = gap_points(lab.float_tally, live)
    assert sum(step.points for step in lab.steps) + left.points == pytest.approx(gap, abs=0.1)
    for step in (*lab.steps, left):
        assert step.low - 1e-9 <= step.points <= step.high + 1e-9


def test_a_step_counts_what_was_lost_and_won():
    before = np.array([True, True, True, False, False])
    after = np.array([True, False, False, True, False])
    step = Step.paired("cause", before, after, "paired on", what="images")
    assert step.points == pytest.approx(20)
    assert step.evidence == "paired on 5 images: 2 lost, 1 won"


def test_without_field_labels_nothing_is_left_to_explain():
    tally = Tally(9, 10)
    assert residual(Lab(tally, tally, tally, ()), Tally(0, 0)) is None


def test_what_is_left_is_as_uncertain_as_the_steps_before_it():
    lab, live = Tally(980, 1000), Tally(800, 1000)
    measured = Lab(lab, lab, lab, ())
    alone = residual(measured, live)
    step = Step("light", 4.0, 1.0, 9.0, "on field frames")
    none_taken = Step("framing", 0.0, 0.0, 19.0, "none returns points", holds=80)
    left = residual(measured, live, [step, none_taken])
    assert left.points == pytest.approx(alone.points - 4)
    # The step may return 5 points more, and then less is left.
    below, above = left.points - left.low, left.high - left.points
    assert below == pytest.approx(np.hypot(alone.points - alone.low, 5))
    assert above == pytest.approx(np.hypot(alone.high - alone.points, 3))
