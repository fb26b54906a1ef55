"""Are these images of the device that will run the bundle? Another device's images do harm.

The last layer sees little of a camera, because the network is trained not to. So the pictures
themselves are compared, in 4x6 colours: the energy distance between the field set and the newest
live frames, in units of the distance between halves of the live frames. Halves of whole groups
say how much the scene changes; of random frames, how alike two sets of one device are.

The limits come from 13 meters (docs/results/adapt.md).

Source: Szekely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edgecnn.adapt.data import FieldSet
from edgecnn.camera.scenes import evenly

__all__ = ["find_foreign"]

_WIDTH, _HEIGHT = 4, 6
_BY_GROUPS, _BY_FRAMES = 4.0, 16.0  # allowed multiples
_FEWEST_GROUPS = 6
_SPLITS = 7
_MOST = 300


def find_foreign(images: FieldSet, live: FieldSet) -> str:
    """Why the field set is taken for another device's; empty when it is not."""
    found, known = _colours(images.tensors), _colours(live.tensors)
    apart = _energy_distance(found, known)
    groups = np.unique(live.groups, return_inverse=True)[1]
    checks: list[tuple[str, float, Callable[[int], np.ndarray]]] = [
        ("random halves", _BY_FRAMES, lambda seed: _random_half(np.arange(len(known)), seed))
    ]
    if groups.max() + 1 >= _FEWEST_GROUPS:
        checks.append(("halves", _BY_GROUPS, lambda seed: _random_half(groups, seed)))
    for what, allowed, half in checks:
        within = float(np.median([_between_halves(known, half(seed)) for seed in range(_SPLITS)]))
        times = apart / max(within, 1e-9)
        if times > allowed:
            return (
                f"the images are {times:.0f} times as far from the {len(known)} newest live frames "
                f"as {what} of these from each other, allowed is {allowed:g}: another device, or "
                "another light; take the images of this device's own session"
            )
    return ""


def _random_half(groups: np.ndarray, seed: int) -> np.ndarray:
    """About half of the images, whole groups each: bool (n,)."""
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    size = np.bincount(groups)[order]
    first = order[np.cumsum(size) - size / 2 < len(groups) / 2]
    return np.isin(groups, first)


def _between_halves(known: np.ndarray, half: np.ndarray) -> float:
    return _energy_distance(known[half], known[~half]) if 0 < half.sum() < len(half) else 0.0


def _colours(tensors: np.ndarray) -> np.ndarray:
    """Up to 300 images, each as float32 (72,)."""
    rows = evenly(len(tensors), _MOST)
    size = (_WIDTH, _HEIGHT)
    small = [cv2.resize(tensors[k], size, interpolation=cv2.INTER_AREA) for k in rows]
    return np.stack(small).reshape(len(rows), -1).astype(np.float32)


def _energy_distance(first: np.ndarray, second: np.ndarray) -> float:
    between = _mean_distance(first, second)
    return 2 * between - _mean_distance(first, first) - _mean_distance(second, second)


def _mean_distance(first: np.ndarray, second: np.ndarray) -> float:
    squared = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return float(np.sqrt(np.maximum(squared, 0)).mean())
