"""Which frames are most worth a label: different ones, and of each kind the least certain.

k-means divides the embeddings into as many clusters as labels are wanted; of each cluster the
frame with the least certain answer is taken. The clusters keep uncertain look-alikes from taking
all places. numpy only: it also runs on the board.

Source: Sener and Savarese 2018, arXiv:1708.00489 (cover the embedding); MacQueen 1967 (k-means).
"""

from __future__ import annotations

import numpy as np

__all__ = ["rank_frames"]

_ROUNDS = 25


def rank_frames(
    embedding: np.ndarray, certainty: np.ndarray, groups: np.ndarray, count: int, seed: int = 0
) -> np.ndarray:
    """Pick up to `count` frames, no two of one group, the least certain first.

    Args:
        embedding: float32 (n, d).
        certainty: float (n,): the top score of each answer.
        groups: int (n,): near-duplicates share a number.

    Returns:
        int64: rows.
    """
    alone = _least_certain(groups, certainty)
    if len(alone) > count:
        cluster = _cluster(embedding[alone].astype(np.float64), count, seed)
        first = alone[_least_certain(cluster, certainty[alone])]
        # Kinds are fewer where a network gives many frames the very same scores.
        others = np.random.default_rng(seed).permutation(np.setdiff1d(alone, first))
        others = others[np.argsort(certainty[others], kind="stable")]
        alone = np.append(first, others[: count - len(first)])
    return np.asarray(alone[np.argsort(certainty[alone], kind="stable")])


def _least_certain(parts: np.ndarray, certainty: np.ndarray) -> np.ndarray:
    """The row with the lowest certainty of each part."""
    order = np.lexsort((certainty, parts))
    first = np.append(True, np.diff(parts[order]) != 0)
    return np.asarray(order[first[: len(order)]])


def _cluster(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """k-means from centres that lie far apart: int64 (n,), each number from 0 to count - 1."""
    centres = _spread_centres(points, count, np.random.default_rng(seed))
    nearest = _nearest(points, centres)
    for _ in range(_ROUNDS):
        for k in range(count):
            if (mine := nearest == k).any():
                centres[k] = points[mine].mean(axis=0)
        found = _nearest(points, centres)
        if (found == nearest).all():
            break
        nearest = found
    return nearest


def _spread_centres(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ (Arthur and Vassilvitskii 2007): far points are likely to become centres."""
    chosen = [int(rng.integers(len(points)))]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = distance.sum()
        share = distance / total if total > 0 else np.full(len(points), 1 / len(points))
        chosen.append(int(rng.choice(len(points), p=share)))
    return points[chosen].copy()


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distance = (centres**2).sum(axis=1) - 2 * points @ centres.T
    return np.asarray(distance.argmin(axis=1))
