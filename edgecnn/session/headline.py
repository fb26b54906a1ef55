"""Live accuracy from the labels of recorded sessions, for whatever frames they speak."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edgecnn.accuracy.alarm import Alarm
from edgecnn.accuracy.intervals import Clusters, chunks, rows_where, run_starts, tighter
from edgecnn.accuracy.tally import Tally
from edgecnn.errors import SessionError
from edgecnn.session.answers import HARD, RANDOM, WHOLE, label_scales, number_objects, region_of
from edgecnn.session.read import Frames, Session
from edgecnn.session.reading.thin_log import log_weights
from edgecnn.session.truth_rows import Truth

__all__ = [
    "check_distinct",
    "headline",
    "is_right",
    "joined",
    "label_weights",
    "labelled_rows",
    "live_alarm",
    "objects_shown",
]

_TELLING_CHANGES, _TELLING_OF_FILES = 20, 5
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
    size = _size(whole, log_weights(frames, ~whole))
    _, alike = label_scales(size, int(whole.sum()), int(random.sum()), chance)
    chosen = alike[1] * truth.weight[rows] * (why == RANDOM)
    return np.asarray(alike[0] * (why == WHOLE) + chosen)


def _tally(
    parts: Sequence[tuple[Frames, Truth]],
    weigh: Callable[[Frames, Truth, np.ndarray], np.ndarray],
) -> Tally:
    """The tally of labels that count with these weights."""
    shown = objects_shown(parts)
    found = []
    for (frames, truth), numbers in zip(parts, shown, strict=True):
        rows = labelled_rows(truth)
        worth = weigh(frames, truth, rows)
        counted = worth > 0
        columns = (
            is_right(frames, truth, rows),
            numbers,
            _kinds(frames, truth, rows, worth),
            worth,
        )
        found.append(columns if counted.all() else tuple(c[counted] for c in columns))
    right, segment, kind, weight = map(joined, zip(*found, strict=True))
    several = len(np.unique(kind)) > 1  # of one kind: what a run says while it goes on
    return Clusters.of(right, segment, kind, weight, strata=_KINDS).tally(apart=several)


def labelled_rows(truth: Truth) -> np.ndarray:
    """The frames with a label of the model's classes: int32, shape (m,)."""
    return rows_where(truth.label >= 0)


def is_right(frames: Frames, truth: Truth, rows: np.ndarray) -> np.ndarray:
    """Which of some frames are answered right: bool, shape (m,)."""
    return np.asarray(truth.label[rows] == frames.index[rows])


