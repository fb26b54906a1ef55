"""What is wrong with the pixels of a calibration set, judged without labels.

The lab test images say what pixels should look like, the float model's confidence whether the
mended images are more to its liking than the images as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Mended", "drop_outliers", "mend_pixels", "pin"]

_LOST = 8  # a set that spans fewer levels than this can't be stretched back to pictures
_DIM = 2.0  # times darker than the lab's brightest pixels
_SURER = 0.02  # of confidence gained by a true mend
_TAIL = 99.9  # percentile that stands for the brightest pixels
_OUTLIER = 3.0  # times the usual largest activation


@dataclass(frozen=True)
class Mended:
    """uint8 tensors (n, height, width, 3), n = 0 where nothing can be saved; what was done."""

    tensors: np.ndarray
    what: str


def mend_pixels(
    tensors: np.ndarray, lab: np.ndarray, predict: Callable[[np.ndarray], np.ndarray]
) -> Mended | None:
    """Find data that was normalized, dimmed or saved in the wrong channel order.

    Args:
        tensors: The calibration images, uint8 (n, height, width, 3) RGB.
        lab: Lab images in the same form, their labels unread.
        predict: Float scores of such tensors.

    Returns:
        The mended images; None where the pixels look like the lab's or nothing helps.
    """
    bright, lab_bright = (float(np.percentile(x, _TAIL)) for x in (tensors, lab))
    if int(tensors.max()) < _LOST <= lab_bright / 2:
        return Mended(
            tensors[:0],
            f"left out all {len(tensors)} images: their pixels span 0..{int(tensors.max())}, "
            f"the lab's 0..{int(lab.max())}; data scaled to [0, 1] or standardized was saved",
        )
    swapped = np.ascontiguousarray(tensors[..., ::-1])
    before = _confidence(predict, tensors)
    nearer = 2 * _distance(swapped, lab) < _distance(tensors, lab)
    if nearer and _confidence(predict, swapped) > before + _SURER:
        return Mended(swapped, "swapped red and blue: the images were saved in B, G, R order")
    if bright * _DIM <= lab_bright:
        gain = lab_bright / max(1.0, bright)
        lit = np.clip(tensors * np.float32(gain), 0, 255).astype(np.uint8)
        if _confidence(predict, lit) > before + _SURER:
            return Mended(
                np.concatenate([tensors, lit]),
                f"added the images {gain:.1f} times brighter: their pixels span "
                f"0..{bright:.0f}, the lab's 0..{lab_bright:.0f}",
            )
    return None


def drop_outliers(tensors: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """The images without those few that alone stretch some layer's range.

    Args:
        tensors: n images.
        largest: float (n, layers), the largest absolute activation of each layer on each.

    Returns:
        The others; all of them when more than a tenth would go.
    """
    usual = np.median(largest, axis=0)
    outliers = (largest > _OUTLIER * np.maximum(usual, 1e-9)).any(axis=1)
    if outliers.mean() > 0.1:
        return tensors
    return np.asarray(tensors[~outliers])


def pin(tensors: np.ndarray) -> np.ndarray:
    """The tensors, with 0 and 255 in two corner pixels of the first: see Calibration.pinned."""
    pinned = tensors.copy()
    pinned[0, 0, 0], pinned[0, -1, -1] = 0, 255
    return pinned


def _confidence(predict: Callable[[np.ndarray], np.ndarray], tensors: np.ndarray) -> float:
    return float(predict(tensors).max(axis=1).mean())


def _distance(tensors: np.ndarray, lab: np.ndarray) -> float:
    """Of the channels' shares of brightness: how bright both are as a whole plays no part."""
    shares = [x.mean(axis=(0, 1, 2)) / max(1e-6, float(x.mean())) for x in (tensors, lab)]
    return float(np.abs(shares[0] - shares[1]).sum())
