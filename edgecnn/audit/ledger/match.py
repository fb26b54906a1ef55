"""Which way of answering kept frames gives the scores that the device logged.

Only scores are compared: no label, no lab image. A way is named only if it fits clearly better
than the bundle's own path; ways that fit alike are all named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.paired import Paired

__all__ = ["FEWEST", "Match", "find_match", "match_regions", "moved_labels", "score_distance"]

# With fewer kept frames nothing is said.
FEWEST = 10
# Integer kernels differ by a step of 1/256 between runtimes, and scores are logged in steps.
_STEP = 1.5 / 256
# The bundle's own path counts as right up to this mean distance, whatever fits better.
_SAME = 0.5 / 256
# Another way has to be nearer by this factor (METHODS, section 0d: without it a dark scene was
# read as "grey"), on far more frames, and give the device's answer on most of them.
_MARGIN, _CHANCE, _EXPLAINS = 1.3, 1e-4, 0.85
# How often the own path has to fail before "an unknown path" is said.
_FAILS, _FAR = 0.8, 0.1
# Pictures have nothing to do with their answers when they fit other answers nearly as well.
_UNRELATED, _ROLLS = 0.8, 20


@dataclass(frozen=True)
class Match:
    """What fits the device's answers.

    Args:
        names: The ways that fit clearly better than the own path, best first; () where none does.
        agreement: Share of the frames on which the named way gives the device's answer.
        unrelated: The pictures fit other frames' answers as well as their own.
        unknown: No way gives the device's answers, the own path included.
    """

    names: tuple[str, ...] = ()
    agreement: float = 0.0
    unrelated: bool = False
    unknown: bool = False


def score_distance(logged: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Half the sum of the differences of the scores that exceed a step: shape (n,), 0 to 1."""
    apart = np.maximum(np.abs(logged - scores) - _STEP, 0)
    return np.asarray(apart.sum(axis=1) / 2)


def find_match(logged: np.ndarray, own: np.ndarray, others: Mapping[str, np.ndarray]) -> Match:
    """Compare ways of answering the same frames.

    Args:
        logged: float, shape (n, classes): the device's scores.
        own: The same, of the bundle's own path here.
        others: The same of each other way, by name.
    """
    before = score_distance(logged, own)
    apart = {name: score_distance(logged, scores) for name, scores in others.items()}
    means = {name: float(distance.mean()) for name, distance in apart.items()}
    if len(logged) < FEWEST or before.mean() <= _SAME:
        return Match()
    fits = [
        name
        for name, distance in apart.items()
        if means[name] * _MARGIN < before.mean()
        and Paired.of(-before, -distance).p_better < _CHANCE
        and _agreement(logged, others[name]) >= _EXPLAINS
    ]
    if fits:
        best = min(fits, key=lambda name: means[name])
        tied = [name for name in fits if means[name] <= _MARGIN * means[best] + _STEP / 2]
        names = tuple(sorted(tied, key=lambda name: means[name]))
        return Match(names, _agreement(logged, others[best]))
    if _agreement(logged, own) >= _FAILS or before.mean() <= _FAR:
        return Match()
    unrelated = _is_unrelated(logged, own)
    return Match(unrelated=unrelated, unknown=not unrelated)


def match_regions(
    logged: np.ndarray,
    own: np.ndarray,
    others: Mapping[str, np.ndarray],
    regions: Mapping[str | None, np.ndarray],
) -> Match:
    """The same, and where nothing fits all frames what fits those of single regions.

    Args:
        regions: The frames of each region by its name: int, shape (k,).
    """
    found = find_match(logged, own, others)
    if found.names or len(regions) < 2:
        return found
    told, by_fault = [], own.copy()
    for name, rows in regions.items():
        some = {way: scores[rows] for way, scores in others.items()}
        one = find_match(logged[rows], own[rows], some)
        if one.names:
            told.append(f"{' or '.join(one.names)} (region {name})")
            by_fault[rows] = some[one.names[0]]
    return Match(("; ".join(told),), _agreement(logged, by_fault)) if told else found


def moved_labels(logged: np.ndarray, own: np.ndarray) -> np.ndarray | None:
    """The own scores with the labels in the order that the device seems to have; None: the same.

    Each class that moves must be seen three times, and no two may move to the same place.
    """
    classes = own.shape[1]
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (own.argmax(axis=1), logged.argmax(axis=1)), 1)
    order = np.where(counts.max(axis=1) >= 3, counts.argmax(axis=1), -1)
    seen = order[order >= 0]
    rest = [k for k in range(classes) if k not in set(seen.tolist())]
    if (
        len(set(seen.tolist())) != len(seen)
        or (order[order >= 0] == np.flatnonzero(order >= 0)).all()
    ):
        return None
    # Classes without a frame keep their place where it is free.
    for k in np.flatnonzero(order < 0).tolist():
        order[k] = rest.pop(rest.index(k) if k in rest else 0)
    moved = np.empty_like(own)
    moved[:, order] = own
    return moved


def _agreement(logged: np.ndarray, scores: np.ndarray) -> float:
    return float((logged.argmax(axis=1) == scores.argmax(axis=1)).mean())


def _is_unrelated(logged: np.ndarray, own: np.ndarray) -> bool:
    """Whether the device's answers are those of a readable picture, but of another one."""
    rolls = np.unique(np.linspace(1, len(own) - 1, _ROLLS).astype(int))

    def between(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.mean([score_distance(first, np.roll(second, k, 0)).mean() for k in rolls]))

    as_sure = logged.max(axis=1).mean() >= _UNRELATED * own.max(axis=1).mean()
    as_varied = between(logged, logged) >= _UNRELATED * between(own, own)
    own_distance = float(score_distance(logged, own).mean())
    return bool(as_sure and as_varied and own_distance >= _UNRELATED * between(logged, own))
