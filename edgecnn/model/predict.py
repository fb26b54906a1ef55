"""Scores of the float Keras model, and the MODEL folder that it lies in."""

from __future__ import annotations

import importlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import Card, LabResult
from edgecnn.bundle.folder import read_card
from edgecnn.errors import ModelError, one_line
from edgecnn.images.tensors import Tensors
from edgecnn.model.networks.adopt import unknown_class
from edgecnn.model.networks.small import importable_here

if TYPE_CHECKING:
    import keras

__all__ = ["keras_scores", "lab_result", "load_model", "most_certain"]


def keras_scores(model: keras.Model, tensors: Tensors, batch_size: int = 256) -> np.ndarray:
    """Scores of input tensors, a batch at a time, in inference mode.

    Args:
        model: Takes raw RGB values 0..255.
        tensors: uint8, shape (n, height, width, 3), as `preprocess.to_tensor` gives them.

    Returns:
        float32, shape (n, classes).
    """
    if not len(tensors):
        return np.empty((0, model.output_shape[-1]), np.float32)
    batches = [
        np.asarray(model.predict_on_batch(tensors[k : k + batch_size].astype(np.float32)))
        for k in range(0, len(tensors), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def lab_result(scores: np.ndarray, classes: np.ndarray) -> LabResult:
    """Accuracy and confusion of scores (n, k) against true classes (n,); ties: lower index."""
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((scores.shape[1],) * 2, int)
    np.add.at(confusion, (classes, predicted), 1)
    return LabResult(
        Tally(int((predicted == classes).sum()), len(classes)),
        tuple(tuple(int(n) for n in row) for row in confusion),
    )


def most_certain(scores: np.ndarray, count: int) -> list[int]:
    """Indices of up to `count` images for golden frames: the surest of each class in turn.

    Integer kernels may differ by a step of a logit. On a sure image that moves a score by less
    than a step; in the middle of the softmax it moves it by several, and tells nothing.

    Example:
        >>> most_certain(np.float32([[0.6, 0.4], [0.9, 0.1], [1.0, 0.0], [0.3, 0.7]]), 3)
        [2, 3, 1]
    """
    turns: dict[int, int] = {}
    order = []
    for index in np.argsort(-scores.max(axis=1), kind="stable").tolist():
        predicted = int(scores[index].argmax())
        turns[predicted] = turns.get(predicted, -1) + 1
        order.append((turns[predicted], -float(scores[index].max()), index))
    return [index for _, _, index in sorted(order)[:count]]


def load_model(folder: Path | str) -> tuple[keras.Model, Card]:
    """Open a MODEL folder as `edgecnn train` writes it.

    Raises:
        ModelError: Missing, of something else, or damaged.
        BundleError: Its card.json can't be read.
    """
    folder = Path(folder)
    file, card_file = folder / "model.keras", folder / "card.json"
    for needed in (card_file, file):
        if not needed.is_file():
            raise ModelError(
                f"{folder} has no {needed.name}, expected a MODEL folder of `edgecnn train`"
            )
    try:
        card = read_card(card_file.read_bytes(), folder)
        model = _load(file, card)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise ModelError(f"{file} can't be loaded ({one_line(error)}); train again") from error
    found = (tuple(model.input_shape[1:]), model.output_shape[-1])
    if found != (card.input.shape, len(card.labels)):
        raise ModelError(
            f"{file} takes {found[0]} and gives {found[1]} scores, its card.json says "
            f"{card.input.shape} and {len(card.labels)} labels; train again"
        )
    return model, card


def _load(file: Path, card: Card) -> keras.Model:
    """Load model.keras; if it holds classes of the user's own, import their module first."""
    import keras

    try:
        return keras.saving.load_model(file, compile=False)
    except (ValueError, TypeError) as error:
        unknown = unknown_class(error)
        reference = card.training.get("options", {}).get("network")
        if unknown is None or reference is None:
            raise
        module = str(reference).partition(":")[0]
        try:
            with importable_here():
                importlib.import_module(module)  # registers its classes
        except ImportError as missing:
            raise ModelError(
                f"{file} holds {unknown!r} of the network {reference}, and {module} can't be "
                "imported; run this in the folder that holds it"
            ) from missing
    return keras.saving.load_model(file, compile=False)
