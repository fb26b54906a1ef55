"""Changes that undo nothing: what they seem to return is chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np

from edgecnn.audit.ledger.change import Change

__all__ = ["placebo_changes"]

_CELLS, _LEVELS = 12, 12.0


def placebo_changes(count: int) -> Sequence[Change]:
    """`count` faint patterns, each added to every frame: nothing in the field looks like them."""
    return [Change(f"pattern {seed}", partial(_pattern, seed=seed)) for seed in range(count)]


def _pattern(frame: np.ndarray, *, seed: int) -> np.ndarray:
    height, width = frame.shape[:2]
    cells = np.random.default_rng(seed).normal(0, _LEVELS, (_CELLS, _CELLS, 3))
    large = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(np.rint(frame + large), 0, 255).astype(np.uint8)
