"""Intervals: they cover what they say, and repeated frames don't make them narrow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecnn.accuracy import intervals
from edgecnn.accuracy.intervals import (
    Clusters,
    difference,
    paired_difference,
    tighter,
)
from edgecnn.accuracy.tally import Tally


def _paired(both: int, lost: int, won: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, lost, won, neither])
    second = np.repeat([True, False, True, False], [both, lost, won, neither])
    return first, second


def independent(first: Tally, second: Tally) -> tuple[float, float]:
    """The interval of the difference, as fractions."""
    _, low, high = difference(first, second)
    return (low / 100, high / 100)


def test_the_difference_of_two_accuracies_agrees_with_newcombes_published_example():
    low, high = independent(Tally(56, 70), Tally(48, 80))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=2e-3)


def test_what_answers_are_worth_is_said_where_they_repeat_each_other():
    assert "of 200 (worth 50 independent), 95 %" in Tally(192, 200, effective=50.0).text()
    assert "of 200, 95 %" in Tally(192, 200, effective=199.7).text()


def test_copies_don_t_narrow_a_paired_difference():
    """Every image four times, and a tally that knows it: as if each were there once."""
    once = _paired(36, 12, 2, 0)
    copies = [np.repeat(one, 4) for one in once]
    known = Tally(192, 200, effective=50.0)
    # The continuity correction is for a whole image, and here it is for a quarter of one.
    assert paired_difference(*copies, known) == pytest.approx(paired_difference(*once), abs=0.02)
    low, high = paired_difference(*copies)
    assert high - low < 0.6 * np.diff(paired_difference(*copies, known))[0]


def test_the_paired_difference_agrees_with_newcombes_published_example():
    low, high = paired_difference(*_paired(36, 12, 2, 0))
    assert (low, high) == pytest.approx((0.0569, 0.3404), abs=1.5e-2)


def test_pairing_makes_the_interval_narrower_than_two_separate_samples():
    first, second = _paired(180, 6, 4, 10)
    paired = paired_difference(first, second)
    apart = independent(Tally(186, 200), Tally(184, 200))
    assert paired[1] - paired[0] < 0.7 * (apart[1] - apart[0])
    assert paired[0] < 0.01 < paired[1]


def test_nothing_measured_gives_the_whole_range():
    none = np.zeros(0, bool)
    assert paired_difference(none, none) == (-1.0, 1.0)
    assert independent(Tally(0, 0), Tally(5, 10)) == (-1.0, 1.0)


@pytest.mark.parametrize("rate", [0.6, 0.95])
@pytest.mark.parametrize("alike", [0.05, 0.4, 0.9])
@pytest.mark.parametrize("num_objects", [10, 60])
def test_live_intervals_cover_the_truth_when_frames_repeat_each_other(rate, alike, num_objects):
    rng = np.random.default_rng(int(1000 * rate + 100 * alike + num_objects))
    shape = (1 - alike) / alike
    covered = naive = 0
    repeats = 300
    for _ in range(repeats):
        of_object = rng.beta(rate * shape, (1 - rate) * shape, num_objects)
        segment = np.repeat(np.arange(num_objects), rng.poisson(20, num_objects) + 1)
        correct = rng.random(len(segment)) < of_object[segment]
        low, high = Clusters.of(correct, segment).tally().interval
        covered += low <= rate <= high
        low, high = Tally(int(correct.sum()), len(correct)).interval
        naive += low <= rate <= high
    assert covered / repeats >= 0.9  # 300 sessions, of which 94 % hold at the least
    if alike >= 0.4:  # what the effective count is for
        assert naive / repeats < 0.8


def test_the_gap_interval_covers_the_true_gap():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(500):
        lab, live = rng.binomial(300, 0.97), rng.binomial(80, 0.85)
        low, high = independent(Tally(int(lab), 300), Tally(int(live), 80))
        covered += low <= 0.12 <= high
    assert covered / 500 >= 0.93


def test_a_frame_shown_thirty_times_is_worth_one():
    right = np.array([True, False, True, True, False, True, True, True])
    repeated, segment = np.repeat(right, 30), np.repeat(np.arange(8), 30)
    assert Clusters.of(repeated, segment).tally().effective <= 8
    assert Clusters.of(right, np.arange(8)).tally().effective is None


def test_one_object_is_worth_one_answer_however_long_it_is_filmed():
    assert Clusters.of(np.ones(5000, bool), np.zeros(5000, int)).tally().effective == 1.0


def test_few_clusters_widen_the_interval_as_students_t_does():
    """12 clusters of 50 answers, 40 or 10 of them right, by the formulas of `_effective`."""
    right = np.tile(np.repeat([True, False, True, False], [40, 10, 10, 40]), 6)
    rho = (12 / 11 * 12 * 15**2 / 0.25 - 600) / (12 * 50 * 49)
    learnt = 12 * rho / 14  # two clusters of rho = 1 are assumed beside the 12
    spread = 600 + (learnt + 2 / 14) * 12 * 50 * 49
    between, t = learnt * 12 * 50 * 49 / spread, 2.200985  # of 11 degrees of freedom
    expected = 600**2 / spread / (1 + between * ((t / 1.959964) ** 2 - 1))
    found = Clusters.of(right, np.repeat(np.arange(12), 50)).tally()
    assert found.effective == pytest.approx(expected, rel=1e-4)


def test_frames_without_errors_are_worth_as_many_as_there_are_objects():
    assert Clusters.of(
        np.ones(400, bool), np.repeat(np.arange(40), 10)
    ).tally().effective == pytest.approx(40, rel=0.1)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=30).filter(
        lambda counts: sum(a + b for a, b in counts) > 0
    )
)
def test_frames_are_worth_at_least_one_and_at_most_their_number(counts):
    correct = np.concatenate([np.repeat([True, False], pair) for pair in counts])
    segment = np.repeat(np.arange(len(counts)), [a + b for a, b in counts])
    effective = Clusters.of(correct, segment).tally().effective
    assert effective is None or 1.0 <= effective <= len(correct) + 1e-9


@pytest.mark.parametrize("is_weighted", [True, False])
def test_millions_of_clusters_of_one_answer_are_counted_some_at_a_time(monkeypatch, is_weighted):
    """Each takes some hundred bytes until it is added up."""
    rng, sizes = np.random.default_rng(0), []
    right, stratum = rng.random(500) < 0.8, rng.integers(0, 2, 500)
    weight = rng.uniform(0.5, 2.0, 500) if is_weighted else None
    expected = Clusters.of(right, np.arange(500), stratum, weight, strata=2).tally()
    of_sums = Clusters.of_sums
    monkeypatch.setattr(intervals, "_CHUNK", 60)
    monkeypatch.setattr(
        Clusters, "of_sums", lambda *sums: sizes.append(len(sums[0])) or of_sums(*sums)
    )
    found = Clusters.of(right, 7 + 3 * np.arange(500), stratum, weight, strata=2).tally()
    assert found.interval == pytest.approx(expected.interval)
    assert (found.correct, found.total) == (expected.correct, expected.total)
    assert max(sizes) <= 60


def test_answers_that_stand_for_more_pull_the_accuracy_and_widen_the_interval():
    right = np.repeat([True, False, True], [30, 30, 40])
    segment, stratum = np.arange(100), np.repeat([0, 1], [60, 40])
    counts = Clusters.of(right, segment, stratum, strata=2)
    assert counts.tally() == Tally(70, 100)
    weighted = counts.tally(np.array([1.0, 6.0]))
    assert weighted.accuracy == pytest.approx((30 + 6 * 40) / (60 + 6 * 40))
    assert (weighted.correct, weighted.total) == (70, 100)
    # Kish: (60 + 6 * 40)^2 / (60 + 36 * 40) of 100 answers.
    assert weighted.effective == pytest.approx(60.0)
    low, high = weighted.interval
    assert low < weighted.accuracy < high
    assert json.loads(json.dumps(weighted.to_json())) == weighted.to_json()


def test_answers_of_parts_of_known_size_differ_only_from_their_own_part():
    part = np.repeat([0, 1], [40, 60])
    right = np.concatenate([np.arange(40) % 2 == 0, np.arange(60) % 20 != 0])
    share, accuracy = np.array([0.2, 0.8]), np.array([0.5, 0.95])
    answers = Clusters.of(right, np.arange(100), part, (share / [40, 60])[part], strata=2)
    found = answers.tally(apart=True)
    assert found.accuracy == pytest.approx(share @ accuracy)
    variance = share**2 @ (accuracy * (1 - accuracy) / [40, 60])
    worth = found.accuracy * (1 - found.accuracy) / variance
    assert found.effective == pytest.approx(worth, rel=0.1)
    assert found.effective > 1.2 * answers.tally().effective
    assert answers.tally(apart=True).accuracy == answers.tally().accuracy


def test_three_right_answers_do_not_show_that_half_of_the_field_has_no_errors():
    part, right = np.repeat([0, 1], [3, 60]), np.arange(63) % 10 != 5
    found = Clusters.of(right, np.arange(63), part, (0.5 / np.array([3, 60]))[part], strata=2)
    assert found.tally(apart=True).effective < 63


def test_the_narrower_tally_counts_where_it_lies_in_the_inner_half_of_its_own_side():
    exact = Tally(98, 100)  # 93.6 to 99.6
    assert tighter(exact, near := Tally(9620, 10_000)) == near
    assert tighter(exact, Tally(9580, 10_000)) == exact
    assert tighter(exact, Tally(9900, 10_000)) == exact
    assert tighter(exact, near := Tally(9860, 10_000)) == near
    assert tighter(exact, Tally(49, 50)) == exact  # wider


def test_an_interval_is_the_mirror_image_of_that_of_the_errors():
    for right, total in ((0, 9), (1, 9), (4, 9), (9, 9)):
        low, high = Tally(right, total).interval
        assert Tally(total - right, total).interval == pytest.approx((1 - high, 1 - low), abs=1e-6)
    # Clopper & Pearson: of nine that are all wrong (1 - p)^9 = 2.5 %.
    assert Tally(0, 9).interval[1] == pytest.approx(1 - 0.025 ** (1 / 9), abs=1e-6)


def test_a_part_is_worth_one_answer_at_least():
    whole = Tally(90, 100, effective=10.0)
    assert Tally(18, 20).worth_as(whole).worth == pytest.approx(2)
    assert Tally(1, 1).worth_as(whole).worth == 1


@given(st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0.1, 50))
def test_one_weight_for_all_changes_nothing(num_clusters, seed, weight):
    rng = np.random.default_rng(seed)
    segment = rng.integers(0, num_clusters, 80)
    counts = Clusters.of(rng.random(80) < 0.8, segment, rng.integers(0, 3, 80), strata=3)
    plain, scaled = counts.tally(), counts.tally(np.full(3, weight))
    assert scaled.accuracy == plain.accuracy
    assert scaled.effective == (plain.effective and pytest.approx(plain.effective))


def test_counts_of_parts_add_up():
    rng = np.random.default_rng(2)
    right, stratum = rng.random(200) < 0.7, rng.integers(0, 2, 200)
    weight = 2.0 ** rng.integers(0, 5, 200)
    segment = np.arange(200) // 7
    cut = 98  # between two objects
    parts = [
        Clusters.of(right[part], segment[part], stratum[part], weight[part], strata=2)
        for part in (slice(0, cut), slice(cut, None))
    ]
    scale = np.array([1.0, 4.0])
    whole = Clusters.of(right, segment, stratum, weight, strata=2)
    assert (parts[0] + parts[1]).tally(scale) == whole.tally(scale)
    scaled = Clusters.of(right, segment, weight=weight * scale[stratum]).tally()
    assert scaled.accuracy == pytest.approx(whole.tally(scale).accuracy)
    assert scaled.effective == pytest.approx(whole.tally(scale).effective)
