"""The calibration set of an export: all that was given, or what the experiment advises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgecnn.bundle.artifacts import FULL_INTEGER, ONNX_FULL_INTEGER, ArtifactFormat
from edgecnn.errors import CalibrationError
from edgecnn.export.calibration.experiment import FIELD_FRAMES, compare_calibration, images_to_read
from edgecnn.export.calibration.images import Calibration, Reading, load_calibration, set_names
from edgecnn.export.calibration.result import Comparison, plot_comparison
from edgecnn.export.convert.makers import Makers
from edgecnn.export.convert.recipe import HISTOGRAM_IMAGES, Recipe
from edgecnn.export.foreign.mismatch import at_chance
from edgecnn.export.options import ExportOptions
from edgecnn.model.read import LabModel
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

    def recipe(self, target: ArtifactFormat, network: Any) -> Recipe:
        """How a format is made: of these images, by the method that the experiment advises."""
        recipe = Recipe(target, network, self.images.tensors)
        if self.comparison is None:
            return recipe
        cells, advice = self.comparison.cells, self.comparison.advice
        if target is FULL_INTEGER:
            return replace(recipe, method=advice.tflite_method)
        if target is not ONNX_FULL_INTEGER:
            return recipe
        tried = [cell.count for cell in cells if cell.back_end == "onnxruntime"]
        most = max(tried, default=HISTOGRAM_IMAGES)
        return replace(recipe, method=advice.onnx_method, histogram_images=most)

    def files(self) -> dict[str, bytes]:
        """What the bundle gets beside quantization.json: the experiment's plot."""
        return {CALIBRATION_PLOT: plot_comparison(self.comparison)} if self.comparison else {}


def choose_calibration(
    lab: LabModel,
    makers: Makers,
    folders: Sequence[Path],
    options: ExportOptions,
    progress: Progress | None = None,
) -> Chosen:
    """Read the calibration folders: their union, or with --compare the set that it advises.

    With --repair a set that would ruin the models comes with the reason, to be repaired.

    Raises:
        CalibrationError: The images would ruin the integer models, or are too few to compare.
        ModelError: The network can't be quantized.
    """
    # What a model that can't tell lab images apart says of field images is no reason to blame them.
    judged = not at_chance(lab.test)
    card, digests = lab.card, frozenset(map(str, lab.test.sha256))

    def load(some: Sequence[Path], reading: Reading | None = None) -> Calibration:
        spec, labels = card.input, card.labels
        own = replace(reading or Reading(), judge_classes=judged)
        return load_calibration(some, spec, labels, lab.scores, digests, progress, own)

    comparison = None
    if options.compare:
        size = int(np.prod(card.input.shape))
        reading = Reading(images_to_read(options, max(1, len(folders)), size), strict=False)
        sets = [
            replace(load([folder], reading), source=name)
            for folder, name in zip(folders, set_names(folders), strict=True)
        ]
        few = Reading(FIELD_FRAMES, strict=False)
        field = None if options.field is None else load([options.field], few)
        comparison = compare_calibration(lab, makers, sets, field, options, progress)
        folders = [folders[k] for k in comparison.advice.sets]
    try:
        return Chosen(load(folders), comparison)
    except CalibrationError as error:
        if not options.repair:
            raise
        return Chosen(load(folders, Reading(strict=False)), comparison, str(error))
