"""The features of a larger input, for the network of a smaller one to imitate.

A pretrained network reads a small picture badly although most of what tells the classes apart is
still in it: its filters expect things at the size of its own training (Touvron et al. 2019,
arXiv:1906.06423). So the small input learns to give the features of the large one. That takes no
field image, and the network is as quick as any other of its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

import numpy as np

from edgecnn.images.tensors import ChosenTensors
from edgecnn.train.augmentation.picture_layer import opencv_on_one_thread
from edgecnn.train.backbone.frozen_features import FrozenFeatures, mirrored
from edgecnn.train.backbone.logistic_probe import LinearHead, fit_head
from edgecnn.train.backbone.result import LargerInput
from edgecnn.train.backbone.time_left import TRAINING
from edgecnn.train.fitting.batches import batch_size
from edgecnn.train.fitting.distillation import distance
from edgecnn.train.options import TrainOptions
from edgecnn.train.reports import Reports
from edgecnn.train.task import Task

__all__ = ["Aim", "aim_at", "side_to_imitate", "worth_its_time"]

_BATCH = 64  # images
# With fewer steps the small input's features stay far from the large one's.
_LEAST_STEPS = 200
_SHARE = 0.4
_VIEWS = 2
# Photographs start at 20 to 35, textures at 400. Where all images show one scene, features that
# hardly vary start at thousands, and what tells the classes apart is not learned beside them.
_FARTHEST = 500.0


@dataclass(frozen=True, eq=False)
class Aim:
    """What training images give at another side in pixels, and a classifier of that.

    features  float32, shape (views, n, features): of the images, and of the mirrored ones
    """

    side: int
    features: np.ndarray
    head: LinearHead


def side_to_imitate(
    task: Task,
    frozen: FrozenFeatures,
    larger: LargerInput,
    options: TrainOptions,
    left: float | None,
) -> int:
    """The larger input's side, or 0 where its features can't be learned, or not in time.

    From a few images.

    Args:
        left: Seconds to compute the features, two fifths of it at most, and to train; None without
            a limit.
    """
    rows = task.rows("train")
    some = rows[np.random.default_rng(options.seed).permutation(len(rows))[:_BATCH]]
    side, start = larger.better.side, monotonic()
    images = task.images_at(side, some)
    reading = (monotonic() - start) / len(some)
    if not worth_its_time(larger, len(rows), options, left, reading):
        return 0
    found = frozen.of(ChosenTensors(task.data.tensors, some))
    return side if distance(found, frozen.of(images)) <= _FARTHEST else 0


def worth_its_time(
    larger: LargerInput, count: int, options: TrainOptions, left: float | None, reading: float = 0.0
) -> bool:
    """Whether there is time for so many images to learn the larger input's features.

    Args:
        left: As for `side_to_imitate`.
        reading: Seconds to read an image.
    """
    if not options.fine_tune or {"mixup", "cutmix"} & set(options.add_augmentation):
        return False  # a mixed image has no features that are known
    batch = batch_size(count, options)
    steps = options.most_epochs * (count // batch)
    if left is not None:
        features = count * (reading + _VIEWS * larger.better.ms / 1000)
        step = batch * TRAINING * larger.taken.ms / 1000
        steps = min(steps, int((left - features) / step)) if features <= _SHARE * left else 0
    return steps >= _LEAST_STEPS


@opencv_on_one_thread()
def aim_at(side: int, task: Task, frozen: FrozenFeatures, penalty: float, reports: Reports) -> Aim:
    """The features of the training images, read anew at this side, and their classifier.

    Args:
        penalty: As for `fit_head`.
    """
    rows, options = task.rows("train"), task.options
    small, progress = task.shape[1], reports.progress
    reports.line(
        f"The probe reads the images better at {side} px, so at {small} px the network learns to "
        "give the same features."
    )
    mirrors = options.augmentation.geometry.flip > 0
    features = np.empty((0, 0, 0), np.float32)
    for start in range(0, len(rows), _BATCH):
        images = task.images_at(side, rows[start : start + _BATCH])
        views = [images, mirrored(images)][: 1 + mirrors]
        found = np.stack([frozen.of(view) for view in views])
        if not start:
            features = np.empty((len(views), len(rows), found.shape[-1]), np.float32)
        features[:, start : start + _BATCH] = found
        if progress:
            done = min(start + _BATCH, len(rows))
            progress(f"computing features at {side} px", done, len(rows))
    classes, num_classes = task.classes("train"), len(task.data.labels)
    return Aim(side, features, fit_head(list(features), classes, num_classes, penalty, options))
