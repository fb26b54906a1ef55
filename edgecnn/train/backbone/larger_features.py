"""The features of a larger input, for the network of a smaller one to imitate.

A pretrained network reads a small picture badly although most of what tells the classes apart is
still in it: its filters expect things at the size of its own training (Touvron et al. 2019,
arXiv:1906.06423). So the small input learns to give the features of the large one. That takes no
field image, and the network is as quick as any other of its input.
"""

from __future__ import annotations

import numpy as np

from edgecnn.records import Progress
from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
from edgecnn.train.backbone.frozen_features import FrozenFeatures
from edgecnn.train.backbone.result import LargerInput
from edgecnn.train.backbone.time_left import TRAINING
from edgecnn.train.fitting.batches import batch_size
from edgecnn.train.options import TrainOptions
from edgecnn.train.task import Task

__all__ = ["larger_features", "worth_its_time"]

_BATCH = 64  # images
# With fewer steps the small input's features stay far from the large one's.
_LEAST_STEPS = 200
_SHARE = 0.25
_VIEWS = 2


def worth_its_time(
    larger: LargerInput, count: int, options: TrainOptions, left: float | None
) -> bool:
    """Whether so many images can learn the larger input's features.

    Args:
        left: Seconds to compute them, a quarter of it at most, and to train; None without a limit.
    """
    if not options.fine_tune or {"mixup", "cutmix"} & set(options.add_augmentation):
        return False  # a mixed image has no features that are known
    batch = batch_size(count, options)
    steps = options.most_epochs * (count // batch)
    if left is not None:
        features = _VIEWS * count * larger.better.ms / 1000
        step = batch * TRAINING * larger.taken.ms / 1000
        steps = min(steps, int((left - features) / step)) if features <= _SHARE * left else 0
    return steps >= _LEAST_STEPS


@opencv_on_one_thread()
def larger_features(
    task: Task, frozen: FrozenFeatures, side: int, progress: Progress | None = None
) -> np.ndarray:
    """The features of the training images, read anew at this side in pixels.

    Returns:
        float32, shape (views, n, features): of the images, and of the mirrored ones if training
        mirrors.
    """
    rows = task.rows("train")
    found = []
    for start in range(0, len(rows), _BATCH):
        images = task.images_at(side, rows[start : start + _BATCH])
        views = [images]
        if task.options.augmentation.geometry.flip:
            views.append(np.ascontiguousarray(images[:, :, ::-1]))
        found.append(np.stack([frozen.of(view) for view in views]))
        if progress:
            done = min(start + _BATCH, len(rows))
            progress(f"computing features at {side} px", done, len(rows))
    return np.concatenate(found, axis=1)
