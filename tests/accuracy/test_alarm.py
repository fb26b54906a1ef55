"""The alarm: rarely false however often one looks, and soon there when the field is worse."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.accuracy.alarm import FALSE_ALARM_RATE, Alarm, stakes
from edgecnn.accuracy.tally import Tally


def first_alarm(accuracy: float, live: float, most: int, rng) -> int | None:
    """After how many things the alarm is raised; the lab's 500 images are drawn anew, too."""
    lab = Tally(int(rng.binomial(500, accuracy)), 500)
    looks = np.unique(np.geomspace(5, most, 80).astype(int))
    right = np.cumsum(rng.random(most) < live)[looks - 1]
    raised = np.flatnonzero(stakes(lab, right, looks - right) >= 1 / FALSE_ALARM_RATE)
    return int(looks[raised[0]]) if len(raised) else None


def test_a_thousand_fields_as_good_as_the_lab_raise_it_at_most_at_the_stated_rate():
    rng = np.random.default_rng(3)
    accuracies = rng.choice([0.8, 0.9, 0.95, 0.98, 0.995], 1000)
    false = [first_alarm(accuracy, accuracy, 2000, rng) is not None for accuracy in accuracies]
    assert np.mean(false) <= FALSE_ALARM_RATE == 0.05


@pytest.mark.parametrize(("accuracy", "labels"), [(0.995, 300), (0.98, 600), (0.95, 1500)])
def test_a_loss_of_five_points_is_found_within_the_labels_that_docs_state(accuracy, labels):
    rng = np.random.default_rng(4)
    found = [first_alarm(accuracy, accuracy - 0.05, labels, rng) for _ in range(100)]
    assert np.mean([one is not None for one in found]) >= 0.75


def test_many_looks_say_what_each_says():
    right, wrong = np.array([5, 40, 80]), np.array([0, 3, 20])
    lab = Tally(490, 500)
    each = [Alarm.of(lab, int(r), int(r + w)).evidence for r, w in zip(right, wrong, strict=True)]
    assert stakes(lab, right, wrong) == pytest.approx(each, rel=1e-3)


def test_nothing_is_said_without_a_lab_or_without_labels():
    assert not Alarm.of(Tally(0, 0), 0, 50).raised
    assert Alarm.of(Tally(95, 100), 0, 0).text() == "unknown: no labelled frames"
    assert Alarm.of(Tally(95, 100), 0, 10_000).raised
    assert not Alarm.of(Tally(95, 100), 10_000, 10_000).raised
