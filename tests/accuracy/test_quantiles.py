"""Quantiles agree with scipy's, which the board does not have."""

from __future__ import annotations

import numpy as np
import pytest

from edgecnn.accuracy.quantiles import beta_quantile, student_quantile

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("chance", [0.025, 0.05, 0.975])
def test_beta_quantiles_agree_with_scipy(chance):
    rng = np.random.default_rng(0)
    for a, b in 0.5 + 10.0 ** rng.uniform(-2, 5, (60, 2)):
        assert beta_quantile(chance, a, b) == pytest.approx(
            stats.beta.ppf(chance, a, b), abs=1e-6, rel=1e-4
        )


@pytest.mark.parametrize("freedom", [1, 1.3, 2, 4.5, 12, 19.9, 20.1, 60, 1e4, 1e7])
def test_student_quantiles_agree_with_scipy(freedom):
    assert student_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-4)
