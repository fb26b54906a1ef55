"""The card of an adapted network: where it comes from, and every step with its figures."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from edgecnn._version import __version__
from edgecnn.accuracy.confidence import fit_temperature
from edgecnn.adapt.result import AdaptResult
from edgecnn.adapt.student import Student
from edgecnn.bundle.card import Card, LabResult, picture_key
from edgecnn.bundle.last_layer import UNLABELLED
from edgecnn.records import Json

__all__ = ["new_card", "temperature_after"]


def new_card(
    card: Card, card_bytes: bytes, result: AdaptResult, student: Student, lab: LabResult
) -> Card:
    """The parent's card with what the steps changed.

    Args:
        card_bytes: The parent's card.json, whose digest names the parent.
        lab: The lab test, read by the new network.
    """
    return replace(
        card,
        lab=lab,
        edgecnn=__version__,
        temperature=temperature_after(
            card.temperature, *student.val_scores, student.replay.val_labels
        ),
        reject=None,  # it was chosen for the answers of another network
        adaptation=_summary(result, student, card),
        parent=hashlib.sha256(card_bytes).hexdigest(),
    )


def temperature_after(
    temperature: float, before: np.ndarray, after: np.ndarray, labels: np.ndarray
) -> float:
    """The parent's temperature, times what the steps raised it on the validation images.

    How sure the answers are changes with the last layer, so the temperature has to follow. It is
    never lowered: few validation images are misread, and a lower one would rest on one or two
    (docs/results/adapt.md).

    Args:
        temperature: The parent's.
        before, after: float32 (m, classes): scores of the validation images.
        labels: int (m,): their classes.
    """
    was, now = (fit_temperature(one, labels) for one in (before, after))
    return float(np.clip(temperature * max(1.0, now / was), 0.01, 100))


def _summary(result: AdaptResult, student: Student, parent: Card) -> Json:
    """What the card keeps: no path of this machine.

    `images` and `pictures` are those that it learned from; `pictures`, `framing`, the margins that
    are cut off, and `lost_points`, of the validation images, are also those of the parents.
    """
    data, images = result.to_json(), student.images
    digest = hashlib.sha256("\n".join(sorted(images.sha256)).encode()).hexdigest()
    kept = ("images", "labelled", "groups", "teacher", "steps", "val", "notes", "left_out")
    learned = np.flatnonzero(~images.hard | (images.labels != UNLABELLED))
    pictures = parent.learned_pictures | {picture_key(images.sha256[k]) for k in learned}
    return {
        "field_sha256": digest,
        **{key: data[key] for key in (*kept, "live_before")},
        "images": len(learned),
        "framing": student.framing or parent.framing,
        "lost_points": round(parent.adapting_loss + student.lab.loss_points, 4),
        "pictures": sorted(pictures),
    }
