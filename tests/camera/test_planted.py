"""Cameras planted on real crops are found again: the figures that the README gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_fit import fit_camera

from edgecnn.bundle.preprocess import read_image
from edgecnn.camera.degrade import PARAMETERS, degrade, draw_settings
from edgecnn.camera.ranges import Ranges
from edgecnn.camera.statistics import Window
from edgecnn.files.folders import find_images

LIMITS = {"defocus": 0.1, "gain": 0.05, "red": 0.04, "blue": 0.04, "noise": 1.5, "jpeg": 6.0}
# Beyond these a frame is white, or nothing of a digit is left.
REACHES = {"gain": (0.25, 1.6), "defocus": (0.0, 1.6)}


def planted(seed: int, number: int) -> Ranges:
    """Ranges of the six causes; each is absent in 3 of 10 cameras."""
    rng = np.random.default_rng([seed, number])
    ranges = {}
    for name in LIMITS:
        if rng.random() < 0.3:
            continue
        low, high = REACHES.get(name, (PARAMETERS[name].low, PARAMETERS[name].high))
        middle, half = rng.uniform(low, high), rng.uniform(0.05, 0.25) * (high - low)
        ranges[name] = (max(low, middle - half), min(high, middle + half))
    return ranges


def middle(ranges: Ranges, name: str) -> float:
    return sum(ranges.get(name, (PARAMETERS[name].identity,) * 2)) / 2


@pytest.fixture(scope="module")
def crops(meters: Path) -> np.ndarray:
    """1,200 crops as they came, at 40 x 64: 400 for the lab, the rest for the field."""
    files = find_images(meters / "lab")
    chosen = np.random.default_rng(0).permutation(len(files))[:1200]
    window = Window((40, 64))
    return np.stack([window.cut(read_image(files[k])) for k in chosen])


@pytest.mark.long
@pytest.mark.meters
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [3001, 3002, 3003])
def test_middles_of_20_planted_cameras_are_found(seed, crops):
    errors = []
    for number in range(20):
        ranges = planted(seed, number)
        rng = np.random.default_rng([seed, number, 1])
        scenes = crops[400:][rng.choice(800, 200, replace=False)]
        field = degrade(scenes, draw_settings(ranges, len(scenes), rng), rng)
        found = fit_camera(list(crops[:400]), list(field)).ranges
        errors.append([abs(middle(found, name) - middle(ranges, name)) for name in LIMITS])
    means = dict(zip(LIMITS, np.mean(errors, axis=0).tolist(), strict=True))
    missed = {name: round(mean, 3) for name, mean in means.items() if mean > LIMITS[name]}
    assert not missed, f"seed {seed}: mean absolute errors {means}"
