"""Networks within networks, in files that Keras 2 itself wrote: tests/data/keras2/make.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecnn.export.foreign.keras_file import load_keras_file
from edgecnn.model.networks.adopt import rewire

FOLDER = Path(__file__).parents[1] / "data" / "keras2"
ANSWERS = FOLDER / "answers.npz"
PACKED = FOLDER / "packed"
OLD = sorted(FOLDER.glob("old_*"))  # SavedModels
AWARE = FOLDER.parent / "quantization_aware"


@pytest.fixture(autouse=True)
def _silent(monkeypatch):
    """Keras warns of .h5 through absl, which pytest would show."""
    monkeypatch.setattr("absl.logging.warning", lambda *_: None)


def test_each_layout_has_its_answers():
    made = {path.stem for path in (*FOLDER.glob("*.h5"), *OLD)}
    assert made == set(np.load(ANSWERS)) - {"images"}


@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.h5")), ids=lambda path: path.stem)
def test_a_network_within_a_network_answers_as_in_keras_2(path):
    answers = np.load(ANSWERS)
    images = answers["images"]
    model = rewire(load_keras_file(path), images.shape[1:])
    found = model.predict_on_batch(images)
    assert np.abs(found - answers[path.stem]).max() < 1e-5
    spread = np.ptp(answers[path.stem], axis=0).max()
    assert spread > 1e-4  # else any network would do


@pytest.mark.parametrize("path", sorted(PACKED.glob("*.keras")), ids=lambda path: path.stem)
def test_a_keras_file_of_keras_2_answers_as_in_keras_2(path):
    answers = np.load(PACKED / "answers.npz")
    model = rewire(load_keras_file(path), answers["images"].shape[1:])
    found, expected = model.predict_on_batch(answers["images"]), answers[path.stem]
    size = max(1.0, np.abs(expected).max())  # of logits; scores are below 1
    assert np.abs(found - expected).max() < 1e-5 * size
    assert np.ptp(expected, axis=0).max() > 1e-3


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_a_saved_model_with_the_slots_of_an_old_optimizer_is_read(path):
    answers = np.load(ANSWERS)
    found = load_keras_file(path).predict_on_batch(answers["images"])
    assert np.abs(found - answers[path.stem]).max() < 1e-5
    assert np.ptp(answers[path.stem], axis=0).max() > 1e-4


@pytest.mark.filterwarnings("ignore:The structure of `inputs`:UserWarning")
@pytest.mark.parametrize("path", sorted(AWARE.glob("*.h5")), ids=lambda path: path.stem)
def test_a_network_trained_quantization_aware_is_read_without_its_wrappers(path):
    """Its own answers are rounded as integers would be, so they are near and not the same."""
    answers = np.load(AWARE / "answers.npz")
    notes: list[str] = []
    model = rewire(load_keras_file(path, notes=notes), (16, 16, 3))
    found, own = model.predict_on_batch(answers["images"]), answers[path.stem]
    assert (found.argmax(axis=1) == own.argmax(axis=1)).all()
    # Integers end at the least and the largest score.
    assert np.abs(np.clip(found, own.min(), own.max()) - own).max() < 0.02 * np.ptp(own)
    assert "quantization-aware" in notes[0]
    assert not [layer for layer in model.layers if "Quant" in type(layer).__name__]
