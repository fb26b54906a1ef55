"""Answer labelled kept frames again, each as it is and under every change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import ObjectNumbers
from edgecnn.audit.ledger.change import Change
from edgecnn.audit.ledger.reanswer import spread
from edgecnn.bundle.artifacts import twin_of
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.errors import ArtifactError, MissingRuntimeError
from edgecnn.session.headline import label_weights
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["KeptLabelled", "Readers", "labelled_frames", "open_classifier"]

# So many labelled frames are read, and of those so many are tried.
_MOST, _MOST_RIGHT, _MOST_WRONG = 400, 100, 150
# So many pictures stand for the frames whose answers are about as sure.
_PICTURES_A_PART = 10
_MOST_READERS = 8


class Readers:
    """A classifier and others of its file, one for each core, that answer changed frames."""

    def __init__(self, one: Classifier) -> None:
        more = min(_MOST_READERS, os.cpu_count() or 1) - 1
        others = (Classifier(one.bundle, one.artifact.file) for _ in range(more))
        self._classifiers = [one, *others]

    def answers(self, frames: Sequence[np.ndarray], change: Change | None = None) -> np.ndarray:
        """The answers to frames, uint8 B, G, R, as they are or under a change: int64, (n,)."""

        def share(classifier: Classifier, rows: np.ndarray) -> list[int]:
            read = classifier.runtime.invoke
            some = [frames[row] for row in rows]
            changed = map(change.apply, some) if change else some
            return [int(read(to_tensor(f, classifier.card.input)).argmax()) for f in changed]

        shares = np.array_split(np.arange(len(frames)), len(self._classifiers))
        with ThreadPoolExecutor(len(shares)) as pool:
            found = list(pool.map(share, self._classifiers, shares))
        return np.concatenate(found).astype(np.int64)


def open_classifier(bundle: Bundle, artifact: str) -> Classifier | None:
    """What answers the frames of an artifact here; an Edge TPU file's by its uncompiled twin.

    None where it can't run here: the note on the kept frames says why.
    """
    try:
        return Classifier(bundle, twin_of(artifact) or artifact)
    except (MissingRuntimeError, ArtifactError):
        return None


@dataclass(frozen=True)
class KeptLabelled:
    """Labelled kept frames, as the bundle's own path answers them here.

    frames   pictures, uint8 (h, w, 3), B, G, R
    label, index   int64, shape (n,): the label, and the answer as they are
    weight   float64, shape (n,): for how many of the session's frames each stands
    group    int64, shape (n,): frames with the same number show the same object
    sampled  bool, shape (n,): whether chance alone kept it
    """

    frames: list[np.ndarray]
    label: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    sampled: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool, shape (n,): which are read right as they are."""
        return np.asarray(self.label == self.index)

    @property
    def accuracy(self) -> float:
        """Of the frames for which these stand, a fraction."""
        return float(self.right @ self.weight / self.weight.sum())

    def read_right(self, change: Change, readers: Readers, rows: np.ndarray) -> np.ndarray:
        """Which frames are read right under a change: bool, shape (rows,).

        Where that brings into view what the camera did not see, a misread frame has to be read
        right however it is filled in: edges that are drawn out can look like a class.
        """
        right = self._fits(change, readers, rows)
        mended = right & ~self.right[rows]
        if change.refilled is not None and mended.any():
            again = replace(change, apply=change.refilled)
            right[mended] = self._fits(again, readers, rows[mended])
        return right

    def _fits(self, change: Change, readers: Readers, rows: np.ndarray) -> np.ndarray:
        answers = readers.answers([self.frames[row] for row in rows], change)
        return np.asarray(answers == self.label[rows])

    def under(self, change: Change, readers: Readers) -> KeptLabelled:
        """The same frames changed, and what is answered to them then."""
        frames = [change.apply(frame) for frame in self.frames]
        return replace(self, frames=frames, index=readers.answers(frames))

    @property
    def is_one_shape(self) -> bool:
        """Whether all pictures have one size."""
        return len({frame.shape for frame in self.frames}) == 1

    @property
    def wrong_groups(self) -> int:
        """How many different objects are misread."""
        return len(np.unique(self.group[~self.right]))


