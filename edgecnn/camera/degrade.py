"""Degrade many frames at once as cameras do, in the order in which cameras do it.

    scene -> perspective -> occlusion -> illumination, vignette -> exposure, white balance
          -> defocus, motion -> contrast -> shot and read noise -> sRGB curve
          -> loss of resolution -> JPEG

Up to the sRGB curve everything happens in linear light, and all of it at the resolution of the
capture: noise and blur at 1080p look nothing like noise and blur at 96 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from edgecnn.camera.simulate import Range, linear_to_srgb, srgb_to_linear

__all__ = ["PARAMETERS", "degrade", "draw_settings"]

Settings = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Parameter:
    """A camera setting: `identity` changes nothing; cameras lie between `low` and `high`."""

    unit: str
    identity: float
    low: float
    high: float
    meaning: str
    fitted: bool = True


# Noise is counted in encoded grey levels at middle grey, as a viewer sees it. A shot noise of n
# is about n grey levels at every tone; a read noise grows in the shadows.
PARAMETERS: dict[str, Parameter] = {
    "gain": Parameter("factor of linear light", 1.0, 0.25, 2.2, "exposure"),
    "red": Parameter("log of gain against green", 0.0, -0.4, 0.4, "white balance, red"),
    "blue": Parameter("log of gain against green", 0.0, -0.4, 0.4, "white balance, blue"),
    "contrast": Parameter("exponent about middle grey", 1.0, 0.45, 1.5, "tone curve"),
    "defocus": Parameter("px, standard deviation", 0.0, 0.0, 1.8, "defocus"),
    "motion": Parameter("px, length of the streak", 0.0, 0.0, 7.0, "motion blur"),
    "noise": Parameter("grey levels, standard deviation", 0.0, 0.0, 16.0, "sensor noise"),
    "vignette": Parameter("share of light lost in the corners", 0.0, 0.0, 0.7, "vignette"),
    "illumination": Parameter("share, one edge against the middle", 0.0, 0.0, 0.6, "uneven light"),
    "jpeg": Parameter("libjpeg quality", 100.0, 15.0, 100.0, "JPEG compression"),
    "read_share": Parameter("share of the noise variance", 0.3, 0.0, 1.0, "read noise", False),
    "motion_deg": Parameter("degrees from the right", 90.0, 0.0, 180.0, "way of motion", False),
    "illumination_deg": Parameter("degrees", 180.0, 0.0, 360.0, "brighter edge", False),
    "scale": Parameter("factor of resolution", 1.0, 0.4, 1.0, "loss of resolution", False),
    "occlusion": Parameter("share of the area", 0.0, 0.0, 0.2, "something in front", False),
    "perspective": Parameter(
        "share, magnification at one edge against the middle", 0.0, 0.0, 0.2, "a tilted view", False
    ),
    "perspective_deg": Parameter("degrees", 180.0, 0.0, 360.0, "nearer edge", False),
}
# Drawn over their whole range where no range is given: none of their values is neutral.
_FREE = ("motion_deg", "illumination_deg", "perspective_deg", "read_share")
_MIDDLE_GREY = 0.18
# Grey levels for each unit of linear light at middle grey: the slope of the sRGB curve.
_SLOPE = 255 * 1.055 / 2.4 * _MIDDLE_GREY ** (1 / 2.4 - 1)
_STEPS = 1 << 14
_SRGB = linear_to_srgb(np.linspace(0, 1, _STEPS))


def draw_settings(
    ranges: Mapping[str, Range], count: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Draw the settings of `count` frames uniformly; a setting without a range stays neutral.

    Returns:
        float32 arrays of shape (count,), one for each of PARAMETERS.
    """
    drawn = {}
    for name, parameter in PARAMETERS.items():
        default = (parameter.low, parameter.high) if name in _FREE else (parameter.identity,) * 2
        low, high = ranges.get(name, default)
        drawn[name] = rng.uniform(low, high, count).astype(np.float32)
    return drawn


