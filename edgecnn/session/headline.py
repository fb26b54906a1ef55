"""Live accuracy from the labels of recorded sessions, for whatever frames they speak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgecnn.accuracy.intervals import Clusters
from edgecnn.accuracy.tally import Tally
from edgecnn.session.answers import HARD, RANDOM, WHOLE, number_objects, stratum_scales
from edgecnn.session.read import Frames
from edgecnn.session.truth_rows import Truth

__all__ = ["headline", "label_weights"]


def headline(parts: Sequence[tuple[Frames, Truth]]) -> Tally:
    """The tally of sessions: their labels count as `label_weights` says."""
    right, weight, segment = [np.zeros(0, bool)], [np.zeros(0)], [np.zeros(0, int)]
    objects = 0
    for frames, truth in parts:
        weights = label_weights(frames, truth)
        rows = np.flatnonzero(truth.label >= 0)
        label, worth = truth.label[rows], weights[rows]
        numbers = number_objects(frames.key[rows], label, separate=frames.separate) + objects
        objects += len(rows)
        counted = worth > 0
        right.append((label == frames.index[rows])[counted])
        weight.append(worth[counted])
        segment.append(numbers[counted])
    columns = (np.concatenate(column) for column in (right, segment, weight))
    answers, numbers, weights = columns
    return Clusters.of(answers, numbers, weight=weights).tally()


def label_weights(frames: Frames, truth: Truth) -> np.ndarray:
    """For how many frames of its session each label speaks: float64, shape (n,).

    Labels of chance speak for all frames outside of whole stretches, by 1 / p. Labels of uncertain
    answers join them: of the frames that are at most as sure as the surest of those, all labels
    count alike. So the estimate stays unbiased, and the uncertain frames, where most errors are,
    are known better. 0 where there is no label, and where the headline leaves it out.

    Source: Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446; post-stratification.
    """
    why, confidence = truth.why, frames.calibrated
    whole, random, hard = why == WHOLE, why == RANDOM, why == HARD
    chance = float(truth.weight[random].sum())
    scales = stratum_scales(len(why), int(whole.sum()), int(random.sum()), chance)
    weight = scales[0] * whole + scales[1] * truth.weight * random
    if scales[0] != 1 or not hard.any():
        return np.asarray(weight)
    uncertain = ~whole & (confidence <= confidence[hard].max())
    rest = ~whole & ~uncertain
    sure, asked = random & rest, uncertain & (random | hard)
    if not sure.any():
        return np.asarray(weight)
    weight[sure] = truth.weight[sure] * (rest.sum() / truth.weight[sure].sum())
    weight[asked] = uncertain.sum() / asked.sum()
    return np.asarray(weight)
