"""Measure a trained network on each split, in a simulated field, by groups, and its confidence."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from edgecnn.accuracy.confidence import confidence_error, fit_temperature
from edgecnn.accuracy.tally import Tally
from edgecnn.bundle.card import LabResult
from edgecnn.model.predict import keras_scores, lab_result
from edgecnn.train.assess.breakdown import Breakdown, break_down
from edgecnn.train.assess.verdict import Verdict
from edgecnn.train.augmentation.simulated_field import FieldTensors
from edgecnn.train.task import Part, Task

__all__ = ["Measured", "measure"]

_FIELD_SEED = 20_000  # other degradations than those of the validation images


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of a network on the test split, except `train`, `val` and the temperature.

    scores            float32, shape (n, classes)
    temperature       fitted on the validation images
    confidence_error  {"raw", "calibrated"}
    """

    scores: np.ndarray
    lab: LabResult
    train: Tally
    val: Tally
    verdict: Verdict
    breakdowns: tuple[Breakdown, ...]
    temperature: float
    confidence_error: dict[str, float]


def measure(model: keras.Model, task: Task, names: dict[str, list[str | None]]) -> Measured:
    """Measure a network on clean images, and on test images in a simulated field.

    Args:
        names: For each column the value of each image of the data set, for the breakdowns.
    """

    def scores_of(part: Part) -> np.ndarray:
        return keras_scores(model, task.tensors(part))

    train, val = lab_result(scores_of("train"), task.classes("train")), scores_of("val")
    temperature = fit_temperature(val, task.classes("val"))
    scores, classes = scores_of("test"), task.classes("test")
    lab = lab_result(scores, classes)
    in_field = FieldTensors(task.tensors("test"), None, _FIELD_SEED, share=1.0)
    field = lab_result(keras_scores(model, in_field), classes)
    groups = {column: [found[k] for k in task.split.test] for column, found in names.items()}
    labels = [task.data.labels[k] for k in classes]
    return Measured(
        scores,
        lab,
        train.tally,
        lab_result(val, task.classes("val")).tally,
        Verdict(train.tally, lab.tally, field.tally),
        break_down(labels, groups, scores.argmax(axis=1) == classes),
        temperature,
        confidence_error(scores, classes, temperature),
    )
