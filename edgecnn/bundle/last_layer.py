"""Fit the last layer again: to labels, to the teacher's answers, and to the lab.

The teacher need not be sure: learning from its sure answers alone leaves out the classes that the
camera shows badly, and the layer forgets them (docs/results/adapt.md). Labels count fully. The
teacher's answers to the other images count less the more labels there are, and the replayed lab
images keep the layer from forgetting. The result lies between the layer as it was and the fit, the
nearer to the fit the more images there are. Cross-validation by group says, before anything is
accepted, what it does to held-out images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.paired import Paired, PairedClasses
from edgecnn.bundle.head import Head, Lessons, refit
from edgecnn.bundle.onboard.centres import ClassCentres
from edgecnn.records import Progress
from edgecnn.words import number

__all__ = [
    "FEWEST_GROUPS",
    "FEWEST_IMAGES",
    "MOST_IMAGES",
    "SURELY",
    "UNLABELLED",
    "LastLayer",
    "find_suspects",
    "fold_of_groups",
    "lab_lessons",
    "lessons_of",
]

UNLABELLED = -1
FEWEST_IMAGES, FEWEST_GROUPS = 20, 10
"""Adapting refuses fewer field images, or near-duplicates of fewer things."""
MOST_IMAGES = 2000
"""Adapting takes no more field images: more change nothing."""
_FOLDS = 5
_SURE = 0.7  # of the teacher
SURELY = 0.95
"""A score from which on an answer contradicts a label."""

# From so many labels on, the teacher's answers count half.
_HALF = 20
_LAB = 300  # what all replayed lab images together weigh, in images
_AS_MUCH = 50  # so many images move the layer half of the way to its fit


@dataclass(frozen=True, eq=False)
class LastLayer:
    """All that a fit needs.

    head       the layer as it is
    embedding  float32 (n, d): of the field images
    labels     int64 (n,): class, or UNLABELLED; suspects count as unlabelled
    teacher    float32 (n, classes): its scores
    classes    int64 (n,): what an image without a label is taken for
    sample     bool (n,): false where an image was kept for being hard; only its label is learned
    groups     int64 (n,)
    lab        the replayed lab images
    threshold, pull   see AdaptOptions
    centres    of the classes, where they can be trusted
    centred    how far the layer goes from its fit to the one of these centres, 0 to 1
    """

    head: Head
    embedding: np.ndarray
    labels: np.ndarray
    teacher: np.ndarray
    classes: np.ndarray
    sample: np.ndarray
    groups: np.ndarray
    lab: Lessons
    threshold: float
    pull: float
    centres: ClassCentres | None = None
    centred: float = 0.0

    def fit(self, rows: np.ndarray | None = None) -> Head | None:
        """The new layer, from these field images; None when there is nothing to learn from."""
        ends = self.ends(rows)
        return None if ends is None else ends[0].towards(ends[1], self.centred)

    def ends(self, rows: np.ndarray | None = None) -> tuple[Head, Head] | None:
        """The fit and the layer of the centres, between which the new layer lies; without centres
        the fit twice.
        """
        rows = np.arange(len(self.embedding)) if rows is None else rows
        answers, weights = lessons_of(
            self.labels[rows],
            self.classes[rows],
            self.sample[rows] & (self.teacher[rows].max(axis=1) >= self.threshold),
        )
        used = weights > 0
        if not used.any():
            return None
        field = Lessons(self.embedding[rows][used], answers[used], weights[used])
        fitted = refit(self.head, field + self.lab, self.pull)
        count = int((self.sample | (self.labels != UNLABELLED))[rows].sum())
        fitted = self.head.towards(fitted, count / (count + _AS_MUCH))
        return fitted, self.centres.last_layer(field, fitted) if self.centres else fitted

    def cross_validate(self, progress: Progress | None = None) -> Paired | None:
        """Held-out images that the new layer reads right for the first time, or no longer.

        Right is the label; without any label, the teacher's sure answer. None with fewer than two
        groups.
        """
        known, counted = self.labels != UNLABELLED, self._counted()
        truth = np.where(known, self.labels, self.classes)
        folds = fold_of_groups(self.groups, counted)
        before, after = (np.zeros(len(folds), bool) for _ in range(2))
        if len(set(folds[counted].tolist())) < 2:
            return None
        count = int(folds.max()) + 1
        for fold in range(count):
            held = folds == fold
            head = self.fit(np.flatnonzero(~held)) or self.head
            for found, one in ((before, self.head), (after, head)):
                found[held] = one.scores(self.embedding[held]).argmax(axis=1) == truth[held]
            if progress:
                progress("trying the last layer on held-out images", fold + 1, count)
        if not known.any():
            return Paired.of(before[counted], after[counted])
        return PairedClasses.of_classes(before[known], after[known], truth[known])

    def nothing_held_out(self) -> str:
        """Why `cross_validate` has no figure."""
        count, so = int(self._counted().sum()), "so nothing can be held out"
        alike = ", near-duplicates of each other" if count > 1 else ""
        if (self.labels != UNLABELLED).any():
            return f"labels are of {number(count, 'image')} only{alike}, {so}; label other things"
        which = f"{number(count, 'image')} only{alike}" if count else "no image"
        return f"the teacher is {100 * _SURE:.0f} % sure of {which}, {so}; give some --labels"

    def _counted(self) -> np.ndarray:
        """Bool (n,): images whose answer is known: by a label, or by a sure teacher without any."""
        known = self.labels != UNLABELLED
        sure = self.sample & (self.teacher.max(axis=1) >= _SURE)
        return known if known.any() else np.asarray(sure)


def lessons_of(
    labels: np.ndarray, classes: np.ndarray, taught: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each field image teaches, and how much that counts.

    Args:
        labels: int64 (n,): class, or UNLABELLED.
        classes: int64 (n,): what it is taken for.
        taught: bool (n,): whether this is learned where no label is known.

    Returns:
        Classes, int64 (n,), and weights, float64 (n,): 1 for a label, 0 for nothing.
    """
    known = labels != UNLABELLED
    answers, taught = np.where(known, labels, classes), taught & ~known
    weights = known + taught * _balance(answers, taught) / (1 + known.sum() / _HALF)
    return answers, weights


