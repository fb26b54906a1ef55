"""Natural scenes that a package ships: tiles of scikit-learn's two sample photographs."""

from __future__ import annotations

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiles() -> np.ndarray:
    """uint8, shape (260, 40, 40, 3), B, G, R: half-size tiles, which are free of JPEG traces."""
    from sklearn.datasets import load_sample_images

    found = []
    for photo in load_sample_images().images:
        small = cv2.resize(photo[..., ::-1], None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
        for top in range(0, small.shape[0] - 40, 28):
            for left in range(0, small.shape[1] - 40, 36):
                found.append(small[top : top + 40, left : left + 40])
    return np.random.default_rng(0).permutation(np.stack(found))
