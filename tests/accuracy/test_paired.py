"""The paired test is exact, and counts what differs only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from edgecnn.accuracy.paired import Paired


@settings(deadline=None, max_examples=200)
@given(lost=st.integers(0, 700), won=st.integers(0, 700))
def test_all_three_chances_are_those_of_the_binomial_test(lost, won):
    found, total = Paired(lost, won), lost + won
    if not total:
        assert (found.p_better, found.p_worse, found.p_value) == (1.0, 1.0, 1.0)
        return
    expected = [
        binomtest(won, total, 0.5, "greater").pvalue,
        binomtest(lost, total, 0.5, "greater").pvalue,
        binomtest(lost, total, 0.5).pvalue,
    ]
    assert [found.p_better, found.p_worse, found.p_value] == pytest.approx(expected, rel=1e-9)


def test_answers_that_stay_the_same_do_not_count():
    before = np.array([True, True, False, False, True])
    after = np.array([True, False, True, True, True])
    assert Paired.of(before, after) == Paired(lost=1, won=2)
    assert Paired.of(np.tile(before, 1), before) == Paired(0, 0)


def test_of_counts_and_shares_the_sign_of_the_change_decides():
    assert Paired.of(np.array([3, 0, 1]), np.array([1, 2, 1])) == Paired(lost=1, won=1)
    assert Paired.of(np.array([0.5, 0.5]), np.array([1.0, 0.75])) == Paired(lost=0, won=2)


@settings(deadline=None, max_examples=60)
@given(lost=st.integers(0, 40), won=st.integers(0, 40))
def test_the_stake_is_the_mean_over_chances_to_win_from_one_half_on(lost, won):
    chance = np.linspace(0.5, 1, 20_001)
    likelier = (2 * chance) ** won * (2 * (1 - chance)) ** lost
    assert Paired(lost, won).stake == pytest.approx(2 * np.trapezoid(likelier, chance), rel=1e-3)


def test_a_fair_coin_that_is_looked_at_after_every_throw_seldom_makes_twenty_of_one():
    throws, least = 400, 1 / 0.05
    enough = [
        next((won for won in range(n + 1) if Paired(n - won, won).stake >= least), n + 1)
        for n in range(1, throws + 1)
    ]
    heads = np.random.default_rng(0).integers(0, 2, (4000, throws)).cumsum(axis=1)
    share = (heads >= enough).any(axis=1).mean()
    assert 0.005 < share <= 0.05
    better = (np.random.default_rng(1).random((500, throws)) < 0.8).cumsum(axis=1)
    assert (better >= enough).any(axis=1).all()


def test_counts_of_parts_add_up_and_a_large_stake_ends_at_its_limit():
    assert Paired(1, 2) + Paired(10, 20) == Paired(11, 22)
    assert Paired(0, 5000).stake == 1e12
    assert Paired(5000, 0).stake < 1e-3


def test_twenty_thousand_differences_give_a_chance_too():
    assert Paired(10_000, 10_000).p_value == 1.0
    assert 0 < Paired(10_300, 9_700).p_value < 1e-4
    assert Paired(0, 20_000).p_better == pytest.approx(0.0, abs=1e-300)
