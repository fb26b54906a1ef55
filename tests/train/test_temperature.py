"""The temperature is found again where it is known, and makes confidence come true."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgecnn.accuracy.confidence import calibrated_scores, confidence_error, fit_temperature


def sample(temperature: float, seed: int, count: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are too sure by `temperature`, and labels drawn from what they should be."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 8))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (chances.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    claimed = np.exp(logits * temperature)
    return np.float32(claimed / claimed.sum(axis=1, keepdims=True)), classes


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_scores_is_found(temperature):
    scores, classes = sample(temperature, 0)
    assert fit_temperature(scores, classes) == pytest.approx(temperature, rel=0.06)


@pytest.mark.parametrize("step", [0.0, 1 / 256])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_confidence_comes_true_on_other_images_for_float_and_integer_scores(temperature, step):
    fitted = fit_temperature(*sample(temperature, 1))
    scores, classes = sample(temperature, 2)
    if step:
        scores = np.minimum(np.round(scores / step), 255).astype(np.float32) * np.float32(step)
    error = confidence_error(scores, classes, fitted, step)
    assert error["raw"] > 0.1
    assert error["calibrated"] < 0.03


def test_no_mistake_to_learn_from_leaves_the_temperature_at_one():
    scores, _ = sample(3.0, 3)
    assert fit_temperature(scores, scores.argmax(axis=1)) == 1.0
    assert fit_temperature(np.empty((0, 8), np.float32), np.empty(0, int)) == 1.0


def test_a_sure_mistake_does_not_break_the_fit():
    scores, classes = np.float32([[1, 0], [1, 0], [0.2, 0.8]]), np.array([0, 1, 1])
    temperature = fit_temperature(scores, classes)
    assert 0.25 <= temperature <= 10
    assert np.isfinite(calibrated_scores(scores, temperature)).all()


def test_training_puts_it_on_the_card_with_what_it_gains(digits_model):
    card = json.loads((digits_model / "card.json").read_text())
    assert card["temperature"] == card["training"]["temperature"]
    assert 0.25 <= card["temperature"] <= 10
    error = card["training"]["confidence_error"]
    assert set(error) == {"raw", "calibrated"}
    assert 0 <= error["calibrated"] < 0.1
