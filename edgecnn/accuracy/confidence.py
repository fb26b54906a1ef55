"""How sure an answer is: temperature scaling of the scores, and how wrong the confidence is.

A network's softmax is not its chance to be right. `fit_temperature` finds one number, the
temperature, from validation images. `calibrated_scores` applies it wherever a confidence is shown
or averaged. The scores themselves (Prediction.scores, session logs, golden frames) stay as the
model gives them, so nothing applies it twice, and the class is that of the highest raw score.

Source: Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np

__all__ = [
    "calibrated_confidence",
    "calibrated_scores",
    "confidence_error",
    "expected_calibration_error",
    "fit_temperature",
    "likeliest_temperature",
    "log_losses",
    "softmax",
]

# As in Keras' cross-entropy: a float softmax that underflows to 0 has no logarithm.
_SMALLEST = 1e-7
_BINS = 15
_LOWEST, _HIGHEST = 0.25, 10.0
_OF_SCALED = (0.01, 100.0)  # lowest and highest, of logits whose mean size is 1
_GOLDEN = (sqrt(5) - 1) / 2
_EXACT = 1e-6  # of the temperature's logarithm


def calibrated_scores(scores: np.ndarray, temperature: float, step: float = 0.0) -> np.ndarray:
    """Scores after temperature scaling: softmax(log(scores) / temperature).

    An integer model's scores are multiples of `step` (1/256), and what is under half of that
    reads as 0. The zeros of one answer are taken for half a step together, not each: of ten
    classes that keeps a sure answer at 0.998, as the float model has it, instead of 0.98.

    Args:
        scores: Shape (..., classes), as the model's softmax gives them.
        temperature: From the card, above 0; 1 leaves the scores as they are.
        step: Scale of an integer output; 0 for a float one.

    Returns:
        float32, same shape; each answer sums to 1 and keeps the order of its classes.

    Example:
        >>> calibrated_scores(np.float32([0.8, 0.2]), 2.0).round(3).tolist()
        [0.6669999957084656, 0.3330000042915344]
    """
    raw = np.asarray(scores, np.float32)
    if temperature == 1.0:
        return raw
    return softmax(np.log(np.maximum(raw, _floor(step, raw.shape[-1]))), temperature)


def calibrated_confidence(scores: np.ndarray, temperature: float, step: float = 0.0) -> np.ndarray:
    """The calibrated score of the top class; arguments as of `calibrated_scores`.

    Returns:
        float32, shape (...): one for each answer.
    """
    raw = np.asarray(scores, np.float32)
    if raw.ndim > 1 or temperature == 1.0:
        return np.asarray(calibrated_scores(raw, temperature, step).max(axis=-1))
    # The same for one answer, with half the work: the loop does this for every frame.
    logits = np.log(np.maximum(raw, _floor(step, len(raw)))) / np.float32(temperature)
    return np.asarray(1 / np.add.reduce(np.exp(logits - np.maximum.reduce(logits))))


def _floor(step: float, num_classes: int) -> float:
    """What a score of 0 is taken for."""
    return max(_SMALLEST, step / 2 / max(1, num_classes - 1))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """exp(logits / temperature) over its sum: shape (..., classes) and dtype of `logits`."""
    scaled = logits / logits.dtype.type(temperature)
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(scores: np.ndarray, classes: np.ndarray) -> float:
    """The temperature that gives the labels of validation images the highest likelihood.

    Args:
        scores: float32, shape (n, classes), softmax scores of images that no weight was fitted to.
        classes: int, shape (n,), their true classes.

    Returns:
        From 0.25 to 10; 1 where all answers are right (the likelihood then only ever grows with
        more confidence, up to certainty, and says nothing) or there is no image.
    """
    if bool((scores.argmax(axis=1) == classes).all()):
        return 1.0
    logits = np.log(np.maximum(scores, _SMALLEST))
    return round(likeliest_temperature(logits, classes, _LOWEST, _HIGHEST), 4)


def likeliest_temperature(
    logits: np.ndarray, classes: np.ndarray, lowest: float, highest: float
) -> float:
    """The temperature in [lowest, highest] at which softmax makes the labels likeliest.

    The likelihood has one peak: a golden-section search over the logarithm finds it.

    Args:
        logits: Shape (n, classes).
        classes: int, shape (n,).
    """
    margin = np.asarray(logits, float)
    margin = margin - margin[np.arange(len(classes)), classes][:, None]

    def loss(log_temperature: float) -> float:
        scaled = margin / exp(log_temperature)
        top = scaled.max(axis=1)
        return float((top + np.log(np.exp(scaled - top[:, None]).sum(axis=1))).mean())

    low, high = log(lowest), log(highest)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _EXACT:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return exp((low + high) / 2)


def log_losses(logits: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Of each answer, in nats, at the likeliest temperature: how well logits of any size tell it.

    Args:
        logits: Shape (n, classes).
        classes: int, shape (n,), the true ones.

    Returns:
        float64, shape (n,).
    """
    scaled = np.asarray(logits, float) / (float(np.abs(logits).mean()) or 1.0)
    scores = softmax(scaled, likeliest_temperature(scaled, classes, *_OF_SCALED))
    return np.asarray(-np.log(np.maximum(scores[np.arange(len(classes)), classes], _SMALLEST)))


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """The mean difference of confidence and accuracy, in [0, 1], over 15 bins of equal width.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: bool, shape (n,).

    Example:
        >>> expected_calibration_error(np.array([0.9, 0.9]), np.array([True, False]))
        0.4
    """
    if not len(confidence):
        return 0.0
    bins = np.minimum((np.asarray(confidence) * _BINS).astype(int), _BINS - 1)
    excess = np.bincount(bins, np.asarray(confidence, float) - correct, minlength=_BINS)
    return round(float(np.abs(excess).sum() / len(confidence)), 6)


def confidence_error(
    scores: np.ndarray, classes: np.ndarray, temperature: float, step: float = 0.0
) -> dict[str, float]:
    """Expected calibration error of the scores as they are and after temperature scaling.

    Args:
        scores, classes: As of `fit_temperature`, of other images.
        temperature, step: As of `confidence.calibrated_scores`.

    Returns:
        {"raw", "calibrated"}, in [0, 1].
    """
    correct = scores.argmax(axis=1) == classes
    calibrated = calibrated_confidence(scores, temperature, step)
    return {
        "raw": expected_calibration_error(scores.max(axis=1), correct),
        "calibrated": expected_calibration_error(calibrated, correct),
    }
