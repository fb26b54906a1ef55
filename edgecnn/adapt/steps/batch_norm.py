"""The step that estimates the statistics of batch norm again, from field images.

Source: Schneider et al. 2020, arXiv:2006.16971: means and variances of the field, mixed with those
of training, which count as much as 16 images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgecnn.adapt.gate import AdaptStep
from edgecnn.adapt.student import IN_THE_LAB, Student, no_lab_tensors
from edgecnn.bundle.teacher import steadiness
from edgecnn.camera.scenes import evenly
from edgecnn.model.embedding import SplitNetwork
from edgecnn.model.lab_replay import Replay

if TYPE_CHECKING:
    import keras

__all__ = ["batch_norms", "reestimate", "try_batch_norm"]

_NAME = "batch norm"
_SOURCE = 16
_MOST = 128
# Batch norm may leave the answers less sure by this factor where shifted and cropped images get the
# answer of the whole one more often: new statistics can take away sureness that was unfounded.
_AS_SURE, _STEADY_ON = 1.1, 200


def try_batch_norm(student: Student) -> AdaptStep:
    """Give batch norm the field's statistics; keep them if the answers become surer."""
    if student.whole is None:
        return AdaptStep(_NAME, False, IN_THE_LAB)
    split, replay = student.whole
    if why := _why_not(student, split, replay):
        return AdaptStep(_NAME, False, why)
    before, start, steady = student.scores, student.stand(), _steadiness(student)
    reestimate(split.network, student.images.sample.tensors)
    student.see_through(split, replay)
    student.remember_lab(replay.train_tensors)
    was, now = student.unsure(before), student.unsure(student.scores)
    surer = now < was or (now <= _AS_SURE * was and _steadiness(student) > steady)
    why = "" if surer else "the answers to the field images became less sure"
    step = student.judged(_NAME, before, student.split.head, why)
    if not step.accepted:
        student.stand_at(start)
    return step


def batch_norms(network: keras.Model) -> list[Any]:
    """The batch-norm layers in the order of the graph; none of a network within the network."""
    import keras

    return [one for one in network.layers if isinstance(one, keras.layers.BatchNormalization)]


def reestimate(network: keras.Model, tensors: np.ndarray) -> None:
    """Set all batch norms of a network to the field's statistics, in place.

    One layer after the other, so that each sees what the changed ones before it make.

    Args:
        tensors: uint8 (n, height, width, 3); up to 128 of them are used, evenly spread.
    """
    import keras

    images = tensors[evenly(len(tensors), _MOST)].astype(np.float32)
    share = len(images) / (len(images) + _SOURCE)
    for layer in batch_norms(network):
        seen = np.asarray(keras.Model(network.inputs[0], layer.input)(images, training=False))
        axes = tuple(k for k in range(seen.ndim) if k != layer.axis % seen.ndim)
        found = seen.mean(axes, dtype=np.float64), seen.var(axes, dtype=np.float64)
        for variable, value in zip((layer.moving_mean, layer.moving_variance), found, strict=True):
            variable.assign((1 - share) * np.asarray(variable) + share * value)


def _steadiness(student: Student) -> float:
    sample = student.images.sample.tensors
    some = sample[evenly(len(sample), _STEADY_ON)]
    return steadiness(student.split.embed, student.split.head, some)


def _why_not(student: Student, split: SplitNetwork, replay: Replay) -> str:
    """Why it is not tried; empty when it is."""
    if not student.options.batch_norm:
        return "not tried: --no-batch-norm"
    if not student.from_scratch:
        return "not tried: it ruins networks that were not trained from scratch"
    if not batch_norms(split.network):
        return "not tried: the network has none"
    return no_lab_tensors(replay)
