"""When to refuse field images, and when to accept a step.

No test here looks at the lab test, and without labels none can see accuracy in the field. What it
can see: whether the lab is still read (validation images, paired), whether the answers to field
images became surer or more stable, and whether the images are this camera's and of many classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgecnn.accuracy.paired import Paired
from edgecnn.accuracy.tally import Tally
from edgecnn.adapt.data import FieldSet
from edgecnn.adapt.own_device import find_foreign
from edgecnn.bundle.card import picture_key
from edgecnn.bundle.head import entropy
from edgecnn.bundle.last_layer import FEWEST_GROUPS, FEWEST_IMAGES
from edgecnn.records import Record, json_as
from edgecnn.words import number

__all__ = [
    "ALL_LAYERS",
    "AdaptStep",
    "LabCheck",
    "broke_labels",
    "doubt",
    "effective_classes",
    "few_classes",
    "nothing_new",
    "nothing_sure",
    "refusal",
    "worse_classes",
]

ALL_LAYERS = "all layers"
"""The step of `--all-layers`."""

_UNSURE = 0.4  # of the entropy of guesses; of 13 meters, groceries and a film at most 0.13
_NOT_TRIED = "not tried"  # what the reason of such a step begins with
_BROKEN_LABELS = 2  # more than it fixes
_KNOWN = 0.9  # of the field set
_LEAST_CLASSES = 0.65  # of those that as many images of an even mix would show


@dataclass(frozen=True)
class LabCheck(Record):
    """Validation images before and after a step: `lost` were read right only before it."""

    before: Tally
    after: Tally
    lost: int
    won: int

    @classmethod
    def of(cls, before: np.ndarray, after: np.ndarray) -> LabCheck:
        """From whether each image was read right: bool (n,)."""
        pair = Paired.of(before, after)
        return cls(Tally.of(before), Tally.of(after), pair.lost, pair.won)

    @property
    def loss_points(self) -> float:
        """Points lost; below 0 where it won."""
        return 100 * (self.lost - self.won) / max(1, self.before.total)


@dataclass(frozen=True)
class AdaptStep(Record):
    """A step that was tried: what it did to field and lab, and whether it was accepted.

    entropy   mean over the field set before and after, in nats
    changed   share of field images with another answer; of these as of entropy only the sample
    fixed, broken   held-out field images that it read right or wrong for the first time: against
              their labels, or without labels against the teacher's sure answers
    by_class  of the images that have a label, by their class
    """

    name: str
    accepted: bool
    reason: str
    entropy_before: float | None = field(default=None, metadata=json_as(digits=4))
    entropy_after: float | None = field(default=None, metadata=json_as(digits=4))
    changed: float | None = field(default=None, metadata=json_as(digits=4))
    fixed: int | None = None
    broken: int | None = None
    lab: LabCheck | None = None
    by_class: dict[int, Paired] = field(default_factory=dict, metadata=json_as(hidden=True))

    @property
    def verdict(self) -> str:
        """What came of it, in a word or two."""
        if self.accepted:
            return "accepted"
        return _NOT_TRIED if self.reason.startswith(_NOT_TRIED) else "rejected"


def effective_classes(classes: np.ndarray) -> float:
    """How many equally frequent classes would be as mixed: exp of the entropy of the shares.

    Example:
        >>> round(effective_classes(np.array([0, 0, 1, 1])), 3)
        2.0
    """
    counts = np.bincount(classes)
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def refusal(scores: np.ndarray, images: FieldSet, live: FieldSet | None = None) -> str:
    """Why a field set is refused as a whole; empty when it is not.

    Args:
        scores: float32 (n, classes): of the field images.
        live: The newest live frames, if there are any to compare with.
    """
    sample = images.sample
    num_groups = len(np.unique(sample.groups))
    if len(sample) < FEWEST_IMAGES or num_groups < FEWEST_GROUPS:
        hard = len(images) - len(sample)
        beside = f" (beside {hard} that the session kept for being hard)" if hard else ""
        return (
            f"{number(len(sample), 'image')}{beside} in {number(num_groups, 'group')} of "
            f"near-duplicates {'is' if len(sample) == 1 else 'are'} too few, "
            f"expected at least {FEWEST_IMAGES} in {FEWEST_GROUPS}; record more, at different times"
        )
    lost = np.flatnonzero(np.isnan(scores).any(axis=1))
    if len(lost):
        return (
            f"the network gives no scores but NaN to {number(len(lost), 'image')}, such as "
            f"{images.files[lost[0]].path}, and one spoils the whole layer; leave such images out"
        )
    if not len(images.labelled) and (why := few_classes(scores, images)):
        return why
    return "" if live is None else find_foreign(sample, live)


def few_classes(scores: np.ndarray, images: FieldSet) -> str:
    """Why the answers to field images teach no other ones; empty where they may.

    Args:
        scores: float32 (n, classes): of the field images.
    """
    num_classes, count = scores.shape[1], len(images.sample)
    mixed = effective_classes(scores[~images.hard].argmax(axis=1))
    least = max(1.5, _LEAST_CLASSES * _classes_seen(num_classes, count))
    if mixed >= least:
        return ""
    return (
        f"the images are read as {mixed:.1f} equally frequent classes of {num_classes}, "
        f"expected {least:.1f} at least: a network that adapts to few classes forgets the "
        "others; record until more have come by"
    )


def nothing_new(images: FieldSet, learned: Collection[str]) -> str:
    """Why images teach nothing that the network was not taught before; empty where they may.

    Of 13 meters none gained in the mean when it was adapted to the same images once more, and some
    lost (docs/results/adapt.md).

    Args:
        learned: See `Card.learned_pictures`.
    """
    sample = images.sample  # without a label nothing is learned from the others
    known = sum(picture_key(digest) in learned for digest in sample.sha256)
    if len(images.labelled) or not known or known < _KNOWN * len(sample):
        return ""
    return (
        f"the network was adapted to {known} of these {number(len(sample), 'image')} before: "
        "without labels they teach it nothing new; give new ones or labels, or adapt the model "
        "that it comes from"
    )


def doubt(scores: np.ndarray, images: FieldSet) -> str:
    """Why a field set may show something else than the network knows; empty where it does not.

    Args:
        scores: float32 (n, classes): of the field images, as sure as the card's temperature makes
            them.
    """
    unsure, most = float(entropy(scores[~images.hard]).mean()), np.log(scores.shape[1])
    if unsure <= _UNSURE * most or len(images.labelled):
        return ""
    return (
        f"Look at the field images: the network is far from sure of its answers to them (mean "
        f"entropy {unsure:.2f}, of guesses {most:.2f}). Where they show what the network knows, "
        "some labels (--labels) help most; where not, nothing of this holds."
    )


def broke_labels(pair: Paired) -> str:
    """Why held-out labels speak against a step; empty where they don't. One is no evidence."""
    if pair.lost - pair.won < _BROKEN_LABELS:
        return ""
    return f"of held-out labelled images it fixed {pair.won} and broke {pair.lost}"


def worse_classes(steps: Sequence[AdaptStep], labels: Sequence[str]) -> list[str]:
    """A line for each class that the accepted steps read worse: the images of a common one hide it.

    A later step may put right what an earlier one broke. One image is no evidence.
    """
    won, lost = Counter[int](), Counter[int]()
    for step in steps:
        if step.accepted:
            won.update({k: pair.won for k, pair in step.by_class.items()})
            lost.update({k: pair.lost for k, pair in step.by_class.items()})
    return [
        f"of held-out images of class {labels[k]!r} adapting fixed {won[k]} and broke {lost[k]}: "
        "it may be missed more often; add labels of it, or keep the network"
        for k in lost
        if lost[k] - won[k] >= _BROKEN_LABELS
    ]


def nothing_sure(threshold: float) -> str:
    """Why a step has nothing to learn from: no label, and no score of this height."""
    return f"{_NOT_TRIED}: no image has a label, and no answer is {100 * threshold:.0f} % sure"


def _classes_seen(num_classes: int, count: int) -> float:
    """How many classes so many images show on average when all classes are equally frequent."""
    return float(num_classes * (1 - (1 - 1 / num_classes) ** count))
