"""Ranges of camera settings: drawn at random, near others, and as vectors for a regression."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from edgecnn.camera.degrade import PARAMETERS
from edgecnn.camera.simulate import Range

__all__ = [
    "CAUSES",
    "Ranges",
    "any_camera",
    "as_defocus",
    "camera_near",
    "only",
    "to_ranges",
    "to_vector",
    "weakened",
]

Ranges = dict[str, Range]
CAUSES = tuple(name for name, parameter in PARAMETERS.items() if parameter.fitted)


def any_camera(rng: np.random.Generator) -> Ranges:
    """Draw a camera from the whole family; each cause is absent in 4 of 10 cameras."""
    ranges = {}
    for name in CAUSES:
        parameter = PARAMETERS[name]
        if rng.random() < 0.4:
            continue
        middle = rng.uniform(parameter.low, parameter.high)
        ranges[name] = _clip(name, middle, rng.uniform(0, 0.3) * (parameter.high - parameter.low))
    if "motion" in ranges and rng.random() < 0.5:  # else in any direction, like a shaking hand
        angle = rng.uniform(0, 180)
        ranges["motion_deg"] = (angle - 10, angle + 10)
    return ranges


def only(ranges: Ranges, names: Collection[str]) -> Ranges:
    """The ranges of `names`; the direction of a motion belongs to "motion"."""
    return {
        name: ends
        for name, ends in ranges.items()
        if (name if name != "motion_deg" else "motion") in names
    }


def as_defocus(ranges: Ranges) -> Ranges:
    """Replace motion by defocus: short streaks in any direction look the same.

    A streak of length L has a variance of L^2 / 12 along it, half of that along each axis.
    """
    if "motion" not in ranges:
        return ranges
    plain = only(ranges, ranges.keys() - {"motion"})
    ends = zip(ranges.get("defocus", (0.0, 0.0)), ranges["motion"], strict=True)
    low, high = (float(np.sqrt(defocus**2 + motion**2 / 24)) for defocus, motion in ends)
    return {**plain, "defocus": (low, high)}


def camera_near(ranges: Ranges, rng: np.random.Generator) -> Ranges:
    """Draw ranges near given ones, about as far away as the first round's error."""
    near = {}
    for name, (low, high) in ranges.items():
        if name == "motion_deg":
            turn = rng.normal(0, 15)
            near[name] = (low + turn, high + turn)
            continue
        reach = PARAMETERS[name].high - PARAMETERS[name].low
        middle = (low + high) / 2 + 0.12 * reach * rng.uniform(-1, 1)
        half = (high - low) / 2 * rng.uniform(0.4, 1.4) + 0.05 * reach * rng.uniform(0, 1)
        near[name] = _clip(name, middle, half)
    return near


def weakened(name: str, ends: Range, share: float) -> Range:
    """Move a range to a share of its distance from the cause's identity."""
    identity = PARAMETERS[name].identity
    low, high = (identity + share * (end - identity) for end in ends)
    return (low, high)


def _clip(name: str, middle: float, half: float) -> Range:
    parameter = PARAMETERS[name]
    middle = min(max(middle, parameter.low), parameter.high)
    half = max(half, 0.0)
    return (max(parameter.low, middle - half), min(parameter.high, middle + half))


def to_vector(ranges: Ranges) -> np.ndarray:
    """Middle and half-width of each cause, in units of its reach; then the mean motion, x and y."""
    parts = []
    for name in CAUSES:
        parameter = PARAMETERS[name]
        low, high = ranges.get(name, (parameter.identity,) * 2)
        reach = parameter.high - parameter.low
        parts += [(low + high) / 2 / reach, (high - low) / 2 / reach]
    low, high = ranges.get("motion_deg", (0.0, 180.0))
    turn = np.radians(low + high)  # twice the angle: a streak at 180 degrees is one at 0
    length = parts[2 * CAUSES.index("motion")] * np.sinc((high - low) / 180)
    return np.array([*parts, length * np.cos(turn), length * np.sin(turn)])


def to_ranges(vector: np.ndarray) -> Ranges:
    """The ranges of a vector that `to_vector` made or a regression predicted."""
    ranges = {}
    for k, name in enumerate(CAUSES):
        reach = PARAMETERS[name].high - PARAMETERS[name].low
        middle, half = (float(v) * reach for v in vector[2 * k : 2 * k + 2])
        ranges[name] = _clip(name, middle, half)
    x, y = vector[-2:]
    one_way = float(np.hypot(x, y)) / max(1e-6, vector[2 * CAUSES.index("motion")])
    if one_way > 0.5:
        angle, half = float(np.degrees(np.arctan2(y, x)) / 2), 90 * (1 - min(1.0, one_way))
        ranges["motion_deg"] = (angle - half, angle + half)
    return ranges
