"""Random geometry as one OpenCV warp for each image."""

from __future__ import annotations

from math import log, pi
from typing import Any

import cv2
import numpy as np

from edgecnn.train.augmentation.operations import Geometry
from edgecnn.train.augmentation.picture_layer import PictureLayer

__all__ = ["RandomWarp"]


class RandomWarp(PictureLayer):
    """Rotate, shift, zoom, shear, tilt and mirror each image by its own draw, in one warp.

    The new border repeats the edge pixels, because the network would learn a black border, or
    shows a neighbour in the light and contrast of the picture.
    """

    def __init__(self, geometry: Geometry, seed: int = 0) -> None:
        super().__init__(seed)
        self.geometry = geometry

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        count, height, width, _ = images.shape
        transforms = self._transforms(count, (height, width), rng)
        # One more channel: OpenCV warps four channels faster than three.
        padded = _recoloured(images, cv2.COLOR_BGR2BGRA)
        besides = _Neighbours(padded, self.geometry.neighbours, rng)
        # Those with neighbours get half a side more at the left and above.
        put = np.array([[1, 0, width // 2], [0, 1, height // 2], [0, 0, 1]])
        transforms[besides.beside_any] = put @ transforms[besides.beside_any]
        warped = np.empty_like(padded)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        for k, surrounded in enumerate(besides.beside_any.tolist()):
            picture = besides.surround(k) if surrounded else padded[k]
            cv2.warpPerspective(
                picture, transforms[k], (width, height), warped[k], flags, cv2.BORDER_REPLICATE
            )
        return _recoloured(warped, cv2.COLOR_BGRA2BGR)

    def _transforms(
        self, count: int, size: tuple[int, int], rng: np.random.Generator
    ) -> np.ndarray:
        """Draw homogeneous transforms from output to input pixels about the centre.

        Returns:
            float64, shape (count, 3, 3).
        """
        o = self.geometry
        height, width = size
        angle, across, down, stretch, shear = rng.uniform(-1, 1, (5, count))
        zoom = np.exp(rng.uniform(-log(o.zoom_in), log(o.zoom_out), count))
        mirror = np.where(rng.random(count) < o.flip, -1.0, 1.0)
        tilts = o.perspective * rng.uniform(-1, 1, (count, 2))
        angle = angle * o.rotation * pi / 180
        stretch = np.exp(stretch * o.stretch)
        cos, sin = np.cos(angle), np.sin(angle)
        moves, tilt = np.tile(np.eye(3), (2, count, 1, 1))
        moves[:, 0, 0] = cos * zoom * stretch * mirror
        moves[:, 0, 1] = (shear * o.shear - sin) * zoom
        moves[:, 1, 0] = sin * zoom * mirror
        moves[:, 1, 1] = cos * zoom / stretch
        moves[:, 0, 2] = across * o.shift * width
        moves[:, 1, 2] = down * o.shift * height
        tilt[:, 2, :2] = tilts / (width / 2, height / 2)
        centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
        return np.asarray(centre @ moves @ tilt @ np.linalg.inv(centre))


def _recoloured(images: np.ndarray, code: int) -> np.ndarray:
    """Convert the colours of all images in one call, as one tall picture."""
    count, height, width, channels = images.shape
    tall = cv2.cvtColor(images.reshape(count * height, width, channels), code)
    return np.asarray(tall.reshape(count, height, width, -1))


class _Neighbours:
    """The neighbours of each picture: other pictures of the batch beside it."""

    def __init__(self, images: np.ndarray, share: float, rng: np.random.Generator) -> None:
        count = len(images)
        self.images = images
        present = np.less(rng.random((count, 4)), share)
        self.present, self.beside_any = present.tolist(), np.any(present, axis=1)
        apart = rng.integers(1, max(2, count), (count, 4))
        self.other = (np.arange(count)[:, None] + apart) % count
        matched = rng.random((count, 4)) < 0.75
        if share:
            self.light = self._light(matched)

    def surround(self, k: int) -> np.ndarray:
        """Extend the picture by half a side at each of its sides: uint8, (2 h, 2 w, channels)."""
        _, height, width, _ = self.images.shape
        h, w = height // 2, width // 2
        canvas = cv2.copyMakeBorder(self.images[k], h, h, w, w, cv2.BORDER_REPLICATE)
        left, right, above, below = self.present[k]
        if left:
            canvas[h : h + height, :w] = self._part(k, 0, np.s_[:, width - w :])
        if right:
            canvas[h : h + height, w + width :] = self._part(k, 1, np.s_[:, :w])
        if above:
            canvas[:h, w : w + width] = self._part(k, 2, np.s_[height - h :])
        if below:
            canvas[h + height :, w : w + width] = self._part(k, 3, np.s_[:h])
        return np.asarray(canvas)

    def _part(self, k: int, side: int, part: Any) -> np.ndarray:
        """A part of the neighbour, mostly in this picture's light."""
        other = self.images[self.other[k, side]]
        return np.asarray(cv2.transform(other[part], self.light[k, side]))

    def _light(self, matched: np.ndarray) -> np.ndarray:
        """Transforms that give matched neighbours the picture's mean and deviation by channel.

        Returns:
            float32, shape (n, 4, channels, channels + 1); the identity where not matched.
        """
        found = np.array([cv2.meanStdDev(image) for image in self.images])[..., 0]
        mean, deviation = found[:, 0], found[:, 1] + 4
        scale = np.minimum(deviation[:, None] / deviation[self.other], 3.0)
        scale = np.where(matched[..., None], scale, 1)
        shift = np.where(matched[..., None], mean[:, None] - scale * mean[self.other], 0)
        diagonals = scale[..., None] * np.eye(self.images.shape[3])
        return np.asarray(np.concatenate([diagonals, shift[..., None]], axis=3), np.float32)
