"""Fine-tune all layers of a network to field images, beside its lab images.

The last layer alone can't undo what the layers below it lose of a camera's pictures. Half of each
batch is of the field and half of the lab, lightly augmented, so that a few hundred field images
are not learned by heart; batch norm keeps its statistics. The steps and rates were chosen on the
demo's film and on groceries (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, pi
from typing import TYPE_CHECKING

import numpy as np

from edgecnn.records import Progress

if TYPE_CHECKING:
    import keras

__all__ = ["Pictures", "fine_tune"]

_STEPS, _WARM_UP = 120, 5
_BATCH, _RATE = 64, 5e-4
_PRETRAINED_BATCH, _PRETRAINED_RATE = 32, 2e-4
_STRENGTH = "light"


@dataclass(frozen=True, eq=False)
class Pictures:
    """What a network learns from: uint8 tensors (n, height, width, 3), their classes (n,), and how
    often each is to be drawn, float (n,).
    """

    tensors: np.ndarray
    classes: np.ndarray
    draws: np.ndarray

    def part(self, rows: np.ndarray) -> Pictures:
        """Only these rows."""
        return replace(
            self,
            tensors=self.tensors[rows],
            classes=self.classes[rows],
            draws=self.draws[rows],
        )

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Tensors and classes of some, in these proportions, with repetition."""
        rows = rng.choice(len(self.classes), count, p=self.draws / self.draws.sum())
        return self.tensors[rows], self.classes[rows]


def fine_tune(
    network: keras.Model,
    field: Pictures,
    lab: Pictures,
    *,
    pretrained: bool,
    progress: Progress | None = None,
) -> None:
    """Train all weights in place, by Adam on a cosine; the same images are drawn every time.

    Args:
        field: Its draws make the number of steps, 120 at most.
        lab: As many draws as of the field, in the proportions given.
    """
    import keras

    from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
    from edgecnn.train.augmentation.pipeline import build_augmentation

    size, highest = (_PRETRAINED_BATCH, _PRETRAINED_RATE) if pretrained else (_BATCH, _RATE)
    steps = min(_STEPS, 1 + int(field.draws.sum() / (size // 2)))
    rng = np.random.default_rng(0)
    augmentation = build_augmentation(_STRENGTH, seed=0)
    assert augmentation is not None
    optimizer = keras.optimizers.Adam(highest)
    step = _step(network, optimizer)
    with opencv_on_one_thread():
        for number in range(steps):
            done = (number + 0.5) / steps
            rate = min(1.0, (number + 1) / _WARM_UP) * (1 + cos(pi * done)) / 2
            optimizer.learning_rate = highest * rate
            parts = [one.draw(size // 2, rng) for one in (field, lab)]
            images, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
            step(augmentation.change(images, rng).astype(np.float32), classes.astype(np.int64))
            if progress:
                progress("fine-tuning all layers", number + 1, steps)


def _step(
    network: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A step of training on a batch, with the network as it answers: nothing is dropped."""
    import keras
    import tensorflow as tf

    weights = network.trainable_variables

    @tf.function  # type: ignore[untyped-decorator]
    def slopes(images: tf.Tensor, classes: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            scores = network(images, training=False)
            loss = keras.losses.sparse_categorical_crossentropy(classes, scores)
        return list(tape.gradient(loss, weights))

    def step(images: np.ndarray, classes: np.ndarray) -> None:
        found = slopes(tf.constant(images), tf.constant(classes))
        optimizer.apply_gradients(zip(found, weights, strict=True))

    return step
