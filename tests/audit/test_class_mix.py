"""A sentence where one class holds the errors, and none elsewhere."""

from __future__ import annotations

import pytest

from edgecnn.accuracy.tally import Tally
from edgecnn.audit.ledger.class_mix import class_mix

EVEN = dict.fromkeys("abc", Tally(20, 20))


def said(confusion):
    tallies = [Tally(row[k], sum(row)) for k, row in enumerate(confusion)]
    live = Tally(sum(one.correct for one in tallies), sum(one.total for one in tallies))
    return class_mix(dict(zip("abc", tallies, strict=True)), live, EVEN)


@pytest.mark.parametrize(
    "confusion",
    [
        [[50, 3, 0], [0, 47, 3], [3, 0, 47]],  # all classes alike
        [[50, 0, 0], [3, 47, 0], [0, 0, 50]],  # too few errors
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ],
)
def test_nothing_is_said_where_no_class_holds_the_errors(confusion):
    assert said(confusion) is None


def test_the_class_that_holds_the_errors_is_named_with_what_another_mix_would_give():
    text = said([[180, 0, 20], [0, 50, 0], [0, 1, 49]])
    assert text.startswith("20 of 21 errors are of one class: 'a', read right on 180 of 200 frames")
    assert text.endswith("would be 96.0 %, not 93.0 %")


def test_a_class_that_the_field_never_shows_is_left_out():
    text = said([[180, 0, 20], [0, 50, 0], [0, 0, 0]])
    assert text.endswith("would be 95.0 %, not 92.0 %")


def test_the_other_mix_is_set_beside_the_live_figure_of_the_report():
    recalls = {"a": Tally(80, 100, estimate=0.9), "b": Tally(50, 50), "c": Tally(0, 0)}
    text = class_mix(recalls, Tally(130, 150, estimate=0.88), EVEN)
    assert text.endswith("would be 95.0 %, not 88.0 %")


def test_a_rare_class_that_is_read_worse_makes_the_other_mix_the_lower_figure():
    text = said([[10, 5, 5], [0, 200, 0], [0, 0, 200]])
    assert text.endswith("would be 83.3 %, not 97.6 %")


def test_the_mix_is_that_of_the_labs_test_and_not_what_balanced_scores_assume():
    good, bad = Tally(460, 562), Tally(27, 38)
    lab = {"bad": Tally(5, 10), "good": Tally(225, 225)}
    text = class_mix({"bad": bad, "good": good}, Tally(487, 600), lab)
    assert "of one class: 'good'" in text
    assert "class mix" not in text  # 95.7 % good images in the lab, 93.7 % in the field