def degrade(frames_bgr: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Degrade each frame with its own settings.

    Args:
        frames_bgr: uint8, sRGB, shape (n, h, w, 3), B, G, R.

    Returns:
        uint8, same shape: the decoded JPEG of the camera.
    """
    frames = _tilt(frames_bgr, settings["perspective"], settings["perspective_deg"])
    frames = _occlude(frames, settings["occlusion"], rng)
    light = srgb_to_linear(frames)
    light *= _lamp(frames.shape, settings)[..., None]
    gains = np.stack([np.exp(settings["blue"]), np.ones(len(frames)), np.exp(settings["red"])], 1)
    light *= (settings["gain"][:, None] * gains).astype(np.float32)[:, None, None, :]
    for k, picture in enumerate(light):
        _blur(picture, *(float(settings[key][k]) for key in ("defocus", "motion", "motion_deg")))
    light = _tone(light, settings["contrast"])
    _add_noise(light, settings["noise"], settings["read_share"], rng)
    # Below half a step in 2^14 the sRGB curve moves by a tenth of a grey level.
    steps = np.clip(light, 0.0, 1.0) * np.float32(_STEPS - 1) + np.float32(0.5)
    encoded = _SRGB[steps.astype(np.uint16)]
    for k, picture in enumerate(encoded):
        encoded[k] = _compress(picture, float(settings["scale"][k]), float(settings["jpeg"][k]))
    return np.asarray(encoded)


def _tilt(frames: np.ndarray, shares: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Tilt the view: one edge comes nearer; the middle keeps its place and size."""
    if not shares.any():
        return frames
    _, height, width, _ = frames.shape
    centre = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    # From the frame to the scene: the nearer edge shows less of it, magnified.
    tilts = np.tile(np.eye(3), (len(frames), 1, 1))
    tilts[:, 2, 0] = shares * np.cos(np.radians(angles)) / (width / 2)
    tilts[:, 2, 1] = -shares * np.sin(np.radians(angles)) / (height / 2)
    transforms = centre @ tilts @ np.linalg.inv(centre)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack(
        [
            cv2.warpPerspective(
                frame, transform, (width, height), None, flags, cv2.BORDER_REPLICATE
            )
            for frame, transform in zip(frames, transforms, strict=True)
        ]
    )


def _occlude(frames: np.ndarray, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a dark bar or patch at an edge: a wire, a finger, a drop."""
    if not shares.any():
        return frames
    frames = frames.copy()
    _, height, width, _ = frames.shape
    for picture, share in zip(frames, shares, strict=True):
        size = round(float(share) * (width if rng.random() < 0.5 else height))
        tone = rng.integers(10, 90, 3)
        side = rng.integers(4)
        if size:
            turned = np.rot90(picture, int(side))
            turned[: max(1, round(float(share) * turned.shape[0]))] = tone
    return frames


def _lamp(shape: tuple[int, ...], settings: Settings) -> np.ndarray:
    """Relative light at each pixel, 1 in the middle: float32, shape (n, h, w)."""
    _, height, width, _ = shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[None, :, None]
    angle = np.radians(settings["illumination_deg"])[:, None, None]
    slope = settings["illumination"][:, None, None]
    lamp = 1 + slope * (x * np.cos(angle) - y * np.sin(angle))
    lamp *= 1 - settings["vignette"][:, None, None] * (x**2 + y**2) / 2
    return np.asarray(np.maximum(lamp, 0).astype(np.float32))


def _blur(picture: np.ndarray, defocus: float, motion: float, angle: float) -> None:
    """Blur in place: a Gaussian for the lens, a streak for movement during the exposure."""
    if defocus > 0.05:
        line = _bell(defocus)
        cv2.sepFilter2D(picture, -1, line, line, dst=picture, borderType=cv2.BORDER_REPLICATE)
    if motion > 0.1:
        kernel = _streak(motion, angle)
        cv2.filter2D(picture, -1, kernel, dst=picture, borderType=cv2.BORDER_REPLICATE)


def _bell(deviation: float) -> np.ndarray:
    """The discrete Gaussian: its variance is exact, where samples of a narrow Gaussian blur less.

    Source: Lindeberg 1990, doi:10.1109/34.49051: the Fourier transform is exp(t (cos w - 1)).
    """
    reach = int(np.ceil(4 * deviation)) + 1
    size = 4 * reach
    omega = 2 * np.pi * np.arange(size // 2 + 1) / size
    line = np.roll(np.fft.irfft(np.exp(deviation**2 * (np.cos(omega) - 1)), size), reach)
    kept = line[: 2 * reach + 1]
    return np.asarray((kept / kept.sum()).astype(np.float32))


def _streak(length: float, angle: float) -> np.ndarray:
    """A line of `length` pixels, one pixel thick with soft edges, that sums to 1."""
    reach = int(np.ceil(length / 2)) + 1
    at = np.arange(-reach, reach + 1, dtype=np.float32)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    along = np.abs(at[None, :] * cos - at[:, None] * sin)
    aside = np.abs(at[None, :] * sin + at[:, None] * cos)
    line = np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - aside, 0, 1)
    return np.asarray((line / line.sum()).astype(np.float32))


def _tone(light: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Raise light to an exponent that keeps middle grey."""
    if (contrast == 1.0).all():
        return light
    exponent = contrast[:, None, None, None]
    relative = np.maximum(light, np.float32(1e-5)) / np.float32(_MIDDLE_GREY)
    return np.asarray(np.exp(exponent * np.log(relative)) * np.float32(_MIDDLE_GREY))


def _add_noise(
    light: np.ndarray, noise: np.ndarray, read_share: np.ndarray, rng: np.random.Generator
) -> None:
    """Add shot noise (variance proportional to light) and read noise (the same everywhere)."""
    if not noise.any():
        return
    variance = ((noise / _SLOPE) ** 2)[:, None, None, None]
    share = read_share[:, None, None, None]
    shot = (1 - share) / np.float32(_MIDDLE_GREY) * light
    deviation = np.sqrt(variance * (shot + share), dtype=np.float32)
    light += deviation * rng.standard_normal(light.shape, np.float32)


def _compress(picture: np.ndarray, scale: float, quality: float) -> np.ndarray:
    """Reduce the resolution, then encode and decode a JPEG; quality 100 skips the JPEG."""
    height, width = picture.shape[:2]
    if scale < 0.99:
        small_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(picture, small_wh, interpolation=cv2.INTER_AREA)
        picture = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))
    if round(quality) < 100:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return picture
