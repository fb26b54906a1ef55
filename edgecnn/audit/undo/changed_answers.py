"""Answer labelled kept frames again, each as it is and under every change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import ObjectNumbers
from edgecnn.audit.ledger.change import Change
from edgecnn.audit.ledger.reanswer import spread
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.preprocess import readable_image, to_tensor
from edgecnn.session.headline import label_weights
from edgecnn.session.read import Frames, Session, Truth

__all__ = ["KeptLabelled", "answer_changed", "labelled_frames"]

# So many labelled frames are read, and of those so many are tried.
_MOST, _MOST_RIGHT, _MOST_WRONG = 400, 100, 150


@dataclass(frozen=True)
class KeptLabelled:
    """Labelled frames that chance kept, as the bundle's own path answers them here.

    frames   pictures, uint8 (h, w, 3), B, G, R
    label, index   int64, shape (n,): the label, and the answer as they are
    weight   float64, shape (n,): for how many of the kept labelled frames each stands
    group    int64, shape (n,): frames with the same number show the same object
    """

    frames: list[np.ndarray]
    label: np.ndarray
    index: np.ndarray
    weight: np.ndarray
    group: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """bool, shape (n,): which are read right as they are."""
        return np.asarray(self.label == self.index)

    @property
    def accuracy(self) -> float:
        """Of the frames for which these stand, a fraction."""
        return float(self.right @ self.weight / self.weight.sum())

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
    """The labelled frames that chance kept and the headline counts; None where there is none.

    Of many an even choice is taken, apart of those that are misread and those that are not.
    """
    numbers = ObjectNumbers()
    pictures, label, index, weight, thing = [], [], [], [], []
    for session, frames, truth in parts:
        labelled = [row for row in sorted(frames.images) if truth.label[row] >= 0]
        worth = dict(
            zip(labelled, label_weights(frames, truth, np.array(labelled, int)), strict=True)
        )
        rows = [row for row in labelled if worth[row] > 0 and frames.by_chance(row)]
        for row in spread(rows, max(1, _MOST // len(parts))):
            picture = readable_image(session.picture(frames.images[row]))
            if picture is None:
                continue
            tensor = to_tensor(picture, classifier.card.input)
            pictures.append(picture)
            label.append(int(truth.label[row]))
            index.append(int(classifier.runtime.invoke(tensor).argmax()))
            weight.append(float(worth[row]))
            thing.append(numbers.number(fingerprint(tensor, is_rgb=True)))
    if not pictures:
        return None
    labels, answers = np.array(label), np.array(index)
    group = np.array(thing) * (int(labels.max()) + 1) + labels
    return _thinned(KeptLabelled(pictures, labels, answers, np.array(weight), group))


def _thinned(found: KeptLabelled) -> KeptLabelled:
    """At most `_MOST_WRONG` misread frames and `_MOST_RIGHT` others, which stand for all."""
    rows, weight = [], []
    for side, most in ((found.right, _MOST_RIGHT), (~found.right, _MOST_WRONG)):
        every = np.flatnonzero(side).tolist()
        taken = spread(every, most)
        rows += taken
        scale = len(every) / max(1, len(taken))
        weight += [scale * worth for worth in found.weight[taken].tolist()]
    return KeptLabelled(
        [found.frames[row] for row in rows],
        found.label[rows],
        found.index[rows],
        np.array(weight),
        found.group[rows],
    )


def answer_changed(
    frames: Sequence[np.ndarray], change: Change, classifier: Classifier
) -> np.ndarray:
    """The answers to frames under a change: int64, shape (n,)."""
    spec, invoke = classifier.card.input, classifier.runtime.invoke
    answers = [int(invoke(to_tensor(change.apply(frame), spec)).argmax()) for frame in frames]
    return np.array(answers, np.int64)
