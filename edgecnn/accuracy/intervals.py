"""Intervals of accuracies: how far a figure can be trusted when frames repeat each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import sqrt

import numpy as np

from edgecnn.accuracy.quantiles import Z_95, student_quantile
from edgecnn.accuracy.tally import Tally

__all__ = [
    "Clusters",
    "chunks",
    "confusion",
    "difference",
    "is_increasing",
    "paired_difference",
    "rows_where",
    "run_starts",
    "tighter",
    "unique_in_runs",
]

_ALIKE = 2  # clusters of rho = 1 that are assumed before any is seen
_EQUAL = 1e-9  # sums of weights that differ by less are equal
_DIGITS = 12
_CHUNK = 1 << 18  # rows whose figures are computed at a time
_SPARSE = 4  # numbers of segments up to so many times the answers are counted as they are


@dataclass(frozen=True)
class Clusters:
    """Right answers, counted in clusters: answers of one cluster show the same object.

    Holds the sums that an interval needs, so counts of parts add up and take no memory. Answers
    belong to `s` strata, and have a weight; by how much all weights of a stratum are to be
    multiplied may be known later only.

    Args:
        clusters: How many there are.
        total, correct: Answers, and right answers.
        sums: float64, shape (2, s): weights of the answers of each stratum, and of the right ones.
        squares: float64, shape (s,): squares of the weights.
        products: float64, shape (2, s, 2, s): over clusters, the products of their sums.
        spread: float64, shape (s^2 + s, s^2 + s): over clusters, the products of the products of
            their weights and of their squares: how unequal the clusters are.
        with_wrong, with_right: Clusters that hold a wrong or a right answer.
    """

    clusters: int
    total: int
    correct: int
    sums: np.ndarray
    squares: np.ndarray
    products: np.ndarray
    spread: np.ndarray
    with_wrong: int
    with_right: int

    @classmethod
    def none(cls, strata: int = 1) -> Clusters:
        """No answers yet."""
        empty = np.zeros(0, int)
        return cls.of(empty.astype(bool), empty, strata=strata)

    @classmethod
    def of(
        cls,
        correct: np.ndarray,
        segment: np.ndarray,
        stratum: np.ndarray | None = None,
        weight: np.ndarray | None = None,
        *,
        strata: int = 1,
    ) -> Clusters:
        """Count answers.

        Args:
            correct: bool, shape (n,).
            segment: int, shape (n,): answers with the same number show the same object.
            stratum: int, shape (n,), from 0 to `strata` - 1; None puts all answers into the first.
            weight: float, shape (n,), above 0; None gives each answer 1.
        """
        if len(segment) > _CHUNK and is_increasing(segment):  # each answer is a cluster
            counted = cls.none(strata)
            for part in chunks(len(segment)):
                more = (None if one is None else one[part] for one in (stratum, weight))
                each = np.arange(len(correct[part]))
                counted += cls.of(correct[part], each, *more, strata=strata)
            return counted
        member, size = segment, 1 + int(segment.max(initial=-1))
        if not (segment >= 0).all() or size > _SPARSE * (1 + len(segment)):
            found, member = unique_in_runs(segment)
            size = len(found)
        counts, right = np.zeros(size, int), np.zeros(size)
        sums, squares = np.zeros((2, size * strata)), np.zeros(size * strata)
        for part in chunks(len(member)):
            here, is_right = member[part], correct[part]
            counts += np.bincount(here, minlength=size)
            right += np.bincount(here, weights=is_right, minlength=size)
            cell = here * strata if stratum is None else here * strata + stratum[part]
            worth = np.ones(len(here)) if weight is None else weight[part]
            values = (worth, worth * is_right, worth**2)
            for total, one in zip((*sums, squares), values, strict=True):
                total += np.bincount(cell, weights=one, minlength=size * strata)
        some = counts > 0  # numbers that are not there are no clusters
        whole, hits = (total.reshape(size, strata)[some] for total in sums)
        return cls.of_sums(
            counts[some],
            right[some],
            np.stack([whole, hits], axis=1),
            squares.reshape(size, strata)[some],
        )

    @classmethod
    def of_sums(
        cls, counts: np.ndarray, right: np.ndarray, sums: np.ndarray, squares: np.ndarray
    ) -> Clusters:
        """Count clusters by their sums.

        Args:
            counts, right: shape (clusters,): answers of each, and right answers.
            sums: float, shape (clusters, 2, s): their weights.
            squares: float, shape (clusters, s): squares of the answers' weights.
        """
        _, _, strata = sums.shape
        flat = sums.reshape(len(sums), 2 * strata)
        pairs = np.einsum("cs,ct->cst", sums[:, 0], sums[:, 0]).reshape(len(sums), strata**2)
        sizes = np.concatenate([pairs, squares], axis=1)
        return cls(
            len(counts),
            int(counts.sum()),
            int(right.sum()),
            sums.sum(axis=0),
            squares.sum(axis=0),
            (flat.T @ flat).reshape(2, strata, 2, strata),
            sizes.T @ sizes,
            int((right < counts).sum()),
            int((right > 0).sum()),
        )

    def __add__(self, other: Clusters) -> Clusters:
        return Clusters(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def tally(self, scale: np.ndarray | None = None, *, apart: bool = False) -> Tally:
        """The tally; `effective` is None when every answer stands for itself.

        Args:
            scale: float, shape (s,): what the weights of each stratum are multiplied by, above 0
                where it holds answers; None is 1.
            apart: Whether the strata are parts of the field whose sizes are known: then their
                weights are no loss, and answers of a part differ only from each other.
        """
        scale = np.ones(len(self.squares)) if scale is None else scale
        size, right = map(float, self.sums @ scale)
        squares = float(self.squares @ scale**2)
        is_equal = self.total * squares - size**2 <= _EQUAL * size**2
        alone = is_equal and self.clusters == self.total
        accuracy = right / size if self.total else 0.0
        mean, spread = self._of_parts(accuracy) if apart else (accuracy, np.ones(len(scale)))
        return Tally(
            self.correct,
            self.total,
            None if alone else self._effective(scale, accuracy, mean, spread),
            # Sums in another order differ in the last digits: run and audit print the same.
            None if is_equal else round(accuracy, _DIGITS),
        )

    def _of_parts(self, accuracy: float) -> tuple[np.ndarray, np.ndarray]:
        """The accuracy of each stratum, and how its answers spread beside those of the whole.

        One answer like the whole is added to each stratum: a few that are all right don't show
        that it has no errors.

        Returns:
            Two arrays, float64, shape (s,); the second is 1 where all answers are right or wrong.
        """
        size, right = self.sums
        count = size**2 / np.maximum(self.squares, _EQUAL)
        mean = np.divide(right, size, out=np.full(len(size), accuracy), where=size > 0)
        if not 0 < accuracy < 1:
            return mean, np.ones(len(size))
        near = (mean * count + accuracy) / (count + 1)
        return mean, np.sqrt(near * (1 - near) / (accuracy * (1 - accuracy)))

    def _effective(
        self, scale: np.ndarray, accuracy: float, mean: float | np.ndarray, spread: np.ndarray
    ) -> float:
        """How many independent answers these are worth: at least 1, and more than their number
        only where the strata are parts of the field (`mean` and `spread`: see `_of_parts`).

        size^2 / (squares + rho (shared squares)), sums of weights: n / (1 + rho (m - 1)) for n
        answers of one weight in clusters of m. rho says how alike the answers of a cluster are:
        0 not at all, 1 a cluster is one answer. rho is what makes this the cluster-robust
        variance of the ratio right / answers, but it is learnt only from clusters that hold both
        what is rare and what is common, so it starts as two clusters of rho = 1: with few errors
        the plain estimate calls them independent.

        The part of the variance that is learnt from clusters is learnt from few of them, and of
        fewer than there are where some are much larger than others: Student's t widens that part
        alone. Its degrees of freedom are the clusters of equal size that would scatter alike,
        less one.

        Source: Kish 1965, Survey Sampling, chapter 8; Korn & Graubard 1998, Survey Methodology 24
        (effective number and t); Carter, Schnepel & Steigerwald 2017, doi:10.1162/REST_a_00639
        (effective number of clusters).
        """
        if self.clusters <= 1:
            return float(self.clusters)
        spread = scale * spread
        size, squares = float(self.sums[0] @ scale), float(self.squares @ spread**2)
        shared = float(spread @ self.products[0, :, 0] @ spread) - squares
        if shared <= _EQUAL * squares:
            return size**2 / squares
        above = np.stack([-mean * scale, scale])
        rho, learnt = self._alike(above, accuracy, squares, shared)
        between = learnt * shared / (squares + rho * shared)
        widen = (student_quantile(max(1.0, self._equal_clusters(spread, rho) - 1)) / Z_95) ** 2
        worth = size**2 / (squares + rho * shared)
        return max(1.0, worth / (1 + between * (widen - 1)))

    def _alike(
        self, above: np.ndarray, accuracy: float, squares: float, shared: float
    ) -> tuple[float, float]:
        """rho of `_effective`, in [0, 1], and the part of it that is learnt from the answers.

        `above`, shape (2, s), times the sums of a cluster: what it has right above what its size
        lets expect.
        """
        rho = 0.0
        if 0 < accuracy < 1:
            scatter = float(np.einsum("as,asbt,bt->", above, self.products, above))
            between = self.clusters / (self.clusters - 1) * scatter
            rho = (between / (accuracy * (1 - accuracy)) - squares) / shared
        telling = min(self.with_wrong, self.with_right)
        learnt = telling * min(1.0, max(0.0, rho)) / (_ALIKE + telling)
        return learnt + _ALIKE / (_ALIKE + telling), learnt

    def _equal_clusters(self, scale: np.ndarray, rho: float) -> float:
        """The clusters of equal size whose variance is known as well: (sum v)^2 / sum v^2."""
        parts = np.concatenate([rho * np.outer(scale, scale).ravel(), (1 - rho) * scale**2])
        sums = np.concatenate([self.products[0, :, 0].ravel(), self.squares])
        return float((parts @ sums) ** 2 / (parts @ self.spread @ parts))


def chunks(count: int) -> Iterator[slice]:
    """Parts of so many rows: figures of millions of rows need no columns of their size."""
    return (slice(first, first + _CHUNK) for first in range(0, count, _CHUNK))


def rows_where(chosen: np.ndarray) -> np.ndarray:
    """The rows that are chosen: bool, shape (n,) -> int32, shape (m,), in order."""
    rows, count = np.empty(np.count_nonzero(chosen), np.int32), 0
    for part in chunks(len(chosen)):
        here = np.flatnonzero(chosen[part])
        np.add(here, part.start, out=rows[count : count + len(here)], casting="same_kind")
        count += len(here)
    return rows


def is_increasing(values: np.ndarray) -> bool:
    """Whether each value of a column is above the one before it."""
    parts = chunks(len(values) - 1)
    return all(bool((values[1:][part] > values[:-1][part]).all()) for part in parts)


def confusion(label: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """How many frames of each label got each answer: int64, shape (size, size).

    Args:
        label, index: int, shape (n,): both below `size`, index from 0; a label below 0 is none.
    """
    counts = np.zeros(size * size, int)
    for part in chunks(len(label)):
        cell = label[part].astype(np.int64) * size + index[part]
        counts += np.bincount(cell[cell >= 0], minlength=size * size)
    return counts.reshape(size, size)


def unique_in_runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`numpy.unique` with its inverse, where equal values mostly follow each other.

    Only the first of each run is sorted: of millions of frames that takes little memory and time.

    Returns:
        The values, sorted, each once.
        int32, shape (n,): where each value is among them.

    Example:
        >>> unique_in_runs(np.array([7, 7, 3, 3, 7]))
        (array([3, 7]), array([1, 1, 0, 0, 1], dtype=int32))
    """
    starts = run_starts(values)
    found, member = np.unique(values[starts], return_inverse=True)
    lengths = np.diff(starts, append=len(values))
    return found, np.repeat(member.astype(np.int32), lengths)


