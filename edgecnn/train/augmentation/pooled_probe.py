"""A second probe that survives a shift: learned patches, the strongest answer in each region.

A linear probe on pixels can't read a digit that is moved by a sixth of the picture, whatever its
label, and would accuse every operation that moves things. This one is what a small network's first
layers do: whitened patches of the images themselves as filters, and pooling.

Source: Coates, Lee and Ng 2011, "An analysis of single-layer networks in unsupervised feature
learning", AISTATS.
"""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["PooledPatches"]

_SIDE, _PATCH, _FILTERS = 28, 6, 48
_DRAWN = 20_000
_SOFT = 0.1  # of the mean variance, added before whitening
_CHUNK = 200


class PooledPatches:
    """Features of images, by filters drawn from some of them."""

    def __init__(self, images: np.ndarray, seed: int) -> None:
        """Draw the filters.

        Args:
            images: float32 in [0, 255], shape (n, height, width, 3).
        """
        rng = np.random.default_rng(seed)
        patches = _patches(_small(images[:: max(1, len(images) // 200)]))
        flat = patches.reshape(-1, patches.shape[-1])
        flat = _even(flat[rng.choice(len(flat), min(_DRAWN, len(flat)), replace=False)])
        self._mean = flat.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov(flat - self._mean, rowvar=False))
        scale = 1 / np.sqrt(np.maximum(values, 0) + _SOFT * max(float(values.mean()), 1e-6))
        self._whiten = ((vectors * scale) @ vectors.T).astype(np.float32)
        lively = flat[flat.std(axis=1) > np.median(flat.std(axis=1))]
        chosen = lively[rng.choice(len(lively), min(_FILTERS, len(lively)), replace=False)]
        filters = (chosen - self._mean) @ self._whiten
        norms = np.linalg.norm(filters, axis=1, keepdims=True)
        self._filters = (filters / np.maximum(norms, 1e-6)).astype(np.float32)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Describe images: float32, shape (n, 5 regions x 2 x filters): all of it, and its halves.

        Args:
            images: float32 in [0, 255], shape (n, height, width, 3).
        """
        found = []
        for start in range(0, len(images), _CHUNK):  # bounded memory
            patches = _patches(_small(images[start : start + _CHUNK]))
            shape = patches.shape[:3]
            flat = _even(patches.reshape(-1, patches.shape[-1]))
            answers = ((flat - self._mean) @ self._whiten) @ self._filters.T
            answers = answers.reshape(*shape, -1)
            both = np.concatenate([np.maximum(answers, 0), np.maximum(-answers, 0)], axis=-1)
            half = shape[1] // 2
            regions = [both, both[:, :half], both[:, half:], both[:, :, :half], both[:, :, half:]]
            found.append(np.concatenate([part.max(axis=(1, 2)) for part in regions], axis=1))
        return np.concatenate(found).astype(np.float32)


def _small(images: np.ndarray) -> np.ndarray:
    size = (_SIDE, _SIDE)
    return np.stack([cv2.resize(i, size, interpolation=cv2.INTER_AREA) for i in images]) / 255


def _patches(images: np.ndarray) -> np.ndarray:
    """All patches: float32, shape (n, rows, columns, 6 * 6 * 3)."""
    views = np.lib.stride_tricks.sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2))
    return np.ascontiguousarray(views[:, ::2, ::2]).reshape(*views[:, ::2, ::2].shape[:3], -1)


def _even(patches: np.ndarray) -> np.ndarray:
    """Patches of about one contrast: the light on a picture changes, its shapes stay."""
    spread = patches.std(axis=1, keepdims=True)
    centred = patches - 0.5 * patches.mean(axis=1, keepdims=True)
    return np.asarray(centred / (spread + 0.1), np.float32)
