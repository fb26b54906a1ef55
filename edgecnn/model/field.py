"""A simulated field: tensors as a camera of the degradation family would have given them.

No field image is needed: without fitted ranges every picture goes through a camera of its own,
drawn over 0.7 of the family's reach.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.simulate import Range

__all__ = ["broad_ranges", "degraded_copy"]

# The ends of the family spoil pictures that a person can't read either.
_REACH = 0.7
_ABSENT = 0.4
# Shorter side of the pictures that the family's pixels are meant for.
_SIDE = 64.0
_IN_PIXELS = ("defocus", "motion")
_BROAD: tuple[str, ...] = (
    *("gain", "red", "blue", "contrast", "defocus", "motion", "noise"),
    *("vignette", "illumination", "jpeg", "scale", "occlusion"),
)
_CHUNK = 256


def broad_ranges(shape: tuple[int, ...]) -> dict[str, Range]:
    """What cameras do to pictures of a network's size, from nothing to 0.7 of the family's reach.

    Blur counts in pixels and a small picture has few: it shrinks with the shorter side, from
    64 pixels down (a blur of 1.8 px leaves nothing of a digit that is 32 wide), and grows to
    twice of it on large pictures.

    Args:
        shape: Of the tensors, (..., h, w, 3).
    """
    size = min(2.0, min(shape[-3:-1]) / _SIDE)
    ranges = {}
    for name in _BROAD:
        p = PARAMETERS[name]
        reach = _REACH * (size if name in _IN_PIXELS else 1.0)
        ends = (p.identity + reach * (end - p.identity) for end in (p.low, p.high))
        ranges[name] = (next(ends), next(ends))
    return ranges


def degraded_copy(
    tensors: np.ndarray, seed: int, ranges: Mapping[str, Range] | None = None
) -> np.ndarray:
    """Each picture through a camera of its own: a field validation set without a field image.

    Args:
        tensors: uint8, RGB, shape (n, h, w, 3).
        seed: The same seed gives the same copies.
        ranges: Of `degrade.PARAMETERS`, in pixels of the tensors; every picture draws all of
            them. None: `broad_ranges`, of which each cause spares 4 of 10 pictures.

    Returns:
        uint8, RGB, same shape.
    """
    rng = np.random.default_rng(seed)
    settings = draw_settings(
        broad_ranges(tensors.shape) if ranges is None else ranges, len(tensors), rng
    )
    if ranges is None:
        for name in _BROAD:
            spared = rng.random(len(tensors)) < _ABSENT
            settings[name][spared] = PARAMETERS[name].identity
    copies = np.empty_like(tensors)
    for start in range(0, len(tensors), _CHUNK):
        part = slice(start, start + _CHUNK)
        some = {name: values[part] for name, values in settings.items()}
        bgr = np.ascontiguousarray(tensors[part, ..., ::-1])
        copies[part] = degrade(bgr, some, rng)[..., ::-1]
    return copies
