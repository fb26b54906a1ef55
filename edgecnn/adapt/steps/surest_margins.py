"""The step that cuts off the margins that a camera shows around its object, found without labels.

No two cameras frame their object alike, and much of a real gap is framing. A margin that is cut
off, with the rest stretched to the size of the input, undoes much of it. The margins are those
without which the answers are surest, by mean entropy, side after side in small steps. A fall that
chance could make leaves the picture whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgecnn.adapt.data import FieldSet
from edgecnn.adapt.gate import AdaptStep
from edgecnn.adapt.student import IN_THE_LAB, Student, no_lab_tensors
from edgecnn.bundle.head import entropy
from edgecnn.camera.scenes import evenly
from edgecnn.errors import ModelError
from edgecnn.model.embedding import SplitNetwork, split_network
from edgecnn.model.lab_replay import Replay
from edgecnn.model.networks.margins import Margins, framed, margins_of

__all__ = ["find_margins", "try_framing"]

_NAME = "framing"

_IMAGES = 100  # more choose the same margins
# The entropy has to fall by so many of its standard errors, and by this share of itself: a network
# that is unsure of everything is a little surer of many wrong pictures.
_ERRORS, _SHARE = 1.0, 0.2


def try_framing(student: Student) -> AdaptStep:
    """Cut margins off where the answers become surer without them."""
    if student.whole is None:
        return AdaptStep(_NAME, False, IN_THE_LAB)
    split, replay = student.whole
    if why := _why_not(student, split, replay):
        return AdaptStep(_NAME, False, why)
    before, start = student.scores, student.stand()

    def allowed(margins: Margins) -> bool:
        read = split.scores(margins.cut(replay.val_tensors)).argmax(axis=1)
        return student.check_lab(read == replay.val_labels).loss_points <= student.allowed_loss

    margins = find_margins(split.scores, student.images.sample, allowed)
    if not margins:
        why = "cutting margins off makes the answers surer by less than a fifth, or by chance"
        return AdaptStep(_NAME, False, why)
    try:
        network = framed(split.network, margins)
    except ModelError as error:  # one of the user's own that can't be copied
        return AdaptStep(_NAME, False, f"not tried: {error}")
    # The replayed lab images stay whole: the lab frames its objects well.
    student.see_through(split_network(network), replay)
    step = student.judged(_NAME, before, student.split.head, "")
    if not step.accepted:
        student.stand_at(start)
    return replace(step, reason=f"{step.reason} ({margins.text()})")


def find_margins(
    scores: Callable[[np.ndarray], np.ndarray],
    images: FieldSet,
    allowed: Callable[[Margins], bool],
) -> Margins:
    """The margins without which the answers are surest; none where that can be chance.

    Args:
        scores: From tensors, uint8 (n, height, width, 3), to scores, float32 (n, classes).
        images: Up to 100 of them are used, evenly spread; near-duplicates count as one when it
            is judged whether it is chance.
        allowed: Whether margins may be cut off, for all that is known beside the field.
    """
    some = images.part(evenly(len(images), _IMAGES))
    known = {(best := Margins()): entropy(scores(some.tensors))}

    def unsure(one: Margins) -> float:
        if one not in known:
            known[one] = entropy(scores(one.cut(some.tensors)))
        return float(known[one].mean())

    while True:
        surer = sorted((m for m in best.neighbours() if unsure(m) < unsure(best)), key=unsure)
        found = next(filter(allowed, surer), None)
        if found is None:
            break
        best = found
    fall = known[Margins()] - known[best]
    member = np.unique(some.groups, return_inverse=True)[1]
    scatter = np.bincount(member, weights=fall - fall.mean())
    error = float(np.sqrt((scatter**2).sum())) / len(fall)
    least = max(_ERRORS * error, _SHARE * float(known[Margins()].mean()))
    return best if fall.mean() > least else Margins()


def _why_not(student: Student, split: SplitNetwork, replay: Replay) -> str:
    """Why it is not tried; empty when it is."""
    if not student.options.framing:
        return "not tried: --no-framing"
    if not student.from_scratch:
        return "not tried: measured for networks that were trained from scratch only"
    if margins := margins_of(split.network):
        return (
            f"not tried: the network cuts margins off already ({margins.text()}); for a camera "
            "that frames its object otherwise adapt the MODEL that it comes from"
        )
    return no_lab_tensors(replay)
