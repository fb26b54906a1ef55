"""Find the margins that a camera shows around its object, without labels.

No two cameras frame their object alike, and much of a real gap is framing. A margin that is cut
off, with the rest stretched to the size of the input, undoes much of it. The margins are those
without which the answers are surest, by mean entropy, side after side in small steps. A fall that
chance could make leaves the picture whole.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgecnn.adapt.data import FieldSet
from edgecnn.bundle.head import entropy
from edgecnn.camera.scenes import evenly
from edgecnn.model.networks.margins import Margins

__all__ = ["find_margins"]

_IMAGES = 100  # more choose the same margins
# The entropy has to fall by so many of its standard errors, and by this share of itself: a network
# that is unsure of everything is a little surer of many wrong pictures.
_ERRORS, _SHARE = 1.0, 0.2


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
