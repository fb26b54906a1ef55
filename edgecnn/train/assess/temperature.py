"""The card's temperature: fitted on validation images, judged on the lab test.

Source: Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from edgecnn.accuracy.confidence import calibrated_scores

__all__ = ["fit_temperature"]

_LOWEST, _HIGHEST = 0.25, 10.0


def fit_temperature(scores: np.ndarray, classes: np.ndarray) -> float:
    """The temperature that gives the validation labels the highest likelihood.

    Args:
        scores: float32, shape (n, classes), softmax scores of images that no weight was fitted to.
        classes: int, shape (n,), their true classes.

    Returns:
        From 0.25 to 10; 1 where all answers are right (the likelihood then only ever grows with
        more confidence, up to certainty, and says nothing) or there is no image.
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