def _balance(answers: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """A weight for each image, 1 in the mean of those taught: rare answers count more.

    Half-way between equal images and equal classes: which classes the camera happened to see must
    not move the layer, and an answer that was given once may be a mistake.
    """
    counts = np.bincount(answers[taught], minlength=int(answers.max()) + 1)
    weights = 1 / np.sqrt(np.maximum(1, counts))[answers]
    return np.asarray(weights / weights[taught].mean()) if taught.any() else weights


def lab_lessons(embedding: np.ndarray, labels: np.ndarray) -> Lessons:
    """Lab images to replay: together they count as 300."""
    return Lessons(embedding, labels, np.full(len(labels), _LAB / len(labels)))


def fold_of_groups(groups: np.ndarray, counted: np.ndarray, most: int = _FOLDS) -> np.ndarray:
    """Divide images into folds, whole groups each, that hold about as many counted ones.

    Args:
        most: So many folds, or one for each group where there are fewer.

    Returns:
        int64 (n,): the fold of each image.

    Example:
        >>> fold_of_groups(np.array([0, 0, 1, 2]), np.ones(4, bool)).tolist()
        [0, 0, 1, 2]
    """
    sizes = np.bincount(groups, weights=counted)
    load = np.zeros(min(most, len(sizes)))
    fold = np.zeros(len(sizes), np.int64)
    for group in np.argsort(-sizes, kind="stable"):
        fold[group] = load.argmin()
        load[fold[group]] += max(sizes[group], 0.5)
    return np.asarray(fold[groups])


def find_suspects(labels: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Rows whose label the teacher contradicts at 0.95 or more, int64: is this label right?"""
    known, answers = labels != UNLABELLED, teacher.argmax(axis=1)
    sure = teacher.max(axis=1) >= SURELY
    return np.flatnonzero(known & sure & (answers != labels))