def run_starts(*columns: np.ndarray) -> np.ndarray:
    """The rows that differ in one of some columns from the row before, the first among them.

    Args:
        columns: Shape (n,) each.

    Returns:
        int64, shape (runs,).
    """
    is_new = np.zeros(len(columns[0]), bool)
    is_new[:1] = True
    for column in columns:
        is_new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(is_new)


def tighter(exact: Tally, alike: Tally) -> Tally:
    """Of two tallies of one field the one that is known better, if they agree.

    Args:
        exact: Answers count by the frames that they stand for: right whatever they are.
        alike: All answers count alike: right where they are typical of the field.

    Returns:
        `alike` where its interval is narrower and its accuracy lies in the inner half of the
        interval of `exact`; else `exact`.
    """
    if exact.accuracy is None or alike.accuracy is None:
        return exact
    low, high = exact.interval
    side = low if alike.accuracy < exact.accuracy else high
    agree = abs(alike.accuracy - exact.accuracy) <= abs(side - exact.accuracy) / 2
    is_narrower = alike.interval[1] - alike.interval[0] < high - low
    return alike if agree and is_narrower else exact


def difference(first: Tally, second: Tally) -> tuple[float, float, float]:
    """First minus second accuracy, measured on different images, and its 95 % interval.

    Returns:
        Points; the interval is -100 to 100 when one of the two is empty.

    Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I,
    method 10: two intervals, squared and added; here they are Jeffreys intervals (any good ones
    serve: Zou & Donner 2008, doi:10.1002/sim.3095).

    Example:
        >>> [round(x, 1) for x in difference(Tally(95, 100), Tally(80, 100))]
        [15.0, 6.1, 24.2]
    """
    points = 100 * ((first.accuracy or 0.0) - (second.accuracy or 0.0))
    if first.accuracy is None or second.accuracy is None:
        return (points, -100.0, 100.0)
    low, high = _square_and_add(first, second, 0.0)
    return (points, 100 * low, 100 * high)


