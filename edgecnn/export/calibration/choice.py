"""The calibration set of an export: all that was given, or what the experiment advises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgecnn.errors import CalibrationError
from edgecnn.export.calibration.comparison_plot import plot_comparison
from edgecnn.export.calibration.experiment import FIELD_FRAMES, compare_calibration, images_to_read
from edgecnn.export.calibration.images import Calibration, Reading, load_calibration, set_names
from edgecnn.export.calibration.result import CompareOptions, Comparison
from edgecnn.export.ranges.methods import RANGE_METHODS
from edgecnn.model.predict import keras_scores
from edgecnn.model.read import LabModel
from edgecnn.quiet import quiet
from edgecnn.records import Progress

__all__ = ["CALIBRATION_PLOT", "Chosen", "choose_calibration"]

CALIBRATION_PLOT = "calibration.png"


@dataclass(frozen=True)
class Chosen:
    """The images to calibrate with, and the experiment that chose them, if there was one.

    refusal: why the images would be refused, of a set that is to be repaired.
    """

    images: Calibration
    comparison: Comparison | None = None
    refusal: str | None = None

    def method(self, name: str) -> str:
        """How ranges come from the images, for a format."""
        if self.comparison is None:
            return "MinMax"
        advice = self.comparison.advice
        return {
            "tflite-full-integer": advice.tflite_method,
            "onnx-full-integer": advice.onnx_method,
        }.get(name, "MinMax")

    def onnx_images(self) -> np.ndarray:
        """uint8 (n, height, width, 3); for histograms no more than were tried.

        The images of the first folder come first, so they are thinned, not cut off.
        """
        pinned = self.images.pinned()
        if self.comparison is None or self.method("onnx-full-integer") in RANGE_METHODS:
            return pinned
        most = max(c.count for c in self.comparison.cells if c.back_end == "onnxruntime")
        return pinned[:: -(-len(pinned) // most)]

    def files(self) -> dict[str, bytes]:
        """What the bundle gets beside quantization.json: the experiment's plot."""
        return {CALIBRATION_PLOT: plot_comparison(self.comparison)} if self.comparison else {}


def choose_calibration(
    lab: LabModel,
    folders: Sequence[Path],
    compare: CompareOptions | None,
    progress: Progress | None = None,
    *,
    lenient: bool = False,
) -> Chosen:
    """Read the calibration folders: their union, or with `compare` the set that it advises.

    With `lenient` a set that would ruin the models comes with the reason, to be repaired.

    Raises:
        CalibrationError: The images would ruin the integer models, or are too few to compare.
        ModelError: The network can't be quantized.
    """
    if compare is None:
        return _load_chosen(lab, folders, None, progress, lenient)
    size = int(np.prod(lab.card.input.shape))
    reading = Reading(images_to_read(compare, max(1, len(folders)), size), strict=False)
    sets = [
        replace(_load(lab, [folder], progress, reading), source=name)
        for folder, name in zip(folders, set_names(folders), strict=True)
    ]
    field = None
    if compare.field is not None:
        field = _load(lab, [compare.field], progress, Reading(FIELD_FRAMES, strict=False))
    comparison = compare_calibration(lab, sets, field, compare, progress)
    advised = [folders[k] for k in comparison.advice.sets]
    return _load_chosen(lab, advised, comparison, progress, lenient)


def _load_chosen(
    lab: LabModel,
    folders: Sequence[Path],
    comparison: Comparison | None,
    progress: Progress | None,
    lenient: bool,
) -> Chosen:
    try:
        return Chosen(_load(lab, folders, progress), comparison)
    except CalibrationError as error:
        if not lenient:
            raise
        images = _load(lab, folders, progress, Reading(strict=False))
        return Chosen(images, comparison, str(error))


def _load(
    lab: LabModel,
    folders: Sequence[Path],
    progress: Progress | None,
    reading: Reading | None = None,
) -> Calibration:
    def predict(tensors: np.ndarray) -> np.ndarray:
        with quiet():
            return keras_scores(lab.network, tensors)

    card = lab.card
    lab_sha256 = frozenset(map(str, lab.test.sha256))
    return load_calibration(
        folders, card.input, card.labels, predict, lab_sha256, progress, reading
    )
