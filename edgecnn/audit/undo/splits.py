"""Choose one setting on half of the groups and score it on the other half, many times."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["HOLDS", "Return", "measure_return"]

_SPLITS = 200
# A setting is chosen if what it wins exceeds what it loses by so many standard errors.
_CLEAR = 1.5
_LOW, _HIGH = 10, 90
HOLDS = _HIGH - _LOW
"""Percent of the splits that an interval holds."""
_FLIPS = 999


@dataclass(frozen=True)
class Return:
    """What the best setting of a family returns on groups that had no part in choosing it.

    chosen   the setting that the whole of the groups chooses; None where none is clearly better
    splits   float64, shape (200,): what each split returns, in points
    points   mean over the splits; low, high: between them are the mean and 80 % of the splits
    often    the share of splits in which some setting was chosen
    chance   of a best setting as clear as this, if all settings won and lost by chance alone
    """

    chosen: int | None
    splits: np.ndarray
    often: float
    chance: float

    @property
    def points(self) -> float:
        return float(self.splits.mean())

    @property
    def low(self) -> float:
        return min(self.points, float(np.percentile(self.splits, _LOW)))

    @property
    def high(self) -> float:
        return max(self.points, float(np.percentile(self.splits, _HIGH)))

    @property
    def doubtful(self) -> float:
        """Of the points: those that may be luck."""
        return self.points - max(0.0, self.low)

    def beats(self, other: Return, *, points: float, often: float) -> bool:
        """Whether it returns clearly more than another family of settings on the same splits.

        In the mean by so many points and at least twice as much, and more in so large a share of
        the splits.
        """
        more = self.splits - other.splits
        is_more = float(more.mean()) >= max(points, other.points)
        return is_more and float((more > 0).mean()) >= often


def measure_return(won: np.ndarray, weight: np.ndarray, group: np.ndarray) -> Return:
    """Measure a family of settings.

    Args:
        won: float, shape (settings, n): 1 where a setting reads a frame right that is misread as
            it is, -1 the other way, else 0.
        weight: float, shape (n,): for how many frames each stands.
        group: int, shape (n,): frames with the same number show the same object.
    """
    _, member = np.unique(group, return_inverse=True)
    count = int(member.max()) + 1
    size = np.bincount(member, weights=weight, minlength=count)
    gain = np.stack([np.bincount(member, weights=weight * row, minlength=count) for row in won])
    choosing = _halves(count)
    chosen = np.array([_choose(gain[:, half]) for half in choosing])
    returned = np.array(
        [
            100 * gain[best, ~half].sum() / size[~half].sum() if best >= 0 else 0.0
            for best, half in zip(chosen.tolist(), choosing, strict=True)
        ]
    )
    best = _choose(gain)
    return Return(
        None if best < 0 else best,
        returned,
        float((chosen >= 0).mean()),
        _chance(gain),
    )


def _chance(gain: np.ndarray) -> float:
    """The chance of the clearest of all settings: what each object gains gets a random sign, for
    all settings together.

    Source: Westfall & Young 1993, Resampling-Based Multiple Testing (largest statistic).
    """
    spread = np.sqrt((gain**2).sum(axis=1))
    used = spread > 0
    if not used.any():
        return 1.0
    sizes = gain[used] / spread[used, None]
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (_FLIPS, gain.shape[1]))
    largest = (signs @ sizes.T).max(axis=1)
    seen = sizes.sum(axis=1).max()
    return float((1 + (largest >= seen - 1e-9).sum()) / (1 + _FLIPS))


def _choose(gain: np.ndarray) -> int:
    """The setting that gains most, of those that clearly gain; -1: none does.

    Args:
        gain: float, shape (settings, groups): in frames.
    """
    total = gain.sum(axis=1)
    clear = total >= _CLEAR * np.sqrt((gain**2).sum(axis=1))
    wins = np.where(clear & (total > 0), total, 0)
    return int(wins.argmax()) if wins.any() else -1


def _halves(count: int) -> np.ndarray:
    """Random halves of the groups: bool, shape (splits, groups)."""
    place = np.random.default_rng(0).permuted(np.tile(np.arange(count), (_SPLITS, 1)), axis=1)
    return np.asarray(place < (count + 1) // 2)
