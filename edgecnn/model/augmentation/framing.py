"""What stands around and across an object in front of a camera: frames, bars, scratches, glints.

A classifier of crops meets the printed frame, the edge of the window or the drum beside the digit.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgecnn.model.augmentation.operations import Framing
from edgecnn.model.augmentation.picture_layer import PictureLayer

__all__ = ["RandomFraming"]

_FRACTION = 4  # bits of a pixel that OpenCV draws to


class RandomFraming(PictureLayer):
    """Draw bands and lines of one colour at the borders and thin lines anywhere."""

    def __init__(self, framing: Framing, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.framing = framing

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        images = images.copy()
        count = len(images)
        for k, side in np.argwhere(rng.random((count, 4)) < self.framing.borders):
            self._border(images[k], int(side), rng)
        for k, _ in np.argwhere(rng.random((count, 2)) < self.framing.lines):
            _line(images[k], rng)
        return images

    def _border(self, picture: np.ndarray, side: int, rng: np.random.Generator) -> None:
        """A band from the edge on, or a line some way inside of it; whole or in pieces."""
        depth, whole, thick, lean, cut, length, first = rng.random(7)
        inner = depth * self.framing.depth
        outer = -0.1 if whole < 0.5 else inner - (0.02 + 0.07 * thick)
        starts, ends = np.array([-0.1]), np.array([1.1])
        if cut < 0.4:
            period = 0.06 * (1.6 / 0.06) ** length
            starts = np.arange(-first * period, 1.1, period)
            ends = starts + period / 2
        along = np.stack((starts, ends, ends, starts), axis=1)
        inwards = (0.08 * lean - 0.04) * (2 * along - 1) + np.array([outer, outer, inner, inner])
        if side % 2:
            inwards = 1 - inwards
        quads = np.stack((along, inwards) if side < 2 else (inwards, along), axis=2)
        _fill(picture, quads, _colour(picture, rng))


def _line(picture: np.ndarray, rng: np.random.Generator) -> None:
    """A thin line, lighter or darker than the mean, that ends somewhere."""
    at, lean, start, length, half, way, tone = rng.random(7)
    lean, start, half = 0.3 * lean - 0.15, 1.2 * start - 0.5, 0.008 + 0.032 * half
    end = start + 0.3 + 1.2 * length
    a, b = at + lean * (start - 0.5), at + lean * (end - 0.5)
    quad = np.array([[(start, a - half), (end, b - half), (end, b + half), (start, a + half)]])
    colour = np.clip(np.array(cv2.mean(picture)[:3]) + 320 * tone - 120, 0, 255)
    _fill(picture, quad[..., ::-1] if way < 0.3 else quad, tuple(colour.tolist()))


def _fill(picture: np.ndarray, quads: np.ndarray, colour: tuple[float, ...]) -> None:
    """Fill quadrilaterals (n, 4, 2), (x, y) as shares of the sides; edges are anti-aliased."""
    height, width, _ = picture.shape
    corners = np.rint(quads * (width << _FRACTION, height << _FRACTION)).astype(np.int32)
    cv2.fillPoly(picture, list(corners), colour, cv2.LINE_AA, _FRACTION)


def _colour(picture: np.ndarray, rng: np.random.Generator) -> tuple[float, ...]:
    """Often grey, often near black or white, sometimes the darkest or lightest tone in it."""
    kind, dark, coloured, share, *tones = rng.random(7)
    if kind < 0.3:
        sample = picture[::3, ::3].reshape(-1, 3)
        tone = (sample.min(0) if dark < 0.5 else sample.max(0)).astype(float)
    else:
        tone = 255 * (np.array(tones) if coloured < 0.4 else np.full(3, tones[0]))
        if kind < 0.65:
            tone = tone / 4 if dark < 0.5 else 255 - tone / 4
    mean = np.array(cv2.mean(picture)[:3])
    return tuple((mean + (0.5 + share / 2) * (tone - mean)).tolist())
