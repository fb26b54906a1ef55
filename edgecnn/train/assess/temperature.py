"""Fit the card's temperature on validation images.

Source: Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from edgecnn.accuracy.confidence import calibrated_scores

__all__ = ["fit_temperature"]

_LOWEST, _HIGHEST = 0.25, 10.0


def fit_temperature(scores: np.ndarray, classes: np.ndarray) -> float:
    """Find the temperature with the highest likelihood of the validation labels.

    Args:
        scores: float32, shape (n, classes), softmax scores of images without influence on weights.
        classes: int, shape (n,), their true classes.

    Returns:
        From 0.25 to 10. It is 1 without images, and where all answers are correct: the likelihood
        then grows with confidence without a limit.
    """
    if bool((scores.argmax(axis=1) == classes).all()):
        return 1.0
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        calibrated = calibrated_scores(scores, exp(log_temperature))
        right = calibrated[np.arange(len(classes)), classes]
        return float(-np.log(np.maximum(right, 1e-30)).mean())

    found = minimize_scalar(loss, bounds=(log(_LOWEST), log(_HIGHEST)), method="bounded")
    return round(exp(float(found.x)), 4)
