"""Margins that are cut off a picture, and the network that cuts them off itself.

The network does it at its front, so every file that is exported of it does, and at no cost that
matters: nothing has to be set on the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgecnn.model.networks.adopt import rewire

if TYPE_CHECKING:
    import keras

__all__ = ["Margins", "framed", "margins_of"]

_STEP, _MOST = 0.08, 3  # a step in shares of a side, and steps on one side at most
_MOST_BOTH = 4  # steps on two opposite sides together
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

    def around(self, tensors: np.ndarray) -> np.ndarray:
        """Pictures with margins around them, of their edges' colours, so that `cut` leaves all.

        Args:
            tensors: uint8 (n, height, width, 3), as is the result.
        """
        if not self:
            return tensors
        height, width = tensors.shape[1:3]
        left, right, top, bottom = self.pixels(tensors.shape[1:])
        inner = (width - left - right, height - top - bottom)
        return np.stack(
            [
                cv2.copyMakeBorder(
                    cv2.resize(one, inner, interpolation=cv2.INTER_AREA),
                    *(top, bottom, left, right),
                    cv2.BORDER_REPLICATE,
                )
                for one in tensors
            ]
        )

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


def margins_of(network: keras.Model) -> Margins:
    """The margins that a network cuts off; none where it sees its pictures whole."""
    for layer in network.layers:
        if layer.name == _CUT:
            (top, bottom), (left, right) = layer.cropping
            height, width = network.input_shape[1:3]
            parts = ((left, width), (right, width), (top, height), (bottom, height))
            return Margins(*(round(pixels / (_STEP * side)) for pixels, side in parts))
    return Margins()
