"""Draw digit cards: the UCI optical digits in chalk on dark cardboard."""

from __future__ import annotations

import cv2
import numpy as np

__all__ = ["draw_digit"]

# Reflectance as sRGB grey values: blackboard paint (about 4 %) and chalk (about 75 %).
_CARD, _CHALK = 56.0, 225.0
# The digit's share of the card's side, which leaves a margin.
_DIGIT = 0.68


def draw_digit(digit: np.ndarray, side: int = 288) -> np.ndarray:
    """Draw a UCI optical digit on a square card.

    The 8x8 counts give the ink in each of 64 cells. Smooth interpolation and a steep curve about
    one half restore strokes with edges.

    Args:
        digit: Shape (8, 8), values 0 to 16, as in `sklearn.datasets.load_digits().images`.
        side: Side of the card in pixels; at least 20.

    Returns:
        uint8, sRGB grey, shape (side, side).
    """
    # The bitmaps end at the digit's edge: a ring of empty cells completes the strokes.
    cells = np.pad(digit.astype(np.float32) / 16, 1)
    inner = round(side * _DIGIT * len(cells) / len(digit))
    ink = cv2.resize(cells, (inner, inner), interpolation=cv2.INTER_CUBIC)
    ink = np.clip((ink - 0.3) / 0.4, 0.0, 1.0)
    card = np.zeros((side, side), np.float32)
    start = (side - inner) // 2
    card[start : start + inner, start : start + inner] = ink
    return np.asarray(np.rint(_CARD + (_CHALK - _CARD) * card).astype(np.uint8))
