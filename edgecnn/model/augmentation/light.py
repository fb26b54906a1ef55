"""Random light, optics and compression: what cameras and displays do to the same object."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgecnn.model.augmentation.operations import Light
from edgecnn.model.augmentation.picture_layer import PictureLayer

__all__ = ["RandomLight"]

_LEVELS = np.arange(256, dtype=np.float32)
_GRAIN = 32.0  # deviation of the stored noise, in steps: 4 of it fit into a byte


class RandomLight(PictureLayer):
    """Change the light, the colours, the sharpness and the noise of each picture by its own draw.

    Everything that acts on single values is one table a channel.
    """

    def __init__(self, light: Light, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.light = light

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        o = self.light
        count, height, width, _ = images.shape
        chosen = {
            name: np.less(rng.random(count), getattr(o, name)).tolist()
            for name in ("stroke", "blur", "glare", "sharpen", "jpeg")
        }
        coarse = np.less(rng.random(count), o.blur / 2).tolist()
        matrices = self._mixing(count, rng)
        tables, kept = self._tables(images, rng)
        slopes = rng.uniform(-o.slope, o.slope, (count, 2)).tolist()
        lamp = _Lamp(height, width)
        sigmas = (rng.uniform(0, o.noise, count) * np.minimum(1, kept)).tolist()
        grain = _Grain(height, width, count, rng) if o.noise else None
        changed = np.empty_like(images)
        for k, given in enumerate(images):
            picture = _stroke(given, rng) if chosen["stroke"][k] else given
            if matrices is not None:
                picture = cv2.transform(picture, matrices[k])
            picture = cv2.LUT(picture, tables[k][None])
            if o.slope:
                picture = lamp.slope(picture, *slopes[k])
            if chosen["glare"][k]:
                picture = lamp.glare(picture, rng)
            if chosen["blur"][k]:
                picture = _soften(picture, rng)
            if coarse[k]:
                picture = _coarsen(picture)
            if chosen["sharpen"][k]:
                picture = _sharpen(picture, rng)
            if grain:
                picture = grain.add(picture, k, sigmas[k])
            if chosen["jpeg"][k]:
                picture = _compress(picture, int(rng.integers(20, 91)))
            changed[k] = picture
        return changed

    def _mixing(self, count: int, rng: np.random.Generator) -> np.ndarray | None:
        """Matrices of saturation and of grey: float32, (count, 3, 3)."""
        o = self.light
        if not o.saturation and not o.grey:
            return None
        keep = rng.uniform(1 - o.saturation, 1 + 0.3 * o.saturation, (count, 1, 1))
        weights = np.full((count, 1, 3), 1 / 3)
        grey = rng.random(count) < o.grey
        weights[grey] = rng.dirichlet((1, 1, 1), int(grey.sum()))[:, None]
        keep[grey] = 0
        return np.asarray((keep * np.eye(3) + (1 - keep) * weights).astype(np.float32))

    def _tables(
        self, images: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Polarity, contrast, exposure, balance, tint and gamma: uint8, (n, 256, 3), one picture's
        value -> new value; and the factor of contrast that is left, (n,)."""
        o = self.light
        count = len(images)

        def draw(half_width: float, channels: int = 1) -> np.ndarray:
            shape = (count, 1, channels)
            return rng.uniform(-half_width, half_width, shape).astype(np.float32)

        low = np.where(rng.random((count, 1, 1)) < o.low_contrast, 0.7 + draw(0.7), 0)
        contrast = np.exp(draw(o.contrast) - 0.1 * (o.contrast > 0) - low)
        exposure = np.exp(draw(o.exposure) - 0.1 * (o.exposure > 0))
        invert = rng.random((count, 1, 1)) < o.invert
        values = np.where(invert, 255 - _LEVELS[None, :, None], _LEVELS[None, :, None])
        mean = images[:, ::3, ::3].mean(axis=(1, 2, 3), dtype=np.float32)[:, None, None]
        mean = np.where(invert, 255 - mean, mean)
        values = (mean + (values - mean) * contrast) * exposure * np.exp(draw(o.balance, 3))
        values = np.clip(values + draw(o.tint, 3), 0, 255)
        if o.gamma:
            values = 255 * (np.maximum(values, 0.25) / 255) ** np.exp(draw(o.gamma))
        return np.rint(values).astype(np.uint8), (contrast * exposure)[:, 0, 0] ** 0.7


class _Lamp:
    """Uneven light on pictures of one size."""

    def __init__(self, height: int, width: int) -> None:
        self.x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        self.y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        ones = np.ones((height, width), np.float32)
        self.across, self.down = cv2.merge([self.x * ones] * 3), cv2.merge([self.y * ones] * 3)

    def slope(self, picture: np.ndarray, across: float, down: float) -> np.ndarray:
        """Light that falls off across the picture, as from a lamp at one side."""
        lamp = cv2.addWeighted(self.across, across, self.down, down, 1.0)
        return np.asarray(cv2.multiply(picture, lamp, dtype=cv2.CV_8U))

    def glare(self, picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A bright spot somewhere."""
        cx, cy, wide, high, peak = rng.uniform((-1, -1, 0.2, 0.1, 30), (1, 1, 1, 0.8, 200))
        across, down = np.square((self.x - cx) / wide), np.square((self.y - cy) / high)
        spot = peak * np.exp(-down) * np.exp(-across)
        return np.asarray(cv2.add(picture, cv2.merge([spot] * 3), dtype=cv2.CV_8U))


class _Grain:
    """Noise of one deviation for a batch: each picture takes a piece of its own, scaled."""

    def __init__(self, height: int, width: int, count: int, rng: np.random.Generator) -> None:
        noise = 128 + _GRAIN * rng.standard_normal((2 * height, 2 * width, 3), np.float32)
        self.field = np.rint(np.clip(noise, 0, 255)).astype(np.uint8)
        self.corners = rng.integers(0, (height + 1, width + 1), (count, 2)).tolist()

    def add(self, picture: np.ndarray, number: int, sigma: float) -> np.ndarray:
        height, width, _ = picture.shape
        y, x = self.corners[number]
        piece = self.field[y : y + height, x : x + width]
        share = sigma / _GRAIN
        return np.asarray(cv2.addWeighted(picture, 1, piece, share, -128 * share))


def _blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(cv2.addWeighted(a, 1 - share, b, share, 0))


def _stroke(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grow = cv2.dilate if rng.random() < 0.5 else cv2.erode
    return _blend(picture, grow(picture, np.ones((3, 3), np.uint8)), rng.uniform(0.3, 1))


def _soften(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to two box blurs, each by a share: up to about a pixel of standard deviation."""
    for share in rng.uniform(0, 1, 2):
        picture = _blend(picture, cv2.blur(picture, (3, 3)), share)
    return picture


def _coarsen(picture: np.ndarray) -> np.ndarray:
    height, width, _ = picture.shape
    small = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _sharpen(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = rng.uniform(0, 1.5)
    return np.asarray(cv2.addWeighted(picture, 1 + share, cv2.blur(picture, (3, 3)), -share, 0))


def _compress(picture: np.ndarray, quality: int) -> np.ndarray:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
