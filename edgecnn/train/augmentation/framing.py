"""Draw frames, bars, scratches and glints around and across the object."""

from __future__ import annotations

from itertools import islice

import cv2
import numpy as np

from edgecnn.train.augmentation.operations import Framing
from edgecnn.train.augmentation.picture_layer import PictureLayer

__all__ = ["RandomFraming"]

_FRACTION = 4  # fractional bits of OpenCV's pixel coordinates


class RandomFraming(PictureLayer):
    """Draw bands and lines of one colour at the borders, and thin lines anywhere."""

    def __init__(self, framing: Framing) -> None:
        super().__init__()
        self.framing = framing

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        images = images.copy()
        bordered, sides = np.nonzero(rng.random((len(images), 4)) < self.framing.borders)
        lined, _ = np.nonzero(rng.random((len(images), 2)) < self.framing.lines)
        size = images.shape[2], images.shape[1]
        pieces, counts = _borders(sides, self.framing.depth, rng)
        colours = _border_colours(images, bordered, rng)
        _fill(images, bordered, counts, _corners(pieces, size), colours)
        lines, one_each = _lines(len(lined), rng), np.ones(len(lined), int)
        # Lighter or darker than the mean.
        tones = 320 * rng.random((len(lined), 1)) - 120
        tones = np.clip(_means(images, lined) + tones, 0, 255)
        _fill(images, lined, one_each, _corners(lines, size), tones)
        return images


def _borders(
    sides: np.ndarray, depth: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw bands at the edge, or lines inside it, in one piece or in several.

    Args:
        sides: The side of each border, shape (n,): 0 top, 1 bottom, 2 left, 3 right.

    Returns:
        Quadrilaterals of all pieces, one border after the other, (pieces, 4, 2), (x, y) as
        shares of the sides; and the number of pieces for each border, (n,).
    """
    inner, whole, thick, lean, cut, length, first = rng.random((7, len(sides)))
    inner = inner * depth
    outer = np.where(whole < 0.5, -0.1, inner - (0.02 + 0.07 * thick))
    in_pieces = cut < 0.4
    period = np.where(in_pieces, 0.06 * (1.6 / 0.06) ** length, 2.4)
    start = np.where(in_pieces, -first * period, -0.1)
    counts = np.ceil((1.1 - start) / period).astype(int)
    of = np.repeat(np.arange(len(sides)), counts)
    number = np.arange(len(of)) - np.repeat(counts.cumsum() - counts, counts)
    begin = start[of] + number * period[of]
    end = begin + period[of] / 2
    along = np.stack((begin, end, end, begin), axis=1)
    inwards = np.stack((outer, outer, inner, inner), axis=1)[of]
    inwards += (0.08 * lean[of, None] - 0.04) * (2 * along - 1)
    inwards = np.where(sides[of, None] % 2, 1 - inwards, inwards)
    quads = np.stack((along, inwards), axis=2)
    return np.where(sides[of, None, None] < 2, quads, quads[..., ::-1]), counts


def _border_colours(
    images: np.ndarray, numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw colours: often grey or near black or white, sometimes the picture's extreme tone.

    Returns:
        float64, shape (n, 3), for the pictures with these numbers.
    """
    kind, dark, coloured, share = rng.random((4, len(numbers), 1))
    tones = rng.random((len(numbers), 3))
    tone = 255 * np.where(coloured < 0.4, tones, tones[:, :1])
    extreme = np.where(dark < 0.5, tone / 4, 255 - tone / 4)
    tone = np.where(kind < 0.65, extreme, tone)
    for chosen, extreme_of in ((dark < 0.5, np.min), (dark >= 0.5, np.max)):
        own = (chosen & (kind < 0.3))[:, 0]
        tone[own] = extreme_of(images[numbers[own], ::3, ::3], axis=(1, 2))
    mean = _means(images, numbers)
    return np.asarray(mean + (0.5 + share / 2) * (tone - mean))


def _lines(count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw thin lines that end somewhere: quadrilaterals as in `_borders`, shape (count, 4, 2)."""
    at, lean, start, length, half, way = rng.random((6, count))
    lean, start, half = 0.3 * lean - 0.15, 1.2 * start - 0.5, 0.008 + 0.032 * half
    end = start + 0.3 + 1.2 * length
    a, b = at + lean * (start - 0.5), at + lean * (end - 0.5)
    along = np.stack((start, end, end, start), axis=1)
    across = np.stack((a - half, b - half, b + half, a + half), axis=1)
    quads = np.stack((along, across), axis=2)
    return np.where(way[:, None, None] < 0.3, quads[..., ::-1], quads)


def _means(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The mean colours of the pictures with these numbers, shape (n, 3)."""
    return np.array([cv2.mean(images[k])[:3] for k in numbers]).reshape(-1, 3)


def _corners(quads: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Convert shares of the sides to OpenCV's fixed-point pixels."""
    return np.asarray(np.rint(quads * np.array(size) * 2**_FRACTION), np.int32)


def _fill(
    images: np.ndarray,
    numbers: np.ndarray,
    counts: np.ndarray,
    quads: np.ndarray,
    colours: np.ndarray,
) -> None:
    """Fill, for each picture number in turn, its count of quadrilaterals, with smooth edges."""
    pieces = iter(quads)
    for k, count, colour in zip(numbers.tolist(), counts.tolist(), colours.tolist(), strict=True):
        cv2.fillPoly(images[k], list(islice(pieces, count)), colour, cv2.LINE_AA, _FRACTION)
