"""What is done about classes of unequal size: how often each is drawn and what it weighs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from edgecnn.model.options import TrainOptions

__all__ = ["class_weights", "sampling_order"]


def sampling_order(classes: np.ndarray, num_classes: int, options: TrainOptions) -> tf.data.Dataset:
    """Endless indices, shuffled anew each time around."""

    def shuffled(indices: np.ndarray, seed: int) -> tf.data.Dataset:
        data = tf.data.Dataset.from_tensor_slices(indices)
        return data.shuffle(len(indices), seed=seed).repeat()

    if options.imbalance != "balanced_sampling":
        return shuffled(np.arange(len(classes)), options.seed)
    members = [np.flatnonzero(classes == k) for k in range(num_classes)]
    return tf.data.Dataset.sample_from_datasets(
        [shuffled(m, options.seed + k) for k, m in enumerate(members) if len(m)],
        seed=options.seed,
    )


def class_weights(
    classes: np.ndarray, num_classes: int, options: TrainOptions
) -> dict[int, float] | None:
    """n / (classes * count): every class weighs the same in the loss."""
    if options.imbalance != "class_weights":
        return None
    counts = np.bincount(classes, minlength=num_classes)
    return {
        k: len(classes) / (num_classes * int(count)) if count else 0.0
        for k, count in enumerate(counts)
    }
