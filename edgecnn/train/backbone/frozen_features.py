"""Features of a pretrained network whose weights stay as they are, computed a few images a time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from edgecnn.images.tensors import Tensors
from edgecnn.model.networks.backbones import BACKBONES
from edgecnn.quiet import quiet
from edgecnn.records import Progress
from edgecnn.train.augmentation.operations import STRENGTHS
from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
from edgecnn.train.augmentation.pipeline import layers_of
from edgecnn.train.options import TrainOptions

__all__ = ["Change", "FrozenFeatures", "views_of"]

Change: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""From uint8 images, shape (n, height, width, 3), to changed copies: a view of them."""

# Pixels of a batch: the first layers of a backbone keep about 100 numbers for each of them.
_BATCH_PIXELS = 400_000
_MOST_IN_BATCH = 64


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
        self._seconds: dict[tuple[int, ...], list[float]] = {}

        def run(images: tf.Tensor) -> tf.Tensor:
            return model(tf.cast(images, tf.float32), training=False)

        # One graph for all sizes: a graph for each would take seconds to build.
        signature = [tf.TensorSpec((None, None, None, 3), tf.uint8)]
        self._run = tf.function(run, input_signature=signature)

    @opencv_on_one_thread()
    def of(
        self, tensors: Tensors, change: Change | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """The features of images, or of changed copies.

        Returns:
            float32, shape (n, features).
        """
        height, width = tensors.shape[1:3]
        size = max(1, min(_MOST_IN_BATCH, _BATCH_PIXELS // (height * width)))
        parts = []
        for start in range(0, len(tensors), size):
            images = np.asarray(tensors[start : start + size])
            images = change(images) if change else images
            begin = monotonic()
            parts.append(np.asarray(self._run(images)))
            took = (monotonic() - begin) / len(images)
            self._seconds.setdefault((height, width), []).append(took)
            if progress:
                progress("computing features", min(start + size, len(tensors)), len(tensors))
        return np.concatenate(parts)

    def seconds(self, height: int, width: int) -> float:
        """Seconds that an image of this size takes here, in the median; 0 if none was seen."""
        seen = self._seconds.get((height, width), [])
        return float(np.median(seen)) if seen else 0.0


def views_of(options: TrainOptions, count: int) -> list[Change]:
    """Up to `count` views of the training images beside the images themselves.

    First the mirrored images if the options mirror, then images through the operations of
    `light` that the options leave in, then both, and again with other draws.
    """
    recipe = options.augmentation
    mirrors = recipe.geometry.flip > 0
    light = layers_of(STRENGTHS["light"].without(options.without), options.seed)

    def mirrored(images: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(images[:, :, ::-1])

    def relit(images: np.ndarray) -> np.ndarray:
        return np.asarray(light(images, training=True)) if light else images

    def both(images: np.ndarray) -> np.ndarray:
        return relit(mirrored(images))

    views: list[Change] = [mirrored] if mirrors else []
    if light and not recipe.without({"flip"}).is_idle:
        views += ([relit, both] if mirrors else [relit]) * count
    return views[:count]
