"""The alarm: rarely false however often one looks, and soon there when the field is worse."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.accuracy.alarm import FALSE_ALARM_RATE, Alarm
from edgecnn.accuracy.tally import Tally


def first_alarm(accuracy: float, live: float, looks: list[int], rng) -> int | None:
    """After how many things the alarm is raised; the lab's 500 images are drawn anew, too."""
    lab = Tally(int(rng.binomial(500, accuracy)), 500)
    right = np.cumsum(rng.random(looks[-1]) < live)
    return next((n for n in looks if Alarm.of(lab, int(right[n - 1]), n).raised), None)


def false_alarms(sessions: int, looks: list[int]) -> float:
    rng = np.random.default_rng(3)
    accuracies = rng.choice([0.8, 0.9, 0.95, 0.98, 0.995], sessions)
    return float(np.mean([first_alarm(a, a, looks, rng) is not None for a in accuracies]))


def test_a_field_as_good_as_the_lab_raises_it_rarely():
    assert false_alarms(200, [10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000]) <= 0.05


@pytest.mark.long
def test_a_thousand_sessions_that_are_looked_at_after_every_few_labels():
    assert false_alarms(1000, list(range(5, 500, 5)) + list(range(500, 2000, 50))) <= 0.05
    assert FALSE_ALARM_RATE == 0.05


@pytest.mark.parametrize(("accuracy", "labels"), [(0.995, 150), (0.98, 300), (0.95, 900)])
def test_a_loss_of_five_points_is_found_in_most_sessions_within_the_labels_that_docs_state(
    accuracy, labels
):
    rng = np.random.default_rng(4)
    looks = list(range(labels // 10, labels + 1, labels // 10))
    found = [first_alarm(accuracy, accuracy - 0.05, looks, rng) for _ in range(60)]
    assert np.mean([one is not None for one in found]) >= 0.6


def test_nothing_is_said_without_a_lab_or_without_labels():
    assert not Alarm.of(Tally(0, 0), 0, 50).raised
    assert Alarm.of(Tally(95, 100), 0, 0).text() == "unknown: no labelled frames"
    assert Alarm.of(Tally(95, 100), 0, 10_000).raised
    assert not Alarm.of(Tally(95, 100), 10_000, 10_000).raised
