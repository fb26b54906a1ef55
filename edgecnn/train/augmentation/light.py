"""Change light, optics and compression at random, as cameras and displays do."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import cv2
import numpy as np

from edgecnn.train.augmentation.operations import Light
from edgecnn.train.augmentation.picture_layer import PictureLayer

__all__ = ["RandomLight"]

_LEVELS = np.arange(256, dtype=np.float32)
_SQUARE = np.ones((3, 3), np.uint8)
_BLOCK = 2**18  # floats that fit into a core's cache
_GRAIN = 32.0  # standard deviation of the stored noise, in steps of a byte
# From a random byte to a normal draw around 128: the middles of 256 equal shares.
_NORMAL = np.array(
    [round(128 + _GRAIN * NormalDist().inv_cdf((k + 0.5) / 256)) for k in range(256)], np.uint8
)


class RandomLight(PictureLayer):
    """Change light, colours, sharpness and noise of each picture by its own draw."""

    def __init__(self, light: Light) -> None:
        super().__init__()
        self.light = light

    def change(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        o = self.light
        count = len(images)
        tables, kept = self._tables(images, rng)
        images = images.copy()
        _some(images, o.stroke, _stroke, rng)
        matrices = self._mixing(count, rng)
        for k, picture in enumerate(images):
            mixed = picture if matrices is None else cv2.transform(picture, matrices[k])
            cv2.LUT(mixed, tables[k : k + 1], picture)
        if o.slope:
            _slope(images, rng.uniform(-o.slope, o.slope, (count, 2)))
        _some(images, o.glare, _glare, rng)
        _some(images, o.blur, _soften, rng)
        _some(images, o.blur / 2, _coarsen, rng)
        _some(images, o.sharpen, _sharpen, rng)
        if o.noise:
            _add_grain(images, rng.uniform(0, o.noise, count) * np.minimum(1, kept), rng)
        _some(images, o.jpeg, _compress, rng)
        return images

    def _mixing(self, count: int, rng: np.random.Generator) -> np.ndarray | None:
        """Draw colour matrices for saturation and grey: float32, (count, 3, 3)."""
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
        """Draw polarity, contrast, exposure, balance, tint and gamma.

        Returns:
            The new value for each old value: uint8, (n, 256, 3); and the remaining contrast as a
            factor, (n,).
        """
        o = self.light
        count = len(images)

        def draw(half_width: float, channels: int = 1) -> np.ndarray:
            shape = (channels, count, 1)
            return rng.uniform(-half_width, half_width, shape).astype(np.float32)

        low = np.where(rng.random((count, 1)) < o.low_contrast, 0.7 + draw(0.7), 0)
        contrast = np.exp(draw(o.contrast) - 0.1 * (o.contrast > 0) - low)
        exposure = np.exp(draw(o.exposure) - 0.1 * (o.exposure > 0))
        inverted = rng.random((count, 1)) < o.invert
        mean = np.array([sum(cv2.mean(image)[:3]) / 3 for image in images], np.float32)[:, None]
        # Contrast keeps the mean, or the inverted mean of an inverted picture.
        gain = exposure * np.exp(draw(o.balance, 3))
        slope = np.where(inverted, -contrast, contrast) * gain
        values = slope * _LEVELS
        values += np.where(inverted, 255 - mean, mean) * gain - slope * mean + draw(o.tint, 3)
        np.clip(values, 0.25 if o.gamma else 0, 255, out=values)
        if o.gamma:  # 255 (v / 255) ** exponent, faster than with a power
            exponent = np.exp(draw(o.gamma))
            values = np.exp(exponent * np.log(values) + (1 - exponent) * np.log(np.float32(255)))
        tables = cv2.merge(list(np.rint(values).astype(np.uint8)))
        return np.asarray(tables), (contrast * exposure)[0, :, 0] ** 0.7


def _some(
    images: np.ndarray,
    share: float,
    change: Callable[[np.ndarray, list[float]], np.ndarray],
    rng: np.random.Generator,
) -> None:
    """Change a share of the pictures in place, each with its own five draws from [0, 1)."""
    numbers = np.flatnonzero(rng.random(len(images)) < share)
    for k, draws in zip(numbers.tolist(), rng.random((len(numbers), 5)).tolist(), strict=True):
        images[k] = change(images[k], draws)


def _stroke(picture: np.ndarray, draws: list[float]) -> np.ndarray:
    grow = cv2.dilate if draws[0] < 0.5 else cv2.erode
    return _blend(picture, grow(picture, _SQUARE), 0.3 + 0.7 * draws[1])


def _slope(images: np.ndarray, slopes: np.ndarray) -> None:
    """Let light fall off across each picture (x, y), as from a lamp at one side, in place."""
    count, height, width, channels = images.shape
    x, y = (np.linspace(-1, 1, side, dtype=np.float32) for side in (width, height))
    slopes = slopes.astype(np.float32)[..., None]
    across, down = slopes[:, :1] * np.repeat(x, channels), 1 + slopes[:, 1:] * y[:, None]
    rows = images.reshape(count, height, width * channels)
    size = max(1, _BLOCK // rows[0].size)
    for start in range(0, count, size):
        part = slice(start, start + size)
        tall = rows[part].reshape(-1, width * channels)
        lamps = (across[part] + down[part]).reshape(tall.shape)
        cv2.multiply(tall, lamps, tall, 1, cv2.CV_8U)


def _glare(picture: np.ndarray, draws: list[float]) -> np.ndarray:
    """Add a bright spot somewhere."""
    height, width, _ = picture.shape
    x, y, wide, high, peak = draws
    across = (np.arange(width) / width - x) / (0.1 + 0.4 * wide)
    down = (np.arange(height) / height - y) / (0.05 + 0.35 * high)
    light = (30 + 170 * peak) * np.exp(-np.square(down))[:, None] * np.exp(-np.square(across))
    return np.asarray(cv2.add(picture, cv2.merge([light] * 3), dtype=cv2.CV_8U))


def _soften(picture: np.ndarray, draws: list[float]) -> np.ndarray:
    """Blend in two box blurs: up to about a pixel of standard deviation."""
    for share in draws[:2]:
        picture = _blend(picture, cv2.blur(picture, (3, 3)), share)
    return picture


def _coarsen(picture: np.ndarray, draws: list[float]) -> np.ndarray:  # noqa: ARG001
    height, width, _ = picture.shape
    small = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def _sharpen(picture: np.ndarray, draws: list[float]) -> np.ndarray:
    return _blend(picture, cv2.blur(picture, (3, 3)), -1.5 * draws[0])


def _add_grain(images: np.ndarray, sigmas: np.ndarray, rng: np.random.Generator) -> None:
    """Add noise in place: each picture takes a piece of one noise field, scaled to its sigma."""
    count, height, width, channels = images.shape
    field = cv2.LUT(rng.integers(0, 256, (2 * height, 2 * width, channels), np.uint8), _NORMAL)
    corners = rng.integers(0, (height + 1, width + 1), (count, 2)).tolist()
    shares = (sigmas / _GRAIN).tolist()
    for picture, (y, x), share in zip(images, corners, shares, strict=True):
        piece = field[y : y + height, x : x + width]
        cv2.addWeighted(picture, 1, piece, share, -128 * share, picture)


def _compress(picture: np.ndarray, draws: list[float]) -> np.ndarray:
    quality = 20 + int(71 * draws[0])
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))


def _blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(cv2.addWeighted(a, 1 - share, b, share, 0))
