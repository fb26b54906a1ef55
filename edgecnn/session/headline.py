"""Live accuracy from the labels of recorded sessions, for whatever frames they speak."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.intervals import Clusters, tighter
from edgecnn.accuracy.tally import Tally
from edgecnn.session.answers import HARD, RANDOM, WHOLE, label_scales, number_objects
from edgecnn.session.read import Frames
from edgecnn.session.truth_rows import Truth

__all__ = ["headline", "label_weights", "live_alarm", "objects_shown", "same_answers"]

_TELLING_CHANGES = 20
_KINDS = 3


def headline(parts: Sequence[tuple[Frames, Truth]]) -> Tally:
    """The tally of sessions: their labels count as `label_weights` says.

    Where stretches and random frames agree, they count alike if that is known better.
    """
    exact = _tally(parts, label_weights)
    if exact.estimate is None:
        return exact
    return tighter(exact, _tally(parts, _alike_weights))


def _alike_weights(frames: Frames, truth: Truth, rows: np.ndarray) -> np.ndarray:
    """Weights of labels as of `label_weights`, if frames of stretches are as typical as others;
    where labels of uncertain answers count, as it says.
    """
    whole, random = truth.why == WHOLE, truth.why == RANDOM
    weight, why = label_weights(frames, truth, rows), truth.why[rows]
    if not (whole.any() and random.any()) or bool(weight[why == HARD].any()):
        return weight
    chance = float(truth.weight[random].sum())
    _, alike = label_scales(len(whole), int(whole.sum()), int(random.sum()), chance)
    chosen = alike[1] * truth.weight[rows] * (why == RANDOM)
    return np.asarray(alike[0] * (why == WHOLE) + chosen)


def _tally(
    parts: Sequence[tuple[Frames, Truth]],
    weigh: Callable[[Frames, Truth, np.ndarray], np.ndarray],
) -> Tally:
    """The tally of labels that count with these weights."""
    shown = objects_shown(parts)
    right, weight, segment = [np.zeros(0, bool)], [np.zeros(0)], [np.zeros(0, int)]
    kind = [np.zeros(0, int)]
    for (frames, truth), numbers in zip(parts, shown, strict=True):
        rows = np.flatnonzero(truth.label >= 0)
        worth = weigh(frames, truth, rows)
        counted = worth > 0
        kind.append(_kinds(frames, truth, rows, worth)[counted])
        right.append((truth.label[rows] == frames.index[rows])[counted])
        weight.append(worth[counted])
        segment.append(numbers[counted])
    columns = [np.concatenate(column) for column in (right, segment, kind, weight)]
    several = len(np.unique(columns[2])) > 1  # of one kind: what a run says while it goes on
    return Clusters.of(*columns, strata=_KINDS).tally(apart=several)


def _kinds(frames: Frames, truth: Truth, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Which part of the frames each label speaks for, int, shape (m,): all are 0, but where labels
    of uncertain answers count, uncertain frames are 1, and those of stretches 2.
    """
    why = truth.why[rows]
    if not bool(weight[why == HARD].any()):
        return np.zeros(len(rows), int)
    uncertain = frames.calibrated[rows] <= frames.calibrated[truth.why == HARD].max()
    return np.where(why == WHOLE, 2, uncertain.astype(int))


def live_alarm(parts: Sequence[tuple[Frames, Truth]], lab: Tally) -> Alarm:
    """Whether the labels of sessions show that the field is worse than the lab.

    Args:
        lab: Lab accuracy of the file that ran.
    """
    right, segment = [np.zeros(0, bool)], [np.zeros(0, int)]
    for (frames, truth), numbers in zip(parts, objects_shown(parts), strict=True):
        rows = np.flatnonzero(truth.label >= 0)
        counted = (truth.why[rows] == RANDOM) | (truth.why[rows] == WHOLE)
        right.append((truth.label[rows] == frames.index[rows])[counted])
        segment.append(numbers[counted])
    _, first = np.unique(np.concatenate(segment), return_index=True)
    return Alarm.of(lab, int(np.concatenate(right)[first].sum()), len(first))


def objects_shown(parts: Sequence[tuple[Frames, Truth]]) -> list[np.ndarray]:
    """Number the objects that the labelled frames of sessions show: int64, from 1.

    Things of several sessions have numbers that hold across them: see `things.link_things`.

    Returns:
        One array a session, one number for each frame with a label of the model's classes.
    """
    columns = []
    for frames, truth in parts:
        rows = np.flatnonzero(truth.label >= 0)
        thing = None if frames.thing is None else frames.thing[rows]
        columns.append((frames.key[rows], truth.label[rows], thing))
    if all(thing is not None for _, _, thing in columns) and len(columns) > 1:
        key, label, thing = map(np.concatenate, zip(*columns, strict=True))
        together = number_objects(key, label, separate=False, thing=thing)
        return np.split(together, np.cumsum([len(one) for one, _, _ in columns])[:-1])
    shown, objects = [], 0
    for (frames, _), (key, label, thing) in zip(parts, columns, strict=True):
        numbers = number_objects(key, label, separate=frames.separate, thing=thing)
        shown.append(numbers + objects)
        objects += len(key)
    return shown


def same_answers(one: Frames, other: Frames) -> bool:
    """Whether two sessions hold one recording: equal answers to the frames that both have.

    Only where that can be no chance: the answers or their confidences change at least 20 times.
    """
    _, here, there = np.intersect1d(one.key, other.key, return_indices=True)
    if 2 * len(here) < min(len(one), len(other)):
        return False
    index, sure = one.index[here], one.confidence[here]
    changes = int(((np.diff(index) != 0) | (np.diff(sure) != 0)).sum())
    equal = (index == other.index[there]) & (sure == other.confidence[there])
    return changes >= _TELLING_CHANGES and bool(equal.all())


def label_weights(frames: Frames, truth: Truth, rows: np.ndarray) -> np.ndarray:
    """For how many frames of its session each label speaks: float64, shape (m,).

    Labels of chance speak for all frames outside of whole stretches, by 1 / p. Labels of uncertain
    answers join them: of the frames that are at most as sure as the surest of those, all labels
    count alike. So the estimate stays unbiased, and the uncertain frames, where most errors are,
    are known better. 0 where there is no label, and where the headline leaves it out.

    Args:
        rows: int, shape (m,): the frames that are asked for.

    Source: Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446; post-stratification.
    """
    why, confidence = truth.why, frames.calibrated
    whole, random, hard = why == WHOLE, why == RANDOM, why == HARD
    chance = float(truth.weight[random].sum())
    scales, _ = label_scales(len(why), int(whole.sum()), int(random.sum()), chance)
    here, worth = why[rows], truth.weight[rows]
    weight = scales[0] * (here == WHOLE) + scales[1] * worth * (here == RANDOM)
    if scales[0] != 1 or not hard.any():
        return np.asarray(weight)
    uncertain = ~whole & (confidence <= confidence[hard].max())
    rest = ~whole & ~uncertain
    sure, asked = random & rest, uncertain & (random | hard)
    if not sure.any():
        return np.asarray(weight)
    scale = rest.sum() / truth.weight[sure].sum()
    weight[sure[rows]] = worth[sure[rows]] * scale
    weight[asked[rows]] = uncertain.sum() / asked.sum()
    return np.asarray(weight)
