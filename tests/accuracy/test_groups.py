"""Accuracy by group: nothing counted twice, the worst first, its gap with an interval."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.accuracy.groups import per_group, worst_group
from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally


def test_groups_add_up_and_the_worst_stands_first():
    rng = np.random.default_rng(0)
    names = [None if k == 4 else "abcd"[k] for k in rng.integers(0, 5, 1000)]
    right = {"a": 0.9, "b": 0.6, "c": 0.8, "d": 0.99, None: 0.0}
    correct = np.array([rng.random() < right[name] for name in names])
    tallies = per_group(names, correct, np.arange(1000), ["x"] * 1000)
    assert list(tallies) == ["b", "c", "a", "d"]
    assert sum(t.total for t in tallies.values()) == sum(name is not None for name in names)
    worst = worst_group(tallies)
    assert worst.name == "b"
    assert worst.tally + worst.others == sum(tallies.values(), Tally(0, 0))
    assert worst.low < 30 < worst.high


def test_only_the_group_whose_images_show_one_thing_has_a_wide_interval():
    """Frames of one object from a webcam, and photographs of as many objects from a phone."""
    names, thing = ["phone"] * 100 + ["webcam"] * 100, np.r_[np.arange(100), [100] * 100]
    tallies = per_group(names, np.arange(200) % 10 > 0, thing, ["x"] * 200)
    assert tallies["phone"] == Tally(90, 100)
    assert tallies["webcam"] == Tally(90, 100, effective=1.0)


def test_the_interval_is_that_of_the_audit():
    worst = worst_group({"a": Tally(95, 100), "b": Tally(20, 40)})
    _, low, high = difference(Tally(95, 100), Tally(20, 40))
    assert worst.points == pytest.approx(45)
    assert (worst.low, worst.high) == (low, high)


def test_a_handful_of_answers_is_no_group_to_accuse():
    assert worst_group({"a": Tally(0, 9), "b": Tally(90, 100)}) is None
    assert worst_group({"a": Tally(0, 10), "b": Tally(90, 100)}).name == "a"
    assert worst_group({}) is None
