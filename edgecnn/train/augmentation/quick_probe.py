"""Quick classifiers in place of a small network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

__all__ = ["FOLDS", "Probe", "embed"]

FOLDS = 5
_SIDE, _CELLS, _ORIENTATIONS, _PIXELS = 30, 5, 8, 6
_SHRINKAGE = 0.1
_AT_ONCE = 64


def embed(images: np.ndarray) -> np.ndarray:
    """Describe images by gradient orientations in 5 x 5 cells and colours of 6 x 6 pixels.

    Orientations have no sign, so only the colours depend on polarity.

    Args:
        images: In [0, 255], uint8 or float32, shape (n, height, width, 3).

    Returns:
        float32, shape (n, 308).

    Source: orientations as Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177.
    """
    some = (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))
    return np.concatenate([_embedded(np.asarray(part, np.float32)) for part in some])


def _embedded(images: np.ndarray) -> np.ndarray:
    """`embed` of few images: what it makes on the way takes more memory than they do."""
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

    @cached_property
    def right(self) -> np.ndarray:
        """Which images are read correctly after training on clean ones: bool, shape (n,)."""
        return np.asarray(self.held_out()[0])

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
                kinds, weights, bias = _fitted(
                    features, np.tile(self.classes[learn], len(versions))
                )
                for row, version in zip(right, versions, strict=True):
                    found = (version[held] @ weights + bias).argmax(axis=1)
                    row[held] = kinds[found] == self.classes[held]
        return right

    def read_by(self, changed: np.ndarray) -> np.ndarray:
        """Train a support vector machine on changed images alone, and test it on clean ones.

        Returns:
            Which held-out images are read correctly: bool, shape (n,).
        """
        from sklearn.svm import SVC

        right = np.zeros(len(self.classes), bool)
        for fold in range(FOLDS):
            learn, held = self.folds != fold, self.folds == fold
            if held.any() and len(set(self.classes[learn])) > 1:
                probe = SVC(C=3.0, gamma="scale").fit(changed[learn], self.classes[learn])
                right[held] = probe.predict(self.features[held]) == self.classes[held]
        return right


def _fitted(features: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The classes, shape (k,), and the scores' weights (d, k) and bias (k,).

    As scikit-learn's, but without its singular value decomposition, which takes most of the time.
    """
    kinds, of = np.unique(classes, return_inverse=True)
    counts = np.bincount(of)
    means = np.stack([features[of == k].mean(axis=0) for k in range(len(kinds))])
    centred = features - means[of]
    shared = (centred.T @ centred).astype(np.float64) / len(features)
    even = _SHRINKAGE * max(float(np.trace(shared)) / len(shared), 1e-6)
    shared *= 1 - _SHRINKAGE
    shared[np.diag_indices_from(shared)] += even
    weights = np.linalg.solve(shared, means.T)
    bias = np.log(counts / len(features)) - 0.5 * (means.T * weights).sum(axis=0)
    return kinds, weights, bias
