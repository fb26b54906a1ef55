"""Simulate a field camera that photographs a flat card.

    card (reflectance) -> perspective -> illumination, vignette -> exposure, white balance
                       -> defocus -> shot and read noise -> sRGB curve -> JPEG

All steps work at capture resolution and, up to the sRGB curve, in linear light.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import cv2
import numpy as np

__all__ = ["FieldCamera", "Range", "Shot", "linear_to_srgb", "srgb_to_linear"]

Range = tuple[float, float]
# Focal length in frame heights of a lens with a vertical field of view of 40 degrees.
_FOCAL = 0.5 / float(np.tan(np.radians(20.0)))


def _setting(neutral: float, low: float, high: float) -> Any:
    """A field that changes nothing by default; `FieldCamera` draws it from low to high."""
    return field(default=neutral, metadata={"range": (low, high)})


@dataclass(frozen=True)
class Shot:
    """The settings of one frame: neutral, and their ranges for a cheap fixed-focus camera.

    It hangs at an indoor reading station, with a lamp to one side, a lens a little out of focus,
    and cards placed by hand. The ranges are not tuned to any accuracy.

    Args:
        exposure_stops: 0 maps reflectance 1 to the sensor's full well; +1 doubles the light.
        red_gain, blue_gain: White balance error: natural log of the gain relative to green.
        illumination: 0.3 gives one edge 30 % more light than the middle, the other 30 % less.
        illumination_deg: Direction of the brighter edge, counter-clockwise from the right.
        vignette: Natural light fall-off: 0 is none, 1 is cos^4 of the angle from the axis.
        defocus_px: Radius of the circle of confusion, in pixels of the frame.
        full_well: Electrons at white; few electrons mean much shot noise.
        read_noise: Standard deviation of the sensor's electronics, in electrons.
        jpeg_quality: 1 to 100, as libjpeg counts it.
        tilt_deg, pan_deg, roll_deg: The card's rotation about the frame's horizontal axis, its
            vertical axis and the viewing axis.
        scale: Side of the card over the height of the frame, before the rotation.
        shift_x, shift_y: The card's centre minus the frame's centre, in frame heights.
    """

    exposure_stops: float = _setting(0.0, -1.5, 0.5)
    red_gain: float = _setting(0.0, -0.25, 0.25)
    blue_gain: float = _setting(0.0, -0.25, 0.25)
    illumination: float = _setting(0.0, 0.0, 0.45)
    illumination_deg: float = _setting(0.0, 0.0, 360.0)
    vignette: float = _setting(0.0, 0.3, 1.0)
    defocus_px: float = _setting(0.0, 0.5, 3.5)
    full_well: float = _setting(1e9, 400.0, 4000.0)
    read_noise: float = _setting(0.0, 2.0, 8.0)
    jpeg_quality: float = _setting(100.0, 40.0, 85.0)
    tilt_deg: float = _setting(0.0, -15.0, 15.0)
    pan_deg: float = _setting(0.0, -15.0, 15.0)
    roll_deg: float = _setting(0.0, -8.0, 8.0)
    scale: float = _setting(1.0, 0.95, 1.2)
    shift_x: float = _setting(0.0, -0.06, 0.06)
    shift_y: float = _setting(0.0, -0.06, 0.06)


@dataclass(frozen=True)
class FieldCamera:
    """A camera that draws the settings of each frame.

    Args:
        size_wh: Width and height of the frame in pixels.
        desk: Reflectance in [0, 1] of the desk around the card.
        ranges: Other ranges than those of `Shot`.
    """

    size_wh: tuple[int, int] = (320, 240)
    desk: float = 0.18
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def sample(self, rng: np.random.Generator) -> Shot:
        """Draw the settings of one frame."""
        ranges = {f.name: self.ranges.get(f.name, f.metadata["range"]) for f in fields(Shot)}
        return Shot(**{name: float(rng.uniform(*ends)) for name, ends in ranges.items()})

    def capture(self, card: np.ndarray, rng: np.random.Generator) -> bytes:
        """Photograph a card with newly drawn settings.

        Args:
            card: uint8, sRGB, shape (h, w) grey or (h, w, 3) B, G, R.

        Returns:
            The frame as the camera sends it: a JPEG file.
        """
        shot = self.sample(rng)
        frame = self.expose(card, shot, rng)
        quality = round(shot.jpeg_quality)
        return cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()

    def film(self, card: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Photograph a card and decode the JPEG: uint8, shape (height, width, 3), B, G, R."""
        frame = cv2.imdecode(np.frombuffer(self.capture(card, rng), np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(frame)

    def expose(self, card: np.ndarray, shot: Shot, rng: np.random.Generator) -> np.ndarray:
        """The frame before JPEG: uint8, sRGB, shape (height, width, 3), B, G, R."""
        light = self.light(card, shot)
        # Shot noise is Poisson; at hundreds of electrons the normal approximation is close and
        # faster. Read noise adds to it; the sensor saturates at 1.
        electrons = light * np.float32(shot.full_well)
        noise = rng.standard_normal(light.shape, np.float32)
        electrons += noise * np.sqrt(electrons + np.float32(shot.read_noise) ** 2)
        return linear_to_srgb(electrons / np.float32(shot.full_well))

    def light(self, card: np.ndarray, shot: Shot) -> np.ndarray:
        """Light on the sensor without noise: float32, shape (height, width, 3), 1 = full well."""
        bgr = card if card.ndim == 3 else np.repeat(card[..., None], 3, axis=2)
        scene = cv2.warpPerspective(
            srgb_to_linear(bgr),
            self._homography(bgr.shape, shot),
            self.size_wh,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(self.desk,) * 3,
        )
        gains = np.exp2(shot.exposure_stops) * np.exp([shot.blue_gain, 0.0, shot.red_gain])
        lit = scene * self._illumination(shot)[..., None] * gains.astype(np.float32)
        return np.asarray(_defocus(lit, shot.defocus_px), np.float32)

    def _illumination(self, shot: Shot) -> np.ndarray:
        """Relative light at each pixel: float32, shape (height, width), about 1 in the middle."""
        width, height = self.size_wh
        # Position of each pixel off the axis, right and down, in frame heights.
        x = (np.arange(width)[None, :] + 0.5 - width / 2) / height
        y = (np.arange(height)[:, None] + 0.5 - height / 2) / height
        angle = np.radians(shot.illumination_deg)
        towards = (x * np.cos(angle) - y * np.sin(angle)) / 0.5
        slope = np.clip(1.0 + shot.illumination * towards, 0.0, None)
        cos2 = _FOCAL**2 / (_FOCAL**2 + x**2 + y**2)
        return np.asarray(slope * (1.0 - shot.vignette * (1.0 - cos2**2)), np.float32)

    def _homography(self, shape: tuple[int, ...], shot: Shot) -> np.ndarray:
        """Card pixels to frame pixels: a pinhole camera looks at a card turned in space."""
        tilt, pan, roll = np.radians([shot.tilt_deg, shot.pan_deg, shot.roll_deg])
        turn = _turn(0, tilt) @ _turn(1, pan) @ _turn(2, roll)
        h, w = shape[:2]
        corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], float)
        half = (corners - np.array([w, h]) / 2) / h * shot.scale
        points = np.column_stack([half, np.zeros(4)]) @ turn.T
        # The card's centre is one focal length away, so that `scale` is exact there.
        seen = points[:, :2] * _FOCAL / (_FOCAL + points[:, 2:])
        width, height = self.size_wh
        frame = (seen + np.array([shot.shift_x, shot.shift_y])) * height + np.array(
            [width, height]
        ) / 2
        # The corners are at pixel edges; warpPerspective counts from pixel centres.
        return np.asarray(
            cv2.getPerspectiveTransform(
                (corners - 0.5).astype(np.float32), (frame - 0.5).astype(np.float32)
            )
        )


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """Undo the sRGB curve (IEC 61966-2-1): uint8 0..255 -> float32 linear light in [0, 1]."""
    v = np.arange(256) / 255.0
    table = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return np.asarray(table.astype(np.float32)[image])


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Apply the sRGB curve (IEC 61966-2-1): linear light -> uint8; outside [0, 1] it clips."""
    x = np.clip(light, 0.0, 1.0)
    v = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255.0 * v).astype(np.uint8))


def _defocus(light: np.ndarray, radius: float) -> np.ndarray:
    """Spread each point over a disc of `radius` pixels: a lens with a round stop, defocused."""
    if radius <= 0:
        return light
    reach = int(np.ceil(radius))
    at = np.arange(-reach, reach + 1)
    distance = np.hypot(at[:, None], at[None, :])
    disc = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    return np.asarray(cv2.filter2D(light, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE))


def _turn(axis: int, angle: float) -> np.ndarray:
    """Rotation matrix about the x (0), y (1) or z (2) axis, radians."""
    i, j = [k for k in range(3) if k != axis]
    matrix: Any = np.eye(3)
    matrix[i, i] = matrix[j, j] = np.cos(angle)
    matrix[i, j], matrix[j, i] = -np.sin(angle), np.sin(angle)
    return np.asarray(matrix)
