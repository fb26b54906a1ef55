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
        inner = rng.uniform(0, self.framing.depth)
        outer = -0.1 if rng.random() < 0.5 else inner - rng.uniform(0.02, 0.09)
        tilt = rng.uniform(-0.04, 0.04)
        colour = _colour(picture, rng)
        pieces = [(-0.1, 1.1)]
        if rng.random() < 0.4:
            period = float(np.exp(rng.uniform(np.log(0.06), np.log(1.6))))
            first = rng.uniform(-1, 0) * period
            pieces = [(at, at + period / 2) for at in np.arange(first, 1.1, period)]
        for start, end in pieces:
            lean = tilt * (2 * np.array([start, end, end, start]) - 1)
            inwards = lean + np.array([outer, outer, inner, inner])
            _fill(picture, _at_side(np.array([start, end, end, start]), inwards, side), colour)


def _at_side(along: np.ndarray, inwards: np.ndarray, side: int) -> np.ndarray:
    """Points seen from the top, bottom, left or right edge -> (x, y), in shares of the sides."""
    if side % 2:
        inwards = 1 - inwards
    return np.stack((along, inwards) if side < 2 else (inwards, along), axis=1)


def _line(picture: np.ndarray, rng: np.random.Generator) -> None:
    """A thin line, lighter or darker than the mean, that ends somewhere."""
    at, lean, start, length, half = rng.uniform(
        (0.0, -0.15, -0.5, 0.3, 0.008), (1.0, 0.15, 0.7, 1.5, 0.04)
    )
    end = start + length
    a, b = at + lean * (start - 0.5), at + lean * (end - 0.5)
    quad = np.array([(start, a - half), (end, b - half), (end, b + half), (start, a + half)])
    if rng.random() < 0.3:
        quad = quad[:, ::-1]
    tone = np.array(cv2.mean(picture)[:3]) + rng.uniform(-120, 200)
    _fill(picture, quad, tuple(np.clip(tone, 0, 255).tolist()))


def _fill(picture: np.ndarray, quad: np.ndarray, colour: tuple[float, ...]) -> None:
    """Fill four corners, given as shares of the sides; their edges are anti-aliased."""
    height, width, _ = picture.shape
    corners = np.rint(quad * (width << _FRACTION, height << _FRACTION)).astype(np.int32)
    cv2.fillConvexPoly(picture, corners, colour, cv2.LINE_AA, _FRACTION)


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
