"""What a foreign file's answers are, and the scores of classes that they stand for."""

from __future__ import annotations

import numpy as np

from edgecnn.accuracy.confidence import softmax
from edgecnn.errors import ModelError
from edgecnn.export.imported.ends import Ending

__all__ = ["are_shares", "as_scores", "find_ending"]

_SUM_ERROR = 5e-3


def are_shares(answers: np.ndarray) -> bool:
    """Whether all answers are from 0 to 1."""
    return bool((answers >= -_SUM_ERROR).all() and (answers <= 1 + _SUM_ERROR).all())


def find_ending(name: str, answers: np.ndarray) -> Ending:
    """What the answers (n, outputs) to real images show them to be.

    Raises:
        ModelError: They are not finite.
    """
    if not np.isfinite(answers).all():
        raise ModelError(f"{name} answers NaN or infinity to images; check --normalize")
    if answers.shape[1] == 1:
        return "two_scores" if are_shares(answers) else "two_logits"
    # Integer scores miss a sum of 1 by up to half a step each.
    error = _SUM_ERROR + answers.shape[1] / 512
    whole = are_shares(answers) and np.abs(answers.sum(axis=1) - 1).max() <= error
    return "scores" if whole else "softmax"


def as_scores(answers: np.ndarray, ending: Ending) -> np.ndarray:
    """Scores, float32 (n, classes), as the file gives them once it has its ending."""
    if ending == "two_scores":
        return np.concatenate([1 - answers, answers], axis=1)
    if ending == "two_logits":
        return softmax(np.concatenate([np.zeros_like(answers), answers], axis=1))
    return answers if ending == "scores" else softmax(answers)
