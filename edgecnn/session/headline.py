"""Live accuracy from the labels of recorded sessions, for whatever frames they speak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.tally import Tally
from edgecnn.session.answers import HARD, RANDOM, WHOLE, number_objects, stratum_weights
from edgecnn.session.read import Frames
from edgecnn.session.truth_rows import Truth

__all__ = ["headline", "label_weights"]


def headline(parts: Sequence[tuple[Frames, Truth]]) -> Tally:
    """The tally of sessions: their labels count as `label_weights` says."""
    right, weight, segment = [np.zeros(0, bool)], [np.zeros(0)], [np.zeros(0, int)]
    objects = 0
    for frames, truth in parts:
        rows = np.flatnonzero(truth.label >= 0)
        label = truth.label[rows]
        right.append(label == frames.index[rows])
        weight.append(label_weights(frames, truth)[rows])
        numbers = number_objects(frames.key[rows], label, separate=frames.separate)
        segment.append(numbers + objects)
        objects += len(rows)
    weights = np.concatenate(weight)
    counted = np.flatnonzero(weights)
    values, stratum = np.unique(weights[counted], return_inverse=True)
    objects_of = np.concatenate(segment)[counted]
    counts = Clusters.of(np.concatenate(right)[counted], objects_of, stratum)
    return counts.tally(values if len(counted) else None)


def label_weights(frames: Frames, truth: Truth) -> np.ndarray:
    """For how many frames of its session each label speaks: float64, shape (n,).

    0 where there is no label, and where the headline leaves it out.
    """
    stratum, worth = _strata(truth.why, frames.calibrated)
    return np.asarray(np.append(worth, 0.0)[stratum])


def _strata(why: np.ndarray, confidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which answers the headline counts, and for how many frames each stands.

    Labels of chance stand for all frames outside of whole stretches. Labels of uncertain answers
    join them as a stratum of their own: the frames that are at most as sure as the surest of
    them, of which those that chance picked are a part too. So the estimate stays unbiased, and
    the uncertain frames, where most errors are, are known better.

    Args:
        why: int, shape (n,), of all answers of a session: -1 where there is no label.
        confidence: float, shape (n,): of the answers.

    Returns:
        int64, shape (n,): the stratum, -1 where the answer is not counted.
        float64, shape (3,): what an answer of each stratum stands for; 0 for an empty one.

    Source: Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446; post-stratification.
    """
    whole, random, hard = why == WHOLE, why == RANDOM, why == HARD
    stratum = np.where(whole, 0, np.where(random, 1, -1))
    few = stratum_weights(len(why), int(whole.sum()), int(random.sum()))
    if few[0] == few[1] or not hard.any():
        return stratum, np.append(few, 0.0)
    uncertain = ~whole & (confidence <= confidence[hard].max())
    rest = ~whole & ~uncertain
    if not (random & rest).any():
        return stratum, np.append(few, 0.0)
    stratum[uncertain & (random | hard)] = 2
    sizes = np.array([whole.sum(), rest.sum(), uncertain.sum()])
    counts = np.bincount(stratum[stratum >= 0], minlength=3)
    return stratum, sizes / np.maximum(counts, 1)
