"""A class that a network never learned is said before all else, with its recall and interval."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import LabResult
from edgecnn.train.unlearned import unlearned_classes, unlearned_lines


def result(*rows: list[int]) -> LabResult:
    confusion = np.array(rows)
    return LabResult.of(Tally(int(confusion.trace()), int(confusion.sum())), confusion)


def test_a_rare_class_that_is_never_recognized_is_named_with_its_interval():
    (one,) = unlearned_classes(result([0, 10], [0, 225]), ("bad", "good"))
    assert (one.label, one.recall, one.taken) == ("bad", Tally(0, 10), 0.0)
    lines = unlearned_lines([one], "built-in")
    assert "--network efficientnet-lite0" in lines[0]
    assert "--network" not in unlearned_lines([one], "efficientnet-lite0")[0]
    assert lines[0].startswith("Not learned, as far as the test images show: 1 class.")
    assert "bad: recall 0.0 % of 10, 95 % interval 0.0-30.8" in lines[1]
    data = one.to_json()
    assert (data["recall"]["total"], data["recall"]["low"]) == (10, 0.0)


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        (([5, 5], [3, 222]), []),
        (([5, 5], [112, 113]), ["bad"]),  # as many of the others are taken for it
        (([10, 0], [225, 0]), ["good"]),
        (([10, 0], [210, 15]), ["good"]),  # of 10 others by luck none is taken for it
        (([0, 2], [0, 225]), []),  # two test images show nothing
        (([0, 0], [0, 225]), []),  # no test image of it: said elsewhere
    ],
)
def test_a_class_is_learned_where_it_is_told_from_the_others(rows, names):
    found = unlearned_classes(result(*rows), ("bad", "good"))
    assert [one.label for one in found] == names


def test_of_many_the_worst_are_named():
    confusion = np.zeros((12, 12), int)
    confusion[:, 0] = 9
    lines = unlearned_lines(
        unlearned_classes(result(*confusion.tolist()), "abcdefghijkl"), "mine:net"
    )
    assert "11 classes" in lines[0]
    assert "and 8 others, in card.json" in lines[-2]
    assert not unlearned_lines(unlearned_classes(result([9, 1], [0, 9]), "ab"), "built-in")
