"""Classes that a trained network did not learn: lab accuracy hides them where they are rare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgecnn.accuracy.intervals import difference
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import LabResult
from edgecnn.records import Record
from edgecnn.train.options import BUILT_IN
from edgecnn.words import number

__all__ = ["Unlearned", "unlearned_classes", "unlearned_lines"]

_NAMED = 3
_FEWEST = 3  # test images: one or two that are misread show nothing


@dataclass(frozen=True)
class Unlearned(Record):
    """A class whose test images are not surely recognized more often than by luck.

    recall  how often its test images are recognized
    taken   share of the test images of other classes that are taken for it
    """

    label: str
    recall: Tally
    taken: float

    def to_text(self) -> str:
        taken = f"{100 * self.taken:.1f} % of the other images are taken for it"
        return f"{self.label}: recall {self.recall.text()}; {taken}"


def unlearned_classes(lab: LabResult, labels: Sequence[str]) -> tuple[Unlearned, ...]:
    """The classes that the test images do not show to be learned, the lowest recall first.

    The class that the network names most often is none of them: all others are taken for it.
    """
    confusion = lab.confusion
    said = confusion.sum(axis=0)
    found = []
    for k, (label, recall) in enumerate(lab.per_class(labels).items()):
        others = int(said.sum()) - recall.total
        if recall.total < _FEWEST or not others or k == int(np.argmax(said)):
            continue
        taken = Tally(int(said[k] - confusion[k, k]), others)
        if difference(recall, taken)[1] <= 0:
            found.append(Unlearned(label, recall, taken.accuracy or 0.0))
    return tuple(sorted(found, key=lambda one: one.recall.accuracy or 0.0))


def unlearned_lines(found: Sequence[Unlearned], network: str) -> list[str]:
    """What to say of them before all else, and what to do.

    Args:
        network: Its name; one that starts from nothing learns a rare class slowly, if at all.
    """
    if not found:
        return []
    more = len(found) - _NAMED
    other = ", take a pretrained network (--network efficientnet-lite0)"
    return [
        f"Not learned, as far as the test images show: {number(len(found), 'class', 'classes')}. "
        f"Before you export, train longer, add images of it{other if network == BUILT_IN else ''}, "
        "or give rare classes more weight (--imbalance).",
        *(f"  {one.to_text()}" for one in found[:_NAMED]),
        *([f"  and {number(more, 'other')}, in card.json"] if more > 0 else []),
        "",
    ]
