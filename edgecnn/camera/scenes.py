"""Choose lab frames that resemble the field's scenes, so that only the camera differs."""

from __future__ import annotations

import numpy as np

__all__ = ["MIN_FRAMES", "evenly", "like_polarity", "sharp_enough"]

MIN_FRAMES = 20
_POLARITY_GAP = 0.2


def sharp_enough(scales: np.ndarray) -> np.ndarray:
    """Choose the lab frames that need no enlarging, if they are enough.

    Enlarging blurs a frame, and no camera undoes that.

    Args:
        scales: `Window.scale` of each frame.

    Returns:
        int64: positions.
    """
    sharp = np.flatnonzero(scales <= 1.15)
    return sharp if len(sharp) >= 5 * MIN_FRAMES else np.arange(len(scales))


def like_polarity(lab: np.ndarray, field: np.ndarray) -> np.ndarray:
    """Choose lab scenes so that light objects on dark are as frequent as in the field.

    Polarity is content: otherwise dark digits on white would look like overexposure. The object
    is the smaller part of a picture, so the mean is on its side of the median. All scenes are kept
    where both shares are similar, or where too few scenes would be left.
    """
    light_lab, light_field = _light_on_dark(lab), _light_on_dark(field)
    share = float(light_field.mean())
    if abs(light_lab.mean() - share) < _POLARITY_GAP:
        return lab
    light, dark = np.flatnonzero(light_lab), np.flatnonzero(~light_lab)
    total = int(min(len(light) / max(share, 1e-6), len(dark) / max(1 - share, 1e-6)))
    num_light = round(total * share)
    if total < 3 * MIN_FRAMES:
        return lab
    chosen = [light[evenly(len(light), num_light)], dark[evenly(len(dark), total - num_light)]]
    return np.asarray(lab[np.sort(np.concatenate(chosen))])


def _light_on_dark(frames: np.ndarray) -> np.ndarray:
    luma = frames.mean(axis=3).reshape(len(frames), -1)
    return np.asarray(luma.mean(axis=1) > np.median(luma, axis=1))


def evenly(length: int, count: int) -> np.ndarray:
    """Up to `count` positions spread evenly over `length`, both ends included: int64."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(int)
