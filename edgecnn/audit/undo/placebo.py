"""Changes that undo nothing: what they seem to return is chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial

import cv2
import numpy as np

from edgecnn.audit.ledger.change import Change

__all__ = ["placebo_changes"]

_CELLS, _LEVELS = 12, 12.0


def placebo_changes(count: int) -> Sequence[Change]:
    """`count` faint patterns, each added to every frame: nothing in the field looks like them."""
    return [Change(f"pattern {seed}", partial(_pattern, seed=seed)) for seed in range(count)]


def _pattern(frame: np.ndarray, *, seed: int) -> np.ndarray:
    return cv2.add(frame, _levels(seed, *frame.shape[:2]), dtype=cv2.CV_8U)


@lru_cache(maxsize=8)  # frames have few sizes, and one pattern is tried on all of them
def _levels(seed: int, height: int, width: int) -> np.ndarray:
    """What a pattern adds: float32, shape (height, width, 3)."""
    cells = np.random.default_rng(seed).normal(0, _LEVELS, (_CELLS, _CELLS, 3))
    return cv2.resize(cells.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
