"""A sentence where one class holds the errors, and none elsewhere."""

from __future__ import annotations

import pytest

from edgecnn.audit.ledger.class_mix import class_mix

NAMES = ("a", "b", "c")
EVEN = (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize(
    "confusion",
    [
        [[50, 3, 0], [0, 47, 3], [3, 0, 47]],  # all classes alike
        [[50, 0, 0], [3, 47, 0], [0, 0, 50]],  # too few errors
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    ],
)
def test_nothing_is_said_where_no_class_holds_the_errors(confusion):
    assert class_mix(confusion, EVEN, NAMES) is None


def test_the_class_that_holds_the_errors_is_named_with_what_another_mix_would_give():
    text = class_mix([[180, 0, 20], [0, 50, 0], [0, 1, 49]], EVEN, NAMES)
    assert text.startswith("20 of 21 errors are of one class: 'a', read right on 180 of 200 frames")
    assert text.endswith("would be 96.0 %, not 93.0 %")


def test_a_class_that_the_field_never_shows_is_left_out():
    text = class_mix([[180, 0, 20], [0, 50, 0], [0, 0, 0]], EVEN, NAMES)
    assert text.endswith("would be 95.0 %, not 92.0 %")
