"""What a run with a pretrained network still has to do, and how many images it has time for."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import numpy as np

from edgecnn.model.lab_replay import MOST_TRAIN
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.backbone.frozen_features import FrozenFeatures
from edgecnn.train.reports import Clock, Reports
from edgecnn.train.task import Task

__all__ = [
    "KERAS",
    "TRAINING",
    "WRITING_S",
    "fit_in_time",
    "in_random_order",
    "payable_seconds",
    "seconds_after",
]

WRITING_S = 5.0
"""Seconds to write the MODEL folder with its pictures."""

KERAS = 2.5
"""What an answer of Keras takes, in answers of the TFLite runtime."""

TRAINING = 3.0 * KERAS
"""What an image of an epoch takes, likewise: the way there and back."""

_BUILDING_S = 2.5  # the network and the regression
_CONVERSION_S = 3.0  # to the TFLite runtime
_TRIED = 16  # images
# So many of a class make a probe: a larger input with these is better than all images in a
# smaller one.
_ENOUGH_OF_CLASS = 20
# Rather some seconds too many than a network of fewer images of a class.
_LEAST_OF_CLASS = 40
_FIRST_OF_CLASS = 10
_FILMED = 1.5  # what an image in the simulated field takes, in others


def in_random_order(task: Task) -> np.ndarray:
    """The rows of the training images in the order in which they are taken for want of time.

    Ten of each class come first: no class is left out.
    """
    rows = task.rows("train")
    rows = rows[np.random.default_rng(task.options.seed).permutation(len(rows))]
    classes = task.data.classes[rows]
    later = np.zeros(len(rows), bool)
    for k in np.unique(classes):
        later[np.flatnonzero(classes == k)[_FIRST_OF_CLASS:]] = True
    return np.asarray(rows[np.argsort(later, kind="stable")])


def payable_seconds(task: Task, clock: Clock) -> float | None:
    """Seconds that an image may take, if there is to be time for enough of them; None for any."""
    hurried = replace(task, hurried=True)
    left = clock.left(WRITING_S + _BUILDING_S + hurried.field_images * task.unlabelled.read_s)
    if left is None:
        return None
    simulated = len(hurried.simulated_rows("val")) + len(hurried.simulated_rows("test"))
    enough = min(len(task.split.train), _ENOUGH_OF_CLASS * len(task.data.labels))
    answered = enough + len(task.split.val) + len(task.split.test) + hurried.field_images
    return left / (answered + _FILMED * simulated)


def seconds_after(task: Task, frozen: FrozenFeatures, *, tuned: bool) -> float:
    """Seconds to measure and write the network when it is trained.

    Args:
        tuned: Whether its weights changed: else the features of the training images are known.
    """
    some = task.tensors("val")[:_TRIED]
    each = frozen.seconds(*task.shape[:2])
    start = monotonic()
    FieldTensors(some, None, 0, share=1.0)[:]
    degrade = (monotonic() - start) / len(some)
    val, test = len(task.split.val), len(task.split.test)
    simulated = len(task.simulated_rows("val")) + len(task.simulated_rows("test"))
    seconds = WRITING_S + test * each + simulated * (each + degrade)
    seconds += task.field_images * (each + task.unlabelled.read_s)
    if not tuned:
        return seconds
    train = len(task.measured_rows()) + min(MOST_TRAIN, len(task.split.train))
    return seconds + _CONVERSION_S + (train + val) * each


def fit_in_time(task: Task, frozen: FrozenFeatures, clock: Clock, reports: Reports) -> Task:
    """The task with as many training images as there is time to look at.

    Where that is not all of them, the probe on the images as they are is the network. A large
    input and few images read more in the field than a small one and all of them
    (docs/results/train.md).
    """
    if clock.seconds is None:
        return task
    height, width = task.shape[:2]
    if not frozen.seconds(height, width):
        frozen.of(task.tensors("val")[:_TRIED])
    options = replace(task.options, fine_tune=False, augment="none")
    hurried = replace(task, options=options, hurried=True)
    left = clock.left(seconds_after(hurried, frozen, tuned=False) + _BUILDING_S) or 0.0
    train, val = len(task.split.train), len(task.split.val)
    least = _LEAST_OF_CLASS * len(task.data.labels)
    most = max(least, int(left / frozen.seconds(height, width)) - val)
    if most >= train:
        return task
    reports.line(f"There is time for {most} of {train} training images, and for the probe alone.")
    rows = np.sort(in_random_order(task)[:most])
    note = (
        f"Only {most} of {train} training images were used, and of the network only the "
        f"classifier was trained: --seconds {clock.seconds:g} allowed no more."
    )
    return replace(hurried, split=replace(task.split, train=rows), notes=(*task.notes, note))
