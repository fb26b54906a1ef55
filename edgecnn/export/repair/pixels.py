"""What is wrong with the pixels of a calibration set, judged without labels.

The lab test images say what pixels should look like, the float model's confidence whether the
corrected images suit it better than the images as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["FixedPixels", "fix_pixels"]

_LOST = 8  # a set that spans fewer levels than this can't be stretched back to pictures
_DIM = 2.0  # times darker than the lab's brightest pixels
_SURER = 0.02  # of confidence that a true correction gains
_TAIL = 99.9  # percentile that counts as the brightest pixels


@dataclass(frozen=True)
class FixedPixels:
    """tensors: uint8 (n, height, width, 3), n = 0 where nothing can be saved."""

    tensors: np.ndarray
    found: str
    done: str


def fix_pixels(
    tensors: np.ndarray, lab: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]
) -> FixedPixels | None:
    """Find data that was normalized, dimmed or saved in the wrong channel order.

    Args:
        tensors: The calibration images, uint8 (n, height, width, 3) RGB.
        lab: Lab images in the same form, their labels unread.
        predict: Float scores of such tensors.

    Returns:
        The corrected images; None where the pixels look like the lab's or nothing helps.
    """
    bright, lab_bright = (float(np.percentile(x, _TAIL)) for x in (tensors, lab))
    if int(tensors.max()) < _LOST <= lab_bright / 2:
        return FixedPixels(
            tensors[:0],
            f"calibration pixels span 0..{int(tensors.max())}, the lab's 0..{int(lab.max())}: data "
            "scaled to [0, 1] or standardized was saved",
            "these images can't be brought back; left out",
        )
    swapped = np.ascontiguousarray(tensors[..., ::-1])
    before = _confidence(predict, tensors)
    nearer = 2 * _distance(swapped, lab) < _distance(tensors, lab)
    if nearer and _confidence(predict, swapped) > before + _SURER:
        return FixedPixels(
            swapped, "calibration images have red and blue swapped", "swapped red and blue back"
        )
    if bright * _DIM <= lab_bright:
        gain = lab_bright / max(1.0, bright)
        lit = np.clip(tensors * np.float32(gain), 0, 255).astype(np.uint8)
        if _confidence(predict, lit) > before + _SURER:
            return FixedPixels(
                np.concatenate([tensors, lit]),
                f"calibration pixels span 0..{bright:.0f}, the lab's 0..{lab_bright:.0f}",
                f"added the images once more, {gain:.1f} times brighter",
            )
    return None


def _confidence(predict: Callable[[np.ndarray], np.ndarray], tensors: np.ndarray) -> float:
    return float(predict(tensors).max(axis=1).mean())


def _distance(tensors: np.ndarray, lab: np.ndarray) -> float:
    """Of the channels' shares of brightness: how bright both are as a whole plays no part."""
    shares = [x.mean(axis=(0, 1, 2)) / max(1e-6, float(x.mean())) for x in (tensors, lab)]
    return float(np.abs(shares[0] - shares[1]).sum())
