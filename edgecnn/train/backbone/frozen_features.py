"""Features of a pretrained network whose weights stay as they are, computed a few images a time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

import numpy as np

from edgecnn.images.tensors import ChosenTensors, Tensors
from edgecnn.model.networks.backbones import BACKBONES
from edgecnn.model.tflite_network import TfliteNetwork
from edgecnn.quiet import quiet
from edgecnn.records import Progress
from edgecnn.train.augmentation.operations import STRENGTHS
from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
from edgecnn.train.augmentation.pipeline import layers_of
from edgecnn.train.options import TrainOptions

__all__ = ["Change", "FrozenFeatures", "mirrored", "views_of"]

Change: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From uint8 images, shape (n, height, width, 3), to changed copies: a view of them."""

_BATCH = 64  # images


class FrozenFeatures:
    """Computes the features of images of any size, and measures how long that takes.

    Args:
        name: One of BACKBONES.
        weights: As for `build_backbone`.

    Raises:
        ModelError, MissingRuntimeError: The weights can't be had.
    """

    def __init__(self, name: str, weights: str) -> None:
        with quiet():  # keras.applications warns of an open size
            model = BACKBONES[name].build((None, None, 3), weights)
        self._network = TfliteNetwork(model)
        self._seconds: dict[tuple[int, ...], list[float]] = {}
        self._known = _Known()

    @opencv_on_one_thread()
    def of(
        self, tensors: Tensors, change: Change | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """The features of images, or of changed copies.

        Those of a data set's images, unchanged, are computed once.

        Returns:
            float32, shape (n, features).
        """
        if change or not isinstance(tensors, ChosenTensors):
            return self._compute(tensors, change, progress)
        chosen = tensors.flat
        missing = self._known.missing(chosen)
        if len(missing):
            new = ChosenTensors(chosen.tensors, missing)
            self._known.add(new, self._compute(new, None, progress))
        return self._known.of(chosen)

    def seconds(self, height: int, width: int) -> float:
        """Seconds that an image of this size takes here, in the median; 0 if none was seen."""
        seen = self._seconds.get((height, width), [])
        return float(np.median(seen)) if seen else 0.0

    def _compute(
        self, tensors: Tensors, change: Change | None, progress: Progress | None
    ) -> np.ndarray:
        parts = []
        for start in range(0, len(tensors), _BATCH):
            images = np.asarray(tensors[start : start + _BATCH])
            images = change(images) if change else images
            begin = monotonic()
            parts.append(self._network(images))
            took = (monotonic() - begin) / len(images)
            self._seconds.setdefault(images.shape[1:3], []).append(took)
            if progress:
                progress("computing features", min(start + _BATCH, len(tensors)), len(tensors))
        return np.concatenate(parts)


class _Known:
    """The features of images of one data set, by row."""

    def __init__(self) -> None:
        self._tensors: Tensors | None = None
        self._rows: dict[int, np.ndarray] = {}

    def missing(self, chosen: ChosenTensors) -> np.ndarray:
        if chosen.tensors is not self._tensors:
            self._tensors, self._rows = chosen.tensors, {}
        return np.array([row for row in chosen.rows.tolist() if row not in self._rows], int)

    def add(self, chosen: ChosenTensors, features: np.ndarray) -> None:
        self._rows.update(zip(chosen.rows.tolist(), features, strict=True))

    def of(self, chosen: ChosenTensors) -> np.ndarray:
        return np.stack([self._rows[row] for row in chosen.rows.tolist()])


def mirrored(images: np.ndarray) -> np.ndarray:
    """Images, shape (n, height, width, 3), with left and right exchanged."""
    return np.ascontiguousarray(images[:, :, ::-1])


def views_of(options: TrainOptions, count: int) -> list[Change]:
    """Up to `count` views of the training images beside the images themselves.

    First the mirrored images if the options mirror, then images through the operations of
    `light` that the options leave in, then both, and again with other draws.
    """
    recipe = options.augmentation
    mirrors = recipe.geometry.flip > 0
    light = layers_of(STRENGTHS["light"].without(options.without), options.seed)

    def relit(images: np.ndarray) -> np.ndarray:
        return np.asarray(light(images, training=True)) if light else images

    def both(images: np.ndarray) -> np.ndarray:
        return relit(mirrored(images))

    views: list[Change] = [mirrored] if mirrors else []
    if light and not recipe.without({"flip"}).is_idle:
        views += ([relit, both] if mirrors else [relit]) * count
    return views[:count]