def paired_difference(
    first: np.ndarray, second: np.ndarray, whole: Tally | None = None
) -> tuple[float, float]:
    """95 % interval of the drop from `first` to `second`, answers to the same images.

    Args:
        first, second: bool, shape (n,): which images were answered right.
        whole: A tally of such images: one is worth as much here; None: each stands for itself.

    Returns:
        Fractions in [-1, 1]; (-1, 1) for no images.

    Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19981130)17:22<2635, method 10.
    """
    n = len(first)
    if not n:
        return (-1.0, 1.0)
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    lost, won = int((first & ~second).sum()), int((~first & second).sum())
    cross = float(both * neither - lost * won)
    if cross > 0:
        cross = max(cross - n / 2, 0.0)
    margins = float(both + lost) * (won + neither) * (both + won) * (lost + neither)
    phi = cross / sqrt(margins) if margins else 0.0
    before, after = Tally(both + lost, n), Tally(both + won, n)
    if whole is not None:
        before, after = before.worth_as(whole), after.worth_as(whole)
    return _square_and_add(before, after, phi)


def _square_and_add(first: Tally, second: Tally, phi: float) -> tuple[float, float]:
    """Newcombe's interval of a difference from two intervals and their correlation."""
    p, q = first.accuracy or 0.0, second.accuracy or 0.0
    (p_low, p_high), (q_low, q_high) = first.interval, second.interval
    below, above = p - p_low, q_high - q
    down = sqrt(max(0.0, below**2 - 2 * phi * below * above + above**2))
    above, below = p_high - p, q - q_low
    up = sqrt(max(0.0, above**2 - 2 * phi * above * below + below**2))
    return (max(-1.0, p - q - down), min(1.0, p - q + up))
