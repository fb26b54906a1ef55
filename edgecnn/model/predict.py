"""The scores of a float Keras model, and what they say of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.accuracy.near_duplicates import fingerprint
from edgecnn.accuracy.objects import number_things, tally_of_objects
from edgecnn.accuracy.thing_rule import EACH, LOOKS
from edgecnn.bundle.card import LabResult
from edgecnn.images.tensors import Tensors

if TYPE_CHECKING:
    import keras

__all__ = ["fitting_batch", "keras_scores", "lab_result", "most_certain", "things_in"]

_BATCH_PIXELS, _MOST = 300_000, 256


def keras_scores(model: keras.Model, tensors: Tensors) -> np.ndarray:
    """Scores of input tensors, a batch at a time, in inference mode.

    Args:
        tensors: uint8, shape (n, height, width, 3), as `preprocess.to_tensor` gives them.

    Returns:
        float32, shape (n, classes).
    """
    if not len(tensors):
        return np.empty((0, model.output_shape[-1]), np.float32)
    batch_size = fitting_batch(tensors)
    batches = [
        np.asarray(model.predict_on_batch(tensors[k : k + batch_size].astype(np.float32)))
        for k in range(0, len(tensors), batch_size)
    ]
    return np.concatenate(batches).astype(np.float32)


def fitting_batch(tensors: Tensors) -> int:
    """Images of a batch: 256, or less of large ones, whose activations fill the memory."""
    return max(1, min(_MOST, _BATCH_PIXELS // int(np.prod(tensors.shape[1:3]))))


def lab_result(scores: np.ndarray, classes: np.ndarray, things: np.ndarray) -> LabResult:
    """Accuracy and confusion of scores (n, k) against true classes (n,); ties: lower index.

    Args:
        things: int, shape (n,): what the images show, see `accuracy.objects`.
    """
    predicted = scores.argmax(axis=1)
    confusion = np.zeros((scores.shape[1],) * 2, int)
    np.add.at(confusion, (classes, predicted), 1)
    right = predicted == classes
    of_class = [classes == k for k in range(scores.shape[1])]
    each = [tally_of_objects(right[of], things[of], classes[of]) for of in of_class]
    whole = tally_of_objects(right, things, classes)
    return LabResult.of(whole, confusion, tuple(one.effective for one in each))


def things_in(
    tensors: Tensors, order: Iterable[int] | None = None, things: str = LOOKS
) -> np.ndarray:
    """Number what images show as `evaluate` and `run` number it: int64, shape (n,).

    Args:
        tensors: uint8, shape (n, height, width, 3).
        order: The rows as they are seen; None: as they are.
        things: What counts as one thing, `LOOKS` or `EACH`.
    """
    rows = range(len(tensors))
    if things == EACH:
        return np.arange(len(rows))
    looks = [fingerprint(tensors[k], is_rgb=True) for k in rows]
    return number_things(looks, rows if order is None else order)


def most_certain(scores: np.ndarray, count: int) -> list[int]:
    """Indices of up to `count` images for golden frames: the surest of each class in turn.

    Integer kernels may differ by a step of a logit, which hardly moves the score of a sure image.

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
