"""Quantiles of the beta distribution and of Student's t, without scipy: the board needs them."""

from __future__ import annotations

from math import exp, lgamma, log, log1p, sqrt

__all__ = ["Z_95", "beta_quantile", "student_quantile"]

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, for two-sided intervals at 95 %."""

_EXACT = 1e-7
_LARGE = 20.0  # degrees of freedom above which a series is exact to 1e-5
_TINY = 1e-300  # instead of 0, which nothing is divided by
_MOST_STEPS = 500


def beta_quantile(chance: float, a: float, b: float) -> float:
    """Where the beta distribution of `a` and `b`, both above 0, reaches `chance`, in (0, 1).

    To 1e-7, by false position that halves the share of the end that stays (Dowell & Jarratt 1971,
    doi:10.1007/BF01934364), and by bisection where that is slow; a fraction of a millisecond.

    Example:
        >>> round(beta_quantile(0.025, 9.5, 1.5), 4)
        0.6187
    """
    low, high, below, above, kept = 0.0, 1.0, -chance, 1.0 - chance, 0
    x = mean = a / (a + b)
    spread = sqrt(mean * (1 - mean) / (a + b + 1))
    guesses = (mean - 2 * spread, mean + 2 * spread) if chance < 0.5 else (mean + 2 * spread, mean)
    for step in range(_MOST_STEPS):
        if step < 2 and low < guesses[step] < high:
            x = guesses[step]
        elif step % 4 == 0:
            x = (low + high) / 2
        else:
            x = (low * above - high * below) / (above - below)
        error = _beta_share(x, a, b) - chance
        if abs(error) < _EXACT * chance or high - low < _EXACT:
            break
        if error < 0:
            low, below = x, error
            above, kept = (above / 2 if kept < 0 else above), -1
        else:
            high, above = x, error
            below, kept = (below / 2 if kept > 0 else below), 1
    return x


def student_quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t with `freedom` degrees, at least 1; they may be broken.

    t^2 / (freedom + t^2) is beta-distributed; above 20 degrees a series serves.

    Source: Abramowitz & Stegun 1964, 26.7.5 (the series).

    Example:
        >>> [round(student_quantile(f), 3) for f in (1, 2.5, 10, 1e6)]
        [12.706, 3.575, 2.228, 1.96]
    """
    if freedom > _LARGE:
        z, v = Z_95, freedom
        first = (z**3 + z) / 4
        second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
        third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
        return z + first / v + second / v**2 + third / v**3
    rest = beta_quantile(0.05, freedom / 2, 0.5)
    return sqrt(freedom * (1 - rest) / rest)


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function by Lentz's continued fraction.

    Source: DLMF 8.17.22; Thompson & Barnett 1986, doi:10.1016/0021-9991(86)90046-X.
    """
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_share(1.0 - x, b, a)
    if x <= 0.0:
        return 0.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    c, d = 1.0, 1.0 / ((1.0 - (a + b) * x / (a + 1)) or _TINY)
    found = d
    for m in range(1, _MOST_STEPS):
        k = a + 2 * m
        for part in (
            m * (b - m) * x / ((k - 1) * k),
            -(a + m) * (a + b + m) * x / (k * (k + 1)),
        ):
            d = 1.0 / ((1.0 + part * d) or _TINY)
            c = (1.0 + part / c) or _TINY
            found *= c * d
        if abs(c * d - 1.0) < _EXACT / 10:
            break
    return front * found
