"""A quick linear classifier in place of a small network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from warnings import catch_warnings, filterwarnings

import cv2
import numpy as np

if TYPE_CHECKING:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

__all__ = ["FOLDS", "Probe", "embed"]

FOLDS = 5
_SIDE, _CELLS, _ORIENTATIONS, _PIXELS = 30, 5, 8, 6


def embed(images: np.ndarray) -> np.ndarray:
    """Describe images by gradient orientations in 5 x 5 cells and colours of 6 x 6 pixels.

    Orientations have no sign, so only the colours depend on polarity.

    Args:
        images: float32 in [0, 255], shape (n, height, width, 3).

    Returns:
        float32, shape (n, 308).

    Source: orientations as Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177.
    """
    small = np.stack([_resized(image, _SIDE) for image in images])
    colours = np.stack([_resized(image, _PIXELS) for image in images]) / 255 - 0.5
    down, across = np.gradient(small, axis=1), np.gradient(small, axis=2)
    strongest = (down**2 + across**2).argmax(axis=3)[..., None]
    down, across = (np.take_along_axis(g, strongest, 3)[..., 0] for g in (down, across))
    angle = np.arctan2(down, across) % np.pi * (_ORIENTATIONS / np.pi)
    apart = np.abs(angle[..., None] - np.arange(_ORIENTATIONS))
    apart = np.minimum(apart, _ORIENTATIONS - apart)
    votes = np.maximum(0, 1 - apart) * np.hypot(down, across)[..., None]
    cell = _SIDE // _CELLS
    shape = (len(images), _CELLS, cell, _CELLS, cell, _ORIENTATIONS)
    cells = votes.reshape(shape).sum(axis=(2, 4)).reshape(len(images), -1)
    # The added constant suppresses noise, so that a flat image has no orientation.
    shares = np.sqrt(cells / (cells.sum(axis=1, keepdims=True) + _SIDE**2))
    return np.concatenate([6 * shares, 0.7 * colours.reshape(len(images), -1)], 1, dtype=np.float32)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    soft = cv2.GaussianBlur(np.ascontiguousarray(image), (3, 3), 0)
    return np.asarray(cv2.resize(soft, (side, side), interpolation=cv2.INTER_AREA))


@dataclass(frozen=True, eq=False)
class Probe:
    """Shrunken linear discriminant analysis, cross-validated.

    Args:
        features: The features of clean images from `embed`, shape (n, d).
        classes, folds: int, shape (n,); folds from 0 to 4.
    """

    features: np.ndarray
    classes: np.ndarray
    folds: np.ndarray

    def held_out(self, *changed: np.ndarray) -> np.ndarray:
        """Train on the clean and the changed images, and test both on held-out ones.

        Returns:
            Which images are read correctly, the clean ones first: bool, shape (versions, n).
        """
        versions = (self.features, *changed)
        right = np.zeros((len(versions), len(self.classes)), bool)
        for fold in range(FOLDS):
            learn, held = self.folds != fold, self.folds == fold
            if held.any() and len(set(self.classes[learn])) > 1:
                features = np.concatenate([version[learn] for version in versions])
                probe = _fitted(features, np.tile(self.classes[learn], len(versions)))
                for row, version in zip(right, versions, strict=True):
                    row[held] = probe.predict(version[held]) == self.classes[held]
        return right


def _fitted(features: np.ndarray, classes: np.ndarray) -> LinearDiscriminantAnalysis:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
    with catch_warnings():
        # A class with one image adds nothing to the covariance; the other classes suffice.
        filterwarnings("ignore", message="Only one sample available")
        return probe.fit(features, classes)
