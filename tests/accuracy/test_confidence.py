"""Confidence: temperature scaling that leaves every class and every raw score alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from edgecnn.accuracy.confidence import (
    calibrated_confidence,
    calibrated_scores,
    expected_calibration_error,
    likeliest_temperature,
    log_losses,
    softmax,
)
from edgecnn.audit.ledger.lab_answers import from_images
from edgecnn.bundle.classifier import Classifier
from edgecnn.bundle.folder import Bundle, seal
from edgecnn.bundle.preprocess import read_image
from edgecnn.device.run.run import RunOptions, run
from edgecnn.errors import BundleError
from edgecnn.files.folders import find_images
from edgecnn.session.read import open_session, read_frames

ARTIFACTS = ("model_float32.tflite", "model_full_integer_quant.tflite")
STEPS = st.lists(st.integers(0, 255), min_size=2, max_size=12).filter(any)


@given(STEPS, st.floats(0.25, 10))
def test_the_class_and_the_sum_are_kept_for_scores_in_integer_steps(steps, temperature):
    scores = np.array(steps, np.float32) / 256
    if scores.max() < 1 / len(steps):  # no softmax has such a top score
        scores = scores / scores.sum()
    found = calibrated_scores(scores, temperature, 1 / 256)
    assert found.argmax() == scores.argmax()
    assert found.sum() == pytest.approx(1, abs=1e-5) or temperature == 1
    assert np.isfinite(found).all()


def test_temperature_above_one_makes_less_sure_and_below_one_surer():
    scores = np.float32([[0.7, 0.2, 0.1], [0.05, 0.9, 0.05]])
    cooler, same, warmer = (calibrated_confidence(scores, t) for t in (0.5, 1.0, 2.0))
    assert (cooler > same).all()
    assert (same > warmer).all()
    assert same.tolist() == scores.max(axis=1).tolist()


def test_a_sure_integer_answer_is_about_as_sure_as_the_float_one():
    """255/256 and nine zeros: half a step for each zero would make 0.98 of it."""
    steps = np.zeros(10, np.float32)
    steps[3] = 255 / 256
    exact = np.full(10, 1e-4, np.float32)
    exact[3] = 1 - 9e-4
    integer = float(calibrated_confidence(steps, 1.0001, 1 / 256))
    assert integer == pytest.approx(float(calibrated_confidence(exact, 1.0001)), abs=0.002)
    assert integer < 1


def test_an_underflowing_float_softmax_has_a_confidence():
    assert calibrated_confidence(np.float32([1, 0, 0]), 2.0) == pytest.approx(1, abs=1e-3)


def test_the_calibration_error_is_zero_only_where_claims_come_true():
    confidence = np.repeat([0.55, 0.95], 100)
    true = np.concatenate([np.arange(100) < 55, np.arange(100) < 95])
    assert expected_calibration_error(confidence, true) == pytest.approx(0, abs=1e-6)
    assert expected_calibration_error(confidence, np.ones(200, bool)) == pytest.approx(0.25)
    assert expected_calibration_error(np.ones(4), np.array([1, 1, 0, 0], bool)) == 0.5
    assert expected_calibration_error(np.empty(0), np.empty(0, bool)) == 0


@pytest.fixture(scope="module")
def warm(digits_bundle, tmp_path_factory):
    """The digits bundle with a temperature that nobody overlooks."""
    folder = tmp_path_factory.mktemp("warm") / "warm.edgecnn"
    shutil.copytree(digits_bundle, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "temperature": 2.5}))
    seal(folder)
    return Bundle.open(folder)


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_a_prediction_has_raw_scores_and_calibrated_confidence(
    artifact, warm, digits_bundle, digits_field
):
    plain, scaled = Classifier(digits_bundle, artifact), Classifier(warm, artifact)
    step = scaled.artifact.output.scale
    lower = 0
    for path in find_images(digits_field)[::50]:
        before, after = plain(read_image(path)), scaled(read_image(path))
        assert after.scores == before.scores
        assert (after.index, after.label) == (before.index, before.label)
        expected = calibrated_scores(np.array(after.scores), 2.5, step)[after.index]
        assert after.confidence == pytest.approx(float(expected))
        lower += after.confidence < max(after.scores)
    assert lower >= 8


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_an_audit_sees_the_confidence_that_the_device_showed(
    artifact, warm, digits_field, tmp_path
):
    """Sessions log raw scores, so the temperature is applied once on either side."""
    session = tmp_path / "session"
    run(warm.path, str(digits_field / "3"), RunOptions(log=session, artifact=artifact))
    frames = read_frames(open_session(session))
    classifier = Classifier(warm, artifact)
    shown = [classifier(read_image(p)).confidence for p in find_images(digits_field / "3")]
    assert np.allclose(frames.calibrated, shown, atol=1e-5)
    assert not np.allclose(frames.calibrated, frames.confidence, atol=0.01)


def test_a_replay_of_lab_images_uses_the_artifacts_step(warm, digits_folder):
    artifact = "model_full_integer_quant.tflite"
    answers = from_images(warm, artifact, digits_folder)
    classifier = Classifier(warm, artifact)
    row = int(answers.confidence.argmin())
    image = read_image(digits_folder / answers.rows[row].file)
    assert answers.confidence[row] == pytest.approx(classifier(image).confidence, abs=1e-6)


@pytest.mark.parametrize("temperature", [0, -1, 1e9, "warm", None])
def test_a_card_with_an_impossible_temperature_is_refused(temperature, warm, tmp_path):
    folder = tmp_path / "odd.edgecnn"
    shutil.copytree(warm.path, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "temperature": temperature}))
    seal(folder)
    with pytest.raises(BundleError, match="card is not readable"):
        Bundle.open(folder)


@pytest.mark.parametrize("seed", range(5))
def test_the_likeliest_temperature_is_that_of_a_general_minimizer(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, rng.uniform(0.5, 8), (300, 6))
    classes = np.where(rng.random(300) < 0.7, logits.argmax(axis=1), rng.integers(0, 6, 300))

    def loss(log_temperature: float) -> float:
        chances = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(chances[range(300), classes].mean())

    best = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    expected = np.exp(best.x)
    found = likeliest_temperature(logits, classes, np.exp(-4), np.exp(4))
    assert found == pytest.approx(expected, rel=1e-5)
    assert softmax(logits, found) == pytest.approx(np.exp(log_softmax(logits / found, axis=1)))


def test_log_losses_do_not_hang_on_the_size_of_the_logits():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (300, 6))
    classes = np.where(rng.random(300) < 0.7, logits.argmax(axis=1), rng.integers(0, 6, 300))
    found = log_losses(logits, classes)
    best = log_softmax(logits / likeliest_temperature(logits, classes, 0.01, 100), axis=1)
    assert found == pytest.approx(-best[range(300), classes], rel=1e-4)
    assert log_losses(1e-3 * logits, classes) == pytest.approx(found, rel=1e-4)
    assert log_losses(np.zeros((300, 6)), classes) == pytest.approx(np.log(6))
    assert log_losses(logits, logits.argmax(axis=1)).mean() < 0.01 < found.mean()