def joined(columns: Sequence[np.ndarray]) -> np.ndarray:
    """One column of several sessions; that of one is not copied."""
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _kinds(frames: Frames, truth: Truth, rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Which part of the frames each label speaks for, int8, shape (m,): all are 0, but where labels
    of uncertain answers count, uncertain frames are 1, and those of stretches 2.
    """
    why = truth.why[rows]
    if not bool(weight[why == HARD].any()):
        return np.zeros(len(rows), np.int8)
    uncertain = frames.calibrated[rows] <= frames.calibrated[truth.why == HARD].max()
    return np.where(why == WHOLE, np.int8(2), uncertain.astype(np.int8))


def live_alarm(parts: Sequence[tuple[Frames, Truth]], lab: Tally) -> Alarm:
    """Whether the labels of sessions show that the field is worse than the lab.

    Args:
        lab: Lab accuracy of the file that ran.
    """
    found = []
    for (frames, truth), numbers in zip(parts, objects_shown(parts), strict=True):
        rows = labelled_rows(truth)
        counted = ((truth.why == RANDOM) | (truth.why == WHOLE))[rows]
        counted &= ~_logged_as_hard(frames, truth)[rows]
        columns = (is_right(frames, truth, rows), numbers)
        found.append(columns if counted.all() else tuple(c[counted] for c in columns))
    right, segment = map(joined, zip(*found, strict=True))
    starts = run_starts(segment)  # of each run the first is enough
    _, first = np.unique(segment[starts], return_index=True)
    return Alarm.of(lab, int(right[starts[first]].sum()), len(first))


def _logged_as_hard(frames: Frames, truth: Truth) -> np.ndarray:
    """Labels that stand for themselves alone since a thin log holds their frames for being hard:
    bool, shape (n,). The alarm weighs no labels, so that it can't count these; what the page of the
    run asked about is a draw of chance wherever its picture is.
    """
    found = np.zeros(len(frames), bool)
    if (truth.why == RANDOM).any() and log_weights(frames) is not None:
        found[[row for row, chance in frames.chances.items() if not chance]] = True
        found &= (truth.why == RANDOM) & (truth.weight == 1)
        found &= ~np.isin(frames.key, truth.asked)
    return found


def objects_shown(parts: Sequence[tuple[Frames, Truth]]) -> list[np.ndarray]:
    """Number the objects that the labelled frames of sessions show: int32, from 1.

    Things of several sessions have numbers that hold across them: see `things.link_things`.

    Returns:
        One array a session, one number for each frame with a label of the model's classes.
    """
    columns, lengths = [], []
    for frames, truth in parts:
        first, length = _runs(frames, truth)
        thing = None if frames.thing is None else frames.thing[first]
        label = truth.label[first]
        if thing is not None and not frames.by_looks:
            label = np.zeros_like(label)  # see `thing_rule`
        columns.append((frames.key[first], label, thing))
        lengths.append(length)
    if all(thing is not None for _, _, thing in columns) and len(columns) > 1:
        key, label, thing = map(np.concatenate, zip(*columns, strict=True))
        together = number_objects(key, label, separate=False, thing=thing)
        numbers = np.split(together, np.cumsum([len(one) for one, _, _ in columns])[:-1])
        return [np.repeat(number, length) for number, length in zip(numbers, lengths, strict=True)]
    shown, objects = [], 0
    for (frames, _), (key, label, thing), length in zip(parts, columns, lengths, strict=True):
        number = number_objects(key, label, separate=frames.separate, thing=thing)
        shown.append(np.repeat(number + np.int32(objects), length))
        objects += len(shown[-1])
    return shown


def _runs(frames: Frames, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Runs of labelled frames that show one object: the first row of each, and how many it has.

    There may be millions of frames: the columns of some are looked at at a time.
    """
    rows = labelled_rows(truth)
    if frames.thing is None and frames.separate:
        return rows, np.ones(len(rows), np.int32)
    found = []
    for part in chunks(len(rows)):
        begin = max(0, part.start - 1)  # the row before says whether the first one is new
        here = rows[begin : part.stop]
        columns = [region_of(frames.key[here]), truth.label[here]]
        columns += [] if frames.thing is None else [frames.thing[here]]
        starts = run_starts(*columns) + begin
        found.append(starts[starts >= part.start])
    starts = np.concatenate([np.zeros(0, int), *found])
    return rows[starts], np.diff(starts, append=len(rows))


def check_distinct(opened: Sequence[Session], frames: Sequence[Frames]) -> None:
    """Refuse a recording that is given twice, as a copy or under another name.

    Raises:
        SessionError: Two sessions hold one recording.
    """
    for k, later in enumerate(frames):
        for earlier, other in zip(opened[:k], frames[:k], strict=True):
            source = earlier.header.source
            of_files = earlier.header.ran_over_files and source == opened[k].header.source
            if _same_answers(other, later, same_files=of_files):
                raise SessionError(
                    f"{opened[k].path} holds the same answers as {earlier.path}: one recording, "
                    "given twice; its frames would count twice. Give one of them"
                )


def _same_answers(one: Frames, other: Frames, *, same_files: bool = False) -> bool:
    """Whether two sessions hold one recording: equal answers to the frames that both have.

    Only where that can be no chance: the answers or their confidences change at least 20 times, or
    5 times where both ran over as many frames of the same files.

    Args:
        same_files: Whether their source is one video or folder.
    """
    _, here, there = np.intersect1d(one.key, other.key, return_indices=True)
    if 2 * len(here) < min(len(one), len(other)):
        return False
    index, sure = one.index[here], one.confidence[here]
    changes = int(((np.diff(index) != 0) | (np.diff(sure) != 0)).sum())
    equal = (index == other.index[there]) & (sure == other.confidence[there])
    least = _TELLING_OF_FILES if same_files and len(one) == len(other) else _TELLING_CHANGES
    return changes >= least and bool(equal.all())


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
    whole, random = why == WHOLE, why == RANDOM
    chance = float(truth.weight[random].sum())
    others = log_weights(frames, ~whole) if random.any() else None
    size = _size(whole, others)
    scales, _ = label_scales(size, int(whole.sum()), int(random.sum()), chance)
    here = whole[rows]
    if here.all():
        return np.broadcast_to(scales[0], len(rows))
    weight = np.zeros(len(rows))
    weight[here] = scales[0]
    chosen = random[rows]
    weight[chosen] = scales[1] * truth.weight[rows[chosen]]
    hard = why == HARD
    if scales[0] != 1 or not hard.any():
        return weight
    worth = truth.weight[rows]
    uncertain = ~whole & (confidence <= confidence[hard].max())
    rest = ~whole & ~uncertain
    sure, asked = random & rest, uncertain & (random | hard)
    if not sure.any():
        return weight
    num_rest, num_uncertain = (
        part.sum() if others is None else others[part].sum() for part in (rest, uncertain)
    )
    weight[sure[rows]] = worth[sure[rows]] * (num_rest / truth.weight[sure].sum())
    weight[asked[rows]] = num_uncertain / asked.sum()
    return weight


def _size(whole: np.ndarray, others: np.ndarray | None) -> int:
    """How many answers there were: those of whole stretches, and what the others stand for."""
    if others is None:
        return len(whole)
    return max(len(whole), int(whole.sum()) + round(float(others.sum())))
