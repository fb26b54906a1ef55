"""Pictures that are easy to make and hard to confuse: smooth random scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Scene = Callable[[int], np.ndarray]


@pytest.fixture(scope="session")
def scene() -> Scene:
    """A smooth random picture of its number: uint8, shape (48, 40, 3)."""

    def make(number: int) -> np.ndarray:
        coarse = np.random.default_rng(number).uniform(20, 235, (6, 5, 3)).astype(np.float32)
        return cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype("u1")

    return make


@pytest.fixture
def write(scene):
    """Write scenes as root/NAME: write(root, "cat/1.png", 5) or with a picture instead of 5."""

    def make(root: Path, name: str, picture: int | np.ndarray) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = scene(picture) if isinstance(picture, int) else picture
        cv2.imencode(path.suffix, frame)[1].tofile(path)
        return path

    return make


@pytest.fixture
def two_classes(tmp_path, write) -> Path:
    """40 different scenes of each of two classes."""
    root = tmp_path / "lab"
    for k in range(80):
        write(root, f"{'ab'[k % 2]}/{k:03d}.png", k)
    return root