def labelled_frames(
    parts: Sequence[tuple[Session, Frames, Truth]], classifier: Classifier
) -> KeptLabelled | None:
    """The kept frames whose labels the headline counts; None where there is none.

    Half of the pictures were kept for being hard. They show most of the errors, and stand for
    less: see `_stands_for`. Of many an even choice is taken, apart of those that are misread and
    those that are not.
    """
    numbers = ObjectNumbers()
    by_looks = any(frames.by_looks or frames.thing is None for _, frames, _ in parts)
    pictures, label, index, weight, thing, sampled = [], [], [], [], [], []
    for session, frames, truth in parts:
        for row, worth in _stands_for(frames, truth, max(1, _MOST // len(parts))).items():
            picture = readable_image(session.picture(frames.images[row]))
            if picture is None:
                continue
            tensor = to_tensor(picture, classifier.card.input)
            pictures.append(picture)
            label.append(int(truth.label[row]))
            index.append(int(classifier.runtime.invoke(tensor).argmax()))
            weight.append(worth)
            if by_looks or frames.thing is None:
                thing.append(numbers.number(fingerprint(tensor, is_rgb=True)))
            else:
                thing.append(int(frames.thing[row]))
            sampled.append(frames.by_chance(row))
    if not pictures:
        return None
    labels, answers = np.array(label), np.array(index)
    group = np.array(thing) * (int(labels.max()) + 1) + (labels if by_looks else 0)
    found = (labels, answers, np.array(weight), group, np.array(sampled))
    return _thinned(KeptLabelled(pictures, *found))


def _stands_for(frames: Frames, truth: Truth, most: int) -> dict[int, float]:
    """For how many frames each labelled picture stands, by row; of those that the headline counts.
    Of many pictures `most`, evenly: these stand for all frames then.

    A picture was kept by chance, or for an answer that was unsure or known to be wrong. So among
    answers that are alike in both it is a sample: those that are right, and those that are wrong,
    are each cut into parts of like confidence, and the pictures of a part stand for its frames.

    Source: post-stratification: Holt & Smith 1979, doi:10.2307/2344652.
    """
    rows = np.flatnonzero(truth.label >= 0)
    weight = label_weights(frames, truth, rows)
    is_right = frames.index[rows] == truth.label[rows]
    has_picture = np.isin(rows, list(frames.images)) & (weight > 0)
    has_picture = np.isin(np.arange(len(rows)), spread(np.flatnonzero(has_picture).tolist(), most))
    found: dict[int, float] = {}
    for side in (is_right, ~is_right):
        confidence = frames.calibrated[rows[side]]
        shown = np.flatnonzero(has_picture & side)
        sure = np.sort(frames.calibrated[rows[shown]])
        ends = sure[_PICTURES_A_PART - 1 :: _PICTURES_A_PART]
        ends = ends[ends < sure[-1:]]  # the last part has no end, and a picture at least
        frames_of = np.bincount(np.searchsorted(ends, confidence), weight[side], len(ends) + 1)
        part = np.searchsorted(ends, frames.calibrated[rows[shown]])
        pictures_of = np.bincount(part, weight[shown], len(ends) + 1)
        worth = weight[shown] * frames_of[part] / pictures_of[part]
        found |= dict(zip(rows[shown].tolist(), worth.tolist(), strict=True))
    return dict(sorted(found.items()))


def _thinned(found: KeptLabelled) -> KeptLabelled:
    """At most `_MOST_WRONG` misread frames and `_MOST_RIGHT` others, which stand for all."""
    rows, weight = [], []
    for side, most in ((found.right, _MOST_RIGHT), (~found.right, _MOST_WRONG)):
        every = np.flatnonzero(side).tolist()
        taken = spread(every, most)
        rows += taken
        shown = found.weight[taken]
        weight += (shown * (found.weight[every].sum() / shown.sum() if taken else 1)).tolist()
    return KeptLabelled(
        [found.frames[row] for row in rows],
        found.label[rows],
        found.index[rows],
        np.array(weight),
        found.group[rows],
        found.sampled[rows],
    )
