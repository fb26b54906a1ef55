"""Numbers that every stage shares, and what stands in JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card, LabResult
from edgecnn.bundle.spec import InputSpec
from edgecnn.errors import BundleError

COUNTS = st.integers(1, 100_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(("correct", "total"), [(81, 263), (15, 148), (1, 20), (996, 1000)])
def test_interval_is_jeffreys_where_both_answers_occur(correct, total):
    expected = beta.ppf([0.025, 0.975], correct + 0.5, total - correct + 0.5)
    assert Tally(correct, total).interval == pytest.approx(tuple(expected), abs=1e-6)


@pytest.mark.parametrize("total", [1, 20, 1000])
def test_interval_is_the_exact_one_where_all_are_right(total):
    expected = binomtest(total, total).proportion_ci(method="exact")
    assert Tally(total, total).interval == pytest.approx(tuple(expected), abs=1e-6)


@given(COUNTS)
def test_interval_holds_the_accuracy_and_stays_a_share(counts):
    correct, total = counts
    low, high = Tally(correct, total).interval
    assert 0 <= low <= correct / total + 1e-12
    assert correct / total - 1e-12 <= high <= 1


@given(COUNTS)
def test_interval_is_the_same_from_either_side(counts):
    correct, total = counts
    low, high = Tally(correct, total).interval
    wrong_low, wrong_high = Tally(total - correct, total).interval
    assert (low, high) == pytest.approx((1 - wrong_high, 1 - wrong_low), abs=1e-6)


def test_repeated_frames_widen_the_interval_but_not_the_accuracy():
    plain, worth_less = Tally(80, 100), Tally(80, 100, effective=10)
    assert worth_less.accuracy == plain.accuracy
    assert worth_less.interval == pytest.approx(Tally(8, 10).interval)


def test_nothing_counted_is_unknown_and_not_zero():
    assert Tally(0, 0).to_json() == {
        "correct": 0,
        "total": 0,
        "accuracy": None,
        "low": 0.0,
        "high": 1.0,
    }
    assert Tally(0, 0).text() == "no labelled frames"


@given(COUNTS, COUNTS)
def test_tallies_add_up(one, two):
    assert Tally(*one) + Tally(*two) == Tally(one[0] + two[0], one[1] + two[1])


@given(COUNTS, st.none() | st.floats(1, 1e5))
def test_a_tally_survives_json(counts, effective):
    tally = Tally(*counts, effective)
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "center_crop"])
@pytest.mark.parametrize("pad", [None, (0, 0, 0), (114, 1, 2)])
def test_an_input_spec_survives_json(resize, pad):
    spec = InputSpec(31, 17, resize, "linear", pad)
    assert InputSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_shape_is_rows_first():
    assert InputSpec(width=31, height=17).shape == (17, 31, 3)


@pytest.mark.parametrize("sides", [(0, 8), (8, -1), (5000, 8)])
def test_sides_that_no_model_has_are_refused(sides):
    with pytest.raises(BundleError, match="1 to 4096"):
        InputSpec(*sides)


def test_an_accuracy_never_lies_outside_of_its_interval():
    for total in range(1, 400):
        for correct in (0, total):
            low, high = Tally(correct, total).interval
            assert low <= correct / total <= high


def card_of(num_labels: int, confusion: np.ndarray) -> Card:
    lab = LabResult.of(Tally(int(np.trace(confusion)), int(confusion.sum())), confusion)
    labels = tuple(f"class {k}" for k in range(num_labels))
    prior = (1 / num_labels,) * num_labels
    return Card("many", labels, InputSpec(8, 8), lab, prior, edgecnn="0.1.0")


@pytest.mark.parametrize("num_labels", [3, 100, 101, 1000])
def test_a_confusion_matrix_survives_the_card(num_labels):
    rng = np.random.default_rng(num_labels)
    confusion = np.zeros((num_labels, num_labels), int)
    np.add.at(confusion, tuple(rng.integers(0, num_labels, (2, 500))), 1)
    card = card_of(num_labels, confusion)
    text = json.dumps(card.to_json())
    again = Card.from_json(json.loads(text))
    assert again == card
    assert np.array_equal(again.lab.confusion, confusion)
    classes = again.lab.per_class(card.labels).values()
    assert [one.correct for one in classes] == np.diag(confusion).tolist()
    assert [one.total for one in classes] == confusion.sum(axis=1).tolist()
    if num_labels > 100:  # no device reads a million zeros at its start
        assert len(text) < 300 * num_labels
    else:
        assert json.loads(text)["lab"]["confusion"] == confusion.tolist()


def test_what_the_answers_to_each_class_are_worth_survives_the_card():
    """A class that was filmed as one thing, and one of twenty things."""
    lab = LabResult.of(Tally(36, 40, effective=21.0), [[18, 2], [2, 18]], (1.0, None))
    card = replace(card_of(2, lab.confusion), lab=lab)
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card
    one, twenty = lab.per_class(card.labels).values()
    assert (one.worth, twenty.worth) == (1, 20)


def test_a_card_that_has_the_whole_matrix_of_many_labels_is_read():
    confusion = np.eye(200, dtype=int)
    card = card_of(200, confusion)
    data = card.to_json()
    data["lab"]["confusion"] = confusion.tolist()
    assert Card.from_json(data) == card


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([[1, 0], [0, 1], [0, 0]], id="not square"),
        pytest.param([{"3": 1}, {}, {}], id="beyond the labels"),
        pytest.param([{"-1": 1}, {}, {}], id="negative"),
        pytest.param([{"1": -1}, {}, {}], id="a negative count"),
        pytest.param([{"1": float("inf")}, {}, {}], id="infinitely many"),
        pytest.param([{"a": 1}, {}, {}], id="no number"),
    ],
)
def test_a_torn_confusion_matrix_is_refused(rows):
    data = card_of(3, np.eye(3, dtype=int)).to_json()
    data["lab"]["confusion"] = rows
    with pytest.raises(BundleError, match="export again"):
        Card.from_json(data)
