"""Framing: the margins that a camera shows around its object, and the network without them.

No two cameras frame their object alike, and most of a real gap is framing. A margin that is cut
off, with the rest stretched to the size of the input, undoes much of it. The network does that
itself at its front, so every file that is exported of it does, and at no cost that matters.

Which margins is found without labels: those that make the answers surest, by mean entropy, side
after side in small steps. A fall that chance could make leaves the picture whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgecnn.adapt.data import FieldSet
from edgecnn.bundle.head import entropy
from edgecnn.camera.scenes import evenly
from edgecnn.model.networks.adopt import rewire

if TYPE_CHECKING:
    import keras

__all__ = ["Margins", "find_margins", "framed", "is_framed"]

_STEP, _MOST = 0.08, 3  # a step in shares of a side, and steps on one side at most
_MOST_BOTH = 4  # steps on two opposite sides together
_IMAGES = 100  # more choose the same margins
# The entropy has to fall by so many of its standard errors, and by this share of itself: a network
# that is unsure of everything is a little surer of many wrong pictures.
_ERRORS, _SHARE = 1.0, 0.2
_CUT, _SIZE = "framing_cut", "framing_size"


@dataclass(frozen=True)
class Margins:
    """What is cut off on each side, in steps of 8 % of the picture's width or height."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any(astuple(self))

    def pixels(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Of a picture, shape (height, width, ...): left, right, top, bottom."""
        height, width = shape[:2]
        left, right, top, bottom = (
            round(_STEP * steps * side)
            for steps, side in zip(astuple(self), (width, width, height, height), strict=True)
        )
        return left, right, top, bottom

    def cut(self, tensors: np.ndarray) -> np.ndarray:
        """Pictures without the margins, at their old size: uint8 (n, height, width, 3).

        The network's own front differs by the rounding to whole grey levels.
        """
        if not self:
            return tensors
        height, width = tensors.shape[1:3]
        left, right, top, bottom = self.pixels(tensors.shape[1:])
        inner = tensors[:, top : height - bottom, left : width - right]
        return np.stack([cv2.resize(one, (width, height)) for one in inner])

    def neighbours(self) -> Iterator[Margins]:
        """One step more or less on one side."""
        for name, steps in vars(self).items():
            for other in (steps - 1, steps + 1):
                found = replace(self, **{name: other})
                both = max(found.left + found.right, found.top + found.bottom)
                if 0 <= other <= _MOST and both <= _MOST_BOTH:
                    yield found

    def text(self) -> str:
        """What is cut off, in percent of the width or height."""
        parts = [f"{100 * _STEP * n:.0f} % {side}" for side, n in vars(self).items() if n]
        return f"cut off: {', '.join(parts)}"


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


def framed(network: keras.Model, margins: Margins) -> keras.Model:
    """A copy of the network that cuts the margins off before anything else.

    Raises:
        ModelError: The network can't be copied.
    """
    import keras

    shape = network.input_shape[1:]
    left, right, top, bottom = margins.pixels(shape)
    front = (
        keras.layers.Cropping2D(((top, bottom), (left, right)), name=_CUT),
        keras.layers.Resizing(*shape[:2], interpolation="bilinear", name=_SIZE),
    )
    return rewire(network, shape, front)


def is_framed(network: keras.Model) -> bool:
    """Whether margins are cut off already."""
    return any(layer.name == _CUT for layer in network.layers)
