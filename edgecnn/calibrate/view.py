"""Predict class and embedding of field images, so that the picked set covers both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgecnn.bundle.spec import InputSpec

__all__ = ["View", "view_of_bundle", "view_of_model"]


@dataclass(frozen=True)
class View:
    """A model that predicts classes and embeddings.

    look      from tensors, uint8 (n, height, width, 3), to scores, float32 (n, classes), and
              embeddings, float32 (n, d)
    lab_test  digests of the images on which its lab accuracy was measured
    """

    spec: InputSpec
    labels: tuple[str, ...]
    look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    lab_test: frozenset[str]


def view_of_model(folder: Path) -> View:
    """Use the float Keras model of a MODEL folder; the embedding is its last layer's input.

    Raises:
        ModelError: No MODEL folder.
    """
    import keras

    from edgecnn.model.read import lab_test_digests, load_model

    model, card = load_model(folder)
    last = model.layers[-1]
    both = keras.Model(model.inputs, [model.output, last.input])

    def look(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores, inner = both.predict_on_batch(tensors.astype(np.float32))
        return np.asarray(scores), np.asarray(inner).reshape(len(tensors), -1)

    return View(card.input, card.labels, look, lab_test_digests(folder))


def view_of_bundle(path: Path) -> View:
    """Use a bundle through the device path; the logs of its scores serve as the embedding.

    Raises:
        BundleError: No bundle.
        MissingRuntimeError: No runtime.
    """
    from edgecnn.bundle.classifier import Classifier

    classifier = Classifier(path)

    def look(tensors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scores = np.stack([classifier.runtime.invoke(tensor) for tensor in tensors])
        return scores, np.log(np.maximum(scores, 1e-3))

    card = classifier.card
    lab_test = frozenset(row.sha256 for row in classifier.bundle.lab_test())
    return View(card.input, card.labels, look, lab_test)
